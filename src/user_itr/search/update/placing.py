"""Giving files their places among contents that the index knows, without decoding any."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from user_itr.errors import DataError, UnreadableError
from user_itr.search.file_state import same_file
from user_itr.search.names import same_form
from user_itr.search.photos import Contents, hash_photo
from user_itr.search.store.base import FileRow, PhotoStore
from user_itr.search.update.comparing import Comparison, Rows
from user_itr.search.walk import Walk

CHUNK_ROWS = 512


@dataclass(slots=True)
class Placed:
    """What became of the files that were looked into.

    Attributes:
        encode: paths whose contents the index does not know.
        copies: of these, the rows of further files with the same contents, by hash.
        unreadable: paths that could not be read, with the reason.
        moved_from: paths that the index has no more, because their photos moved away.
        old_roots: roots that photos moved away from.
        old_folders: folders that files were moved out of, on a file system that is there: what is
            not found in them is gone.
        done: files that are through.
    """

    encode: list[str] = field(default_factory=list)
    copies: dict[str, list[FileRow]] = field(default_factory=lambda: defaultdict(list))
    unreadable: dict[str, str] = field(default_factory=dict)
    moved_from: set[str] = field(default_factory=set)
    old_roots: set[str] = field(default_factory=set)
    old_folders: set[str] = field(default_factory=set)
    done: int = 0


def place(
    store: PhotoStore,
    found: Walk,
    compared: Comparison,
    rows: Rows,
    workers: int,
    show: Callable[[int], None],
) -> Placed:
    """Point files at known contents, chunk by chunk; says what is left to encode.

    Only files whose size the index, or another file of this run, has are read for it. A file that
    is new takes the place of a row with its contents whose file is gone: it was moved.
    """
    placed = Placed()
    sizes = Counter(found.files[path].size for path in compared.todo)
    known_sizes = store.content_sizes() if compared.todo else set()
    doubtful = []
    for path in compared.todo:
        size = found.files[path].size
        if size in known_sizes or sizes[size] > 1 or path in compared.trusted:
            doubtful.append(path)
        else:
            placed.encode.append(path)
    with ThreadPoolExecutor(workers, thread_name_prefix="hash") as pool:
        for start in range(0, len(doubtful), CHUNK_ROWS):
            chunk = doubtful[start : start + CHUNK_ROWS]
            read = dict(zip(chunk, pool.map(_read, chunk), strict=True))
            _place_chunk(store, found, compared, rows, placed, read)
            if placed.done:
                show(placed.done)
    placed.encode.sort()
    return placed


def _read(path: str) -> Contents | DataError:
    try:
        return hash_photo(Path(path))
    except DataError as error:
        return error


def _place_chunk(
    store: PhotoStore,
    found: Walk,
    compared: Comparison,
    rows: Rows,
    placed: Placed,
    read: dict[str, Contents | DataError],
) -> None:
    known = store.known({one.hash for one in read.values() if isinstance(one, Contents)})
    report = rows.report
    ready: list[FileRow] = []
    for path, one in read.items():
        if isinstance(one, UnreadableError):
            placed.unreadable[path] = str(one).removeprefix(f"{path}: ")
            continue
        if isinstance(one, DataError):
            placed.encode.append(path)  # where it is reported
            continue
        if path in compared.trusted and one.hash != compared.rows[path].hash:
            report.differed += 1
        if one.hash in known:
            ready.append(rows.row(path, one))
        elif one.hash in placed.copies:
            placed.copies[one.hash].append(rows.row(path, one))
        else:
            placed.copies[one.hash] = []
            placed.encode.append(path)
    new = [row for row in ready if row.path not in compared.rows]
    sources = dict(match_moves(new, _gone(store, found, new)))
    lost = set(store.write(ready, (), [source.path for source in sources.values()]))
    placed.moved_from |= {source.path for source in sources.values()}
    for row in ready:
        if row.path in lost:  # the store has no embedding of these contents any more
            placed.encode.append(row.path)
            continue
        placed.done += 1
        before = compared.rows.get(row.path)
        if before is not None:
            alike = (before.hash, before.taken) == (row.hash, row.taken)
            report.unchanged += alike
            report.updated += not alike
        elif row.path in sources:
            report.moved += 1
            source = sources[row.path]
            placed.old_roots.add(source.root)
            if same_file(source.state, found.files[row.path]):
                placed.old_folders.add(os.path.dirname(source.path))  # noqa: PTH120 - on text
        else:
            report.added += 1


def _gone(store: PhotoStore, found: Walk, new: Sequence[FileRow]) -> list[FileRow]:
    """Rows with the contents of new files, whose own files are there no more."""
    if not new:
        return []
    spellings = {same_form(row.path).casefold(): row.path for row in new}
    gone = []
    for row in store.holding({row.hash for row in new}):
        if row.path in found.files or row.path in found.present:
            continue
        spelled = spellings.get(same_form(row.path).casefold())
        if is_gone(row.path) or (spelled is not None and _is_one_file(row.path, spelled)):
            gone.append(row)
    return gone


def _is_one_file(old: str, new: str) -> bool:
    """Whether a file answers to its old name, too, as where case or Unicode form do not count."""
    with suppress(OSError):
        return os.path.samefile(old, new)  # noqa: PTH121 - on text
    return False


def is_gone(path: str) -> bool:
    """Whether nothing is at a path, by a file system that answers."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def match_moves(new: Sequence[FileRow], gone: Sequence[FileRow]) -> Iterator[tuple[str, FileRow]]:
    """The path of each file that moved, with the row that it had; each row goes to one file.

    Where several have the same contents, the one with the same number is preferred, then one with
    the same path below its root, then one with the same name.
    """
    left: dict[str, list[FileRow]] = defaultdict(list)
    for row in sorted(gone, key=lambda row: row.path):
        left[row.hash].append(row)
    waiting = [row for row in new if row.hash in left]
    for alike in (_same_inode, _same_place, _same_name, _any):
        unmatched = []
        for row in waiting:
            olds = left[row.hash]
            old = next((old for old in olds if alike(row, old)), None)
            if old is None:
                unmatched.append(row)
            else:
                olds.remove(old)
                yield row.path, old
        waiting = unmatched


def _same_inode(row: FileRow, old: FileRow) -> bool:
    return 0 != row.state.inode == old.state.inode


def _same_place(row: FileRow, old: FileRow) -> bool:
    return _below_root(row) == _below_root(old)


def _same_name(row: FileRow, old: FileRow) -> bool:
    return PurePath(row.path).name == PurePath(old.path).name


def _any(_row: FileRow, _old: FileRow) -> bool:
    return True


def _below_root(row: FileRow) -> str:
    return row.path.removeprefix(row.root)
