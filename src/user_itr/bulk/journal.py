"""The folder of one encoding while it is under way: what was asked, and which shards are done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
from pydantic import ValidationError

from user_itr.bulk.collection import MANIFEST, SHARDS, CollectionManifest, read_manifest
from user_itr.bulk.plan import Plan, make_plan
from user_itr.bulk.shards import PARTIAL, PLAN, ShardRecord
from user_itr.errors import CollectionError
from user_itr.files import replace_file
from user_itr.search.photos import Skipped

JOURNAL, SKIPPED, LOCK = "finished.jsonl", "skipped.jsonl", ".lock"
_REQUEST = ("dtype", "format", "sources", "batch_size", "shard_rows")


class Journal:
    """Begin an encoding, or go on with one. Only under `write_lock`.

    A line of finished.jsonl is a shard that is whole in its place. A line that a kill cut short
    counts for nothing: its shard is made again, under the same name.

    Args:
        folder: of the encoding; empty, or one already.
        request: what is asked for now.
        overwrite: remove what another request made.
        listed: see `make_plan`.

    Attributes:
        manifest: the request, with the shards that are done.
        plan: which images, in which shards.
        records: of the shards that are done, by number.

    Raises:
        CollectionError: if the folder holds the answer to another request.
        DataError: see `make_plan`.
    """

    def __init__(
        self,
        folder: Path,
        request: CollectionManifest,
        *,
        overwrite: bool,
        listed: Callable[[int], None] | None = None,
    ) -> None:
        self.folder = folder
        self.records: dict[int, ShardRecord] = {}
        if overwrite:
            _clear(folder)
        self.manifest = request
        if (folder / MANIFEST).exists():
            begun = read_manifest(folder)
            if (folder / PLAN).exists():  # else nothing came of it
                _require_same(folder, begun, request)
                self.manifest = begun
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        if not (folder / PLAN).exists():
            self._write_manifest()
            self._make_plan(listed)
        self.plan = Plan(folder / PLAN)
        self._read()

    @property
    def missing(self) -> list[int]:
        """Numbers of the shards that are not done."""
        return [number for number in range(self.plan.shards) if number not in self.records]

    @property
    def skipped(self) -> list[Skipped]:
        """What has no row, and why: of the listing, then of the shards that are done."""
        skipped = [*self.plan.skipped]
        for number in sorted(self.records):
            skipped += [(Path(path), reason) for path, reason in self.records[number].skipped]
        return skipped

    def add(self, record: ShardRecord) -> None:
        """Note a shard that is in its place."""
        with (
            _disk_errors(self.folder),
            (self.folder / JOURNAL).open("a", encoding="utf-8") as file,
        ):
            file.write(f"{record.model_dump_json()}\n")
        self.records[record.number] = record

    def close(self) -> None:
        """Write manifest.json and skipped.jsonl as things stand."""
        lines = [
            json.dumps({"path": str(path), "reason": reason}) + "\n"
            for path, reason in self.skipped
        ]
        self.manifest = self.manifest.model_copy(
            update={
                "planned": self.plan.shards,
                "skipped": len(lines),
                "shards": tuple(self.records[number].shard for number in sorted(self.records)),
            }
        )
        with _disk_errors(self.folder):
            replace_file(self.folder / SKIPPED, "".join(lines).encode())
        self._write_manifest()
        if self.manifest.complete:
            shutil.rmtree(self.folder / PARTIAL, ignore_errors=True)

    def _make_plan(self, listed: Callable[[int], None] | None) -> None:
        sources = [Path(source) for source in self.manifest.sources]
        made = self.folder / PARTIAL / PLAN
        with _disk_errors(self.folder):
            made.parent.mkdir(exist_ok=True)
            make_plan(made, sources, self.manifest.shard_rows, listed)
            made.replace(self.folder / PLAN)

    def _write_manifest(self) -> None:
        content = self.manifest.model_dump_json(indent=2)
        with _disk_errors(self.folder):
            replace_file(self.folder / MANIFEST, f"{content}\n".encode())

    def _read(self) -> None:
        file = self.folder / JOURNAL
        content = file.read_bytes() if file.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:  # or the next line would go on with it
            replace_file(file, whole)
        for line in whole.splitlines():
            try:
                record = ShardRecord.model_validate_json(line)
            except ValidationError as error:
                raise CollectionError(
                    f"{file}: line {line[:40]!r} is no record of a shard; begin anew with "
                    "--overwrite."
                ) from error
            if (self.folder / SHARDS / record.shard.name).exists():
                self.records[record.number] = record


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CollectionError(
            f"{folder}: cannot be written ({error.strerror or error}); look at the disk, and run "
            "the same command again, it continues."
        ) from error


@contextmanager
def write_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one encoding; the lock goes with the process, however it ends.

    Raises:
        CollectionError: if the folder holds other things, another process holds it, or it cannot
            be made.
    """
    if (folder / MANIFEST).exists():
        read_manifest(folder)
    elif folder.is_dir():
        _require_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise CollectionError(
            f"{folder}: another process is encoding into it; wait until it is done."
        ) from None
    except OSError as error:
        raise CollectionError(
            f"{folder}: cannot be written ({error.strerror}); give another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _require_free(folder: Path) -> None:
    others = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if others:
        raise CollectionError(
            f"{folder}: holds other things ({others[0]}), and no {MANIFEST}; give a folder of its "
            "own."
        )


def _clear(folder: Path) -> None:
    """Remove an encoding, finished or not."""
    for name in (SHARDS, PARTIAL):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (JOURNAL, SKIPPED, PLAN, MANIFEST):  # the manifest last
        (folder / name).unlink(missing_ok=True)


def _require_same(folder: Path, made: CollectionManifest, wanted: CollectionManifest) -> None:
    if made.fingerprint != wanted.fingerprint:
        raise CollectionError(
            f"{folder}: was begun with the model {made.model} ({made.description}), and "
            f"{wanted.model} ({wanted.description}) is another; give the same, another folder, or "
            "--overwrite."
        )
    for name in _REQUEST:
        before, now = getattr(made, name), getattr(wanted, name)
        if before != now:
            raise CollectionError(
                f"{folder}: was begun with {name.replace('_', ' ')} {_shown(before)}, and this is "
                f"{_shown(now)}; give the same, another folder, or --overwrite."
            )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
