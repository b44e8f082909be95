"""What will be encoded, in which order and in which shard: found once, kept in a Parquet file.

A row group of the file is a shard, so that a worker anywhere reads the part that it needs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from user_itr.data.images import find_files
from user_itr.data.webdataset import ArchiveMember, Sample, list_samples
from user_itr.errors import CollectionError, DataError
from user_itr.search.leaving_out import WalkOptions
from user_itr.search.photos import Skipped
from user_itr.search.walk import walk

ARCHIVE_SUFFIX = ".tar"
_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("key", pa.string()),
        ("caption", pa.string()),
        ("name", pa.string()),  # the rest only in tars
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("archive_size", pa.int64()),
        ("archive_mtime_ns", pa.int64()),
    ]
)
_SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Item:
    """One image of the plan.

    Attributes:
        source: the folder or the tar that it is in, absolute.
        key: path below the folder with "/", or WebDataset's `__key__`.
        photo: where its bytes are.
        caption: what came with it.
    """

    source: str
    key: str
    photo: Path | ArchiveMember
    caption: str | None = None


class Plan:
    """A plan that was made; open one as often as needed, it reads a shard's part at a time.

    Args:
        file: as `make_plan` wrote it.

    Attributes:
        items: images in all shards.
        shards: their number.
        skipped: what the search for images left out, and why.

    Raises:
        CollectionError: if it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._file = pq.ParquetFile(file)
            self.items = int(self._file.metadata.num_rows)
            self.shards = int(self._file.num_row_groups)
            skipped = json.loads(self._file.metadata.metadata[_SKIPPED.encode()])
            self.skipped: list[Skipped] = [(Path(path), str(reason)) for path, reason in skipped]
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise CollectionError(
                f"{file}: cannot be read ({str(error).splitlines()[0]}); begin anew with "
                "--overwrite."
            ) from error

    def shard(self, number: int) -> list[Item]:
        """The items of a shard, in order."""
        columns = self._file.read_row_group(number).to_pydict()
        items = []
        for source, key, caption, *place in zip(
            *(columns[name] for name in _SCHEMA.names), strict=True
        ):
            packed = place[0] is not None
            photo = ArchiveMember(Path(source), *place) if packed else Path(source, key)
            items.append(Item(source, key, photo, caption))
        return items

    def shard_items(self, number: int) -> int:
        """How many items a shard has."""
        return int(self._file.metadata.row_group(number).num_rows)


def absolute_sources(sources: Sequence[str | Path]) -> list[Path]:
    """The sources as absolute paths, in the order given.

    Raises:
        DataError: if one is missing, or an image would be encoded twice.
    """
    found = [Path(source).resolve() for source in sources]
    for source in found:
        if not _is_utf8(source):
            raise DataError(f"{source!a}: its name is not valid UTF-8; rename it.")
        if not source.exists():
            raise DataError(f"{source}: no such folder or tar; check the path, or mount its disk.")
    for number, source in enumerate(found):
        for other in found[:number]:
            if source == other or source in other.parents or other in source.parents:
                raise DataError(
                    f"{source}: its images come with {other} already; give each place once."
                )
    return found


def make_plan(
    file: Path,
    sources: Sequence[Path],
    shard_rows: int,
    listed: Callable[[int], None] | None = None,
) -> None:
    """Find all images of folders and WebDataset tars, and cut them into shards.

    A folder gives the images below it in sorted order, then the `.tar` files below it likewise; a
    tar gives its samples in their order.

    Args:
        file: the plan; what is there before the call has returned is not whole.
        sources: as `absolute_sources` gives them.
        shard_rows: items a shard; the last one may have fewer.
        listed: called with the number of items so far.

    Raises:
        DataError: if there is no image.
        OSError: if the file cannot be written.
    """
    skipped: list[Skipped] = []
    waiting: list[Item] = []
    count = 0
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:

        def write() -> None:
            rows = pa.Table.from_pylist([_row(item) for item in waiting], _SCHEMA)
            writer.write_table(rows, row_group_size=shard_rows)
            waiting.clear()

        for entry in _entries(sources):
            if isinstance(entry, Item):
                waiting.append(entry)
                count += 1
                if listed is not None and count % 1000 == 0:
                    listed(count)
                if len(waiting) == shard_rows:
                    write()
            else:
                skipped.append(entry)
        if waiting:
            write()
        if not count:
            raise _nothing(sources, skipped)
        reasons = [(str(path), reason) for path, reason in skipped]
        writer.add_key_value_metadata({_SKIPPED: json.dumps(reasons)})
    if listed is not None:
        listed(count)


def _row(item: Item) -> dict[str, object]:
    row: dict[str, object] = {"source": item.source, "key": item.key, "caption": item.caption}
    if isinstance(photo := item.photo, ArchiveMember):
        row |= {"name": photo.name, "offset": photo.offset, "size": photo.size}
        row |= {"archive_size": photo.archive_size, "archive_mtime_ns": photo.archive_mtime_ns}
    return row


def _nothing(sources: Sequence[Path], skipped: Sequence[Skipped]) -> DataError:
    where = ", ".join(map(str, sources))
    if skipped:
        path, reason = skipped[0]
        return DataError(f"{where}: no image can be used; first {path}: {reason}")
    return DataError(
        f"{where}: no images found; give folders of images, or uncompressed WebDataset tars."
    )


def _entries(sources: Sequence[Path]) -> Iterator[Item | Skipped]:
    for source in sources:
        if not source.is_dir():
            yield from _archive(source)
            continue
        found = walk(str(source), WalkOptions(include_hidden=True))  # data sets are taken whole
        yield from found.skipped
        yield from ((Path(folder), f"{reason}.") for folder, reason in found.troubles.items())
        for path in sorted(found.files):
            yield Item(str(source), Path(path).relative_to(source).as_posix(), Path(path))
        for archive in find_files(source, {ARCHIVE_SUFFIX}):
            yield from _archive(archive)


def _archive(archive: Path) -> Iterator[Item | Skipped]:
    if not _is_utf8(archive):
        yield archive, "its name is not valid UTF-8; rename the file."
        return
    try:
        for entry in list_samples(archive):
            if isinstance(entry, Sample):
                yield Item(str(archive), entry.key, entry.image, entry.caption)
            else:
                place = f"{entry.file}/{entry.where}" if entry.where else str(entry.file)
                yield Path(place), entry.message
    except DataError as error:
        yield archive, str(error).removeprefix(f"{archive}: ")


def _is_utf8(path: Path) -> bool:
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True
