"""Fetching a model of the hub, once: into the hub's cache, every byte checked by its hash.

What is interrupted goes on where it stopped. A model is there when all of its files are: until
then the cache holds contents by their hashes, and no snapshot leads to them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from user_itr.errors import DownloadError
from user_itr.files import parse_json, replace_file
from user_itr.hub.cache import (
    COMMIT,
    MAIN,
    HubName,
    cache_folder,
    repository_folder,
    snapshot_path,
)
from user_itr.hub.catalogue import catalogued
from user_itr.hub.choosing import needed_files
from user_itr.hub.names import known_name
from user_itr.hub.records import FileRecord, Record, read_records, write_records

CONFIG_FILE = "config.json"

Progress = Callable[[int, int], None]
"""Takes the bytes that are there, and those of all files."""


@dataclass(frozen=True)
class FetchedModel:
    """A model that is on this machine now.

    Args:
        name: by which it is found again, with its commit.
        path: of its folder, or of the file that was named.
        bytes: of its files.
        received: of these, how many came over the network this time.
    """

    name: HubName
    path: Path
    bytes: int
    received: int


def fetch_model(text: str, progress: Progress | None = None) -> FetchedModel:
    """Fetch a model, or what is missing of it.

    Without a revision that is the commit that was fetched before, else the one that the short
    choice names, else the newest. The commit and the hashes are recorded, and hold from then on.

    Args:
        text: a short name of `user-itr models`, or OWNER/NAME[@REVISION][/FILE].
        progress: see `Progress`.

    Raises:
        DownloadError: in one sentence, at once: there is no such model, no network or no room, or
            a file is not what its hash says.
    """
    name = known_name(text)
    if name is None:
        raise DownloadError(
            f"{text}: is no model's name; give OWNER/NAME as the Hugging Face hub has it, or a "
            "name that `user-itr models` lists."
        )
    chosen, record = catalogued(text), read_records().get(name.repository)
    revision = name.revision
    if revision is None and record is not None:
        revision = record.commit
    elif revision is None:
        revision = (chosen.source.revision if chosen else None) or MAIN
    with _writing(name):
        if record is not None and record.commit == revision and (name.file or "") in record.choices:
            wanted = {path: record.files[path] for path in needed_files(name, record.files)}
            if all(_is_whole(_blob(name, file.hash), file) for file in wanted.values()):
                _link(name, revision, wanted)
                return _fetched(name, revision, wanted, 0)
        return _download(name, revision, record, progress or (lambda done, total: None))


def _download(
    name: HubName, revision: str, record: Record | None, progress: Progress
) -> FetchedModel:
    from user_itr.hub.client import list_model

    commit, listed = list_model(name, revision)
    found = {file.path: FileRecord(size=file.size, hash=file.hash) for file in listed}
    wanted = {path: found[path] for path in needed_files(name, found)}
    known = record.files if record is not None and record.commit == commit else {}
    _check_listing(name, commit, wanted, known)
    total = sum(file.size for file in wanted.values())
    missing = {path: file for path, file in wanted.items() if not _is_there(name, file)}
    _check_room(name, missing.values())
    done = total - sum(file.size for file in missing.values())
    received = 0
    # configurations first: what they say may spare the weights
    for path, file in sorted(missing.items(), key=lambda item: (item[1].size, item[0])):
        received += _receive(name, commit, path, file, partial(_advance, progress, done, total))
        done += file.size
        if path == CONFIG_FILE:
            _refuse_code(name, _blob(name, file.hash))
    progress(total, total)
    _link(name, commit, wanted)
    if revision != commit:
        replace_file(_made(repository_folder(name.repository) / "refs") / revision, commit.encode())
    choices = () if record is None or not known else record.choices
    records = read_records()
    records[name.repository] = Record(
        commit=commit,
        files={**known, **wanted},
        choices=tuple(sorted({*choices, name.file or ""})),
    )
    write_records(records)
    return _fetched(name, commit, wanted, received)


def _advance(progress: Progress, done: int, total: int, size: int) -> None:
    progress(done + size, total)


def _receive(
    name: HubName, commit: str, path: str, file: FileRecord, progress: Callable[[int], None]
) -> int:
    """One file into the cache; returns the bytes that came, less what was there of it before."""
    from user_itr.hub.client import BrokenConnectionError, read_file

    blob = _blob(name, file.hash)
    begun = blob.with_name(f"{blob.name}.user-itr.incomplete")
    _made(blob.parent)
    received = 0
    while True:
        size = begun.stat().st_size if begun.exists() else 0
        before = received
        try:
            if size < file.size or not size:
                with begun.open("ab") as out:
                    for block in read_file(name, commit, path, size):
                        if not block:  # all of the file comes, and not the rest
                            out.truncate(0)
                            size = 0
                        out.write(block)
                        size += len(block)
                        received += len(block)
                        if size > file.size:
                            break
                        progress(size)
            break
        except BrokenConnectionError as error:
            if received == before:  # where some came, the rest may as well
                there = f"{size / 1e6:,.1f} of {file.size / 1e6:,.1f} MB of {path} are there"
                raise DownloadError(
                    f"{str(error).rstrip('.')}; {there}, and the same command goes on with them."
                ) from None
    if not _is_whole(begun, file):
        begun.unlink()
        raise DownloadError(
            f"{name.repository}: {path} came with other contents than its hash says "
            f"({file.hash[:12]}...), and was thrown away; try again, or another network."
        )
    with begun.open("rb+") as out:
        os.fsync(out.fileno())
    begun.replace(blob)
    return received


def _check_listing(
    name: HubName,
    commit: str,
    wanted: dict[str, FileRecord],
    known: dict[str, FileRecord],
) -> None:
    bad = [path for path, file in wanted.items() if _hasher(file) is None]
    if bad or not COMMIT.fullmatch(commit):
        raise DownloadError(
            f"{name.repository}: the hub gives no hash of {bad[0] if bad else 'the revision'}; "
            "check HF_ENDPOINT."
        )
    changed = [path for path in wanted if path in known and known[path] != wanted[path]]
    if changed:
        raise DownloadError(
            f"{name.repository}: the hub names another hash of {changed[0]} at commit {commit} "
            "than when it was first fetched; do not trust it before its owner explains that."
        )


def _check_room(name: HubName, missing: Iterable[FileRecord]) -> None:
    folder = _made(cache_folder())
    needed, free = sum(file.size for file in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{name.repository}: takes {needed / 1e6:,.0f} MB, and {folder} has {free / 1e6:,.0f} "
            "free; make room, or set HF_HUB_CACHE to a folder of another disk."
        )


def _refuse_code(name: HubName, config: Path) -> None:
    with suppress(ValueError):  # damaged: said when it is loaded
        values = parse_json(config.read_bytes())
        if isinstance(values, dict) and "auto_map" in values:
            raise DownloadError(
                f"{name.repository}: asks to run code of its own (auto_map), which user-itr never "
                "does; choose a model whose architecture transformers has."
            )


def _blob(name: HubName, digest: str) -> Path:
    return repository_folder(name.repository) / "blobs" / digest


def _is_there(name: HubName, file: FileRecord) -> bool:
    """Whether a file is in the cache, whole; what is damaged there is taken away."""
    blob = _blob(name, file.hash)
    if not blob.exists():
        return False
    if _is_whole(blob, file):
        return True
    blob.unlink()
    return False


def _is_whole(path: Path, file: FileRecord) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    digest = _hasher(file)
    assert digest is not None
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return bool(digest.hexdigest() == file.hash)


def _hasher(file: FileRecord) -> Any:
    """What computes the hash of a file; None if it is none of the hub's."""
    if len(file.hash) == 64:
        return hashlib.sha256()
    if COMMIT.fullmatch(file.hash):  # as Git names the contents of a small file
        return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    return None


def _link(name: HubName, commit: str, files: dict[str, FileRecord]) -> None:
    """Lead from names to contents, as the hub's library does; by copies where no links can be."""
    for path, file in files.items():
        link = snapshot_path(HubName(name.repository), commit) / path
        if link.exists():
            continue
        link.unlink(missing_ok=True)
        blob = _blob(name, file.hash)
        try:
            _made(link.parent)
            link.symlink_to(os.path.relpath(blob, link.parent))
        except OSError:  # Windows without the right to make links
            shutil.copyfile(blob, link)


def _fetched(
    name: HubName, commit: str, files: dict[str, FileRecord], received: int
) -> FetchedModel:
    size = sum(file.size for file in files.values())
    return FetchedModel(name.at(commit), snapshot_path(name, commit), size, received)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _writing(name: HubName) -> Iterator[None]:
    """One process fetches a model at a time; a disk's errors become sentences."""
    folder = cache_folder()
    try:
        locks = _made(folder / ".locks" / repository_folder(name.repository).name)
        with FileLock(locks / "user-itr.lock", timeout=0):
            yield
    except Timeout:
        raise DownloadError(
            f"{name.repository}: another process fetches it; wait for that."
        ) from None
    except OSError as error:
        raise DownloadError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); make "
            "room, or set HF_HUB_CACHE to another folder, and run the same command again: it goes "
            "on where it stopped."
        ) from None
