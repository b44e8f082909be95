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

JOURNAL, SKIPPED, LOCK = "finished.jsonl", "skipped.jsonl", ".lock"
_REQUEST = (
    "model",
    "fingerprint",
    "dim",
    "dtype",
    "format",
    "sources",
    "batch_size",
    "shard_rows",
)


class Journal:
    """Begin an encoding, or go on with one. Only under `write_lock`.

    A line of finished.jsonl is a shard that is whole in its place. A line that a kill cut short
    counts for nothing: its shard is made again, under the same name.

    Args:
        folder: of the encoding; missing, empty, or one already.
        request: what is asked for now.
        overwrite: remove what another request made.
        listed: see `make_plan`.

    Attributes:
        manifest: the request, with the shards that are done.
        plan: which images, in which shards.
        records: of the shards that are done, by number.

    Raises:
        CollectionError: if the folder holds other things, or the answer to another request.
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
            clear(folder)
        self.manifest = request
        if (folder / MANIFEST).exists():
            begun = read_manifest(folder)
            if (folder / PLAN).exists():  # else nothing came of it
                _require_same(folder, begun, request)
                self.manifest = begun
        else:
            require_free(folder)
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

    def add(self, record: ShardRecord) -> None:
        """Note a shard that is in its place."""
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(f"{record.model_dump_json()}\n")
        self.records[record.number] = record

    def close(self) -> None:
        """Write manifest.json and skipped.jsonl as things stand."""
        skipped = [(str(path), reason) for path, reason in self.plan.skipped]
        done = [self.records[number] for number in sorted(self.records)]
        for record in done:
            skipped += record.skipped
        lines = [json.dumps({"path": path, "reason": reason}) + "\n" for path, reason in skipped]
        replace_file(self.folder / SKIPPED, "".join(lines).encode())
        self.manifest = self.manifest.model_copy(
            update={
                "planned": self.plan.shards,
                "skipped": len(skipped),
                "shards": tuple(record.shard for record in done),
            }
        )
        self._write_manifest()
        if self.manifest.complete:
            shutil.rmtree(self.folder / PARTIAL, ignore_errors=True)

    def _make_plan(self, listed: Callable[[int], None] | None) -> None:
        sources = [Path(source) for source in self.manifest.sources]
        made = self.folder / PARTIAL / PLAN
        made.parent.mkdir(exist_ok=True)
        make_plan(made, sources, self.manifest.shard_rows, listed)
        made.replace(self.folder / PLAN)

    def _write_manifest(self) -> None:
        content = self.manifest.model_dump_json(indent=2)
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
def write_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one encoding; the lock goes with the process, however it ends.

    Raises:
        CollectionError: if another process holds it, or the folder cannot be made.
    """
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


def require_free(folder: Path) -> None:
    """Raise a CollectionError if a folder holds anything, a lock aside."""
    others = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if others:
        raise CollectionError(
            f"{folder}: holds other things ({others[0]}), and no {MANIFEST}; give a folder of its "
            "own."
        )


def clear(folder: Path) -> None:
    """Remove an encoding, finished or not; a folder that is none stays as it is."""
    if not (folder / MANIFEST).exists():
        return
    read_manifest(folder)  # of somebody else?
    for name in (SHARDS, PARTIAL):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (JOURNAL, SKIPPED, PLAN, MANIFEST):  # the manifest last
        (folder / name).unlink(missing_ok=True)


def _require_same(folder: Path, made: CollectionManifest, wanted: CollectionManifest) -> None:
    for name in _REQUEST:
        before, now = getattr(made, name), getattr(wanted, name)
        if before != now:
            raise CollectionError(
                f"{folder}: was begun with {name.replace('_', ' ')} {_shown(before)}, and this is "
                f"{_shown(now)}; give the same, another folder, or --overwrite."
            )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
