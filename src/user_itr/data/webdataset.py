"""WebDataset tars: images inside an uncompressed tar, listed by its headers and read in place.

Members of one sample stand together and share a key, the name up to the first dot of its last part
(https://github.com/webdataset/webdataset). Nothing is ever extracted to a disk.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from user_itr.data.images import IMAGE_SUFFIXES
from user_itr.data.problems import Problem
from user_itr.errors import DataError
from user_itr.files import parse_json

MAX_CAPTION_BYTES = 1 << 20
"""Larger text members are no captions."""


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A file inside an uncompressed tar, by its place.

    Attributes:
        archive: the tar.
        name: of the member.
        offset: byte of the tar at which its contents begin.
        size: bytes.
        archive_size: bytes of the whole tar when it was listed.
        archive_mtime_ns: when the tar had last been changed.
    """

    archive: Path
    name: str
    offset: int
    size: int
    archive_size: int
    archive_mtime_ns: int

    @property
    def path(self) -> Path:
        """TAR/NAME: no file, but what messages call it."""
        return Path(f"{self.archive}/{self.name}")

    def read(self) -> bytes:
        """The contents.

        Raises:
            DataError: if the tar cannot be read, or is not the one that was listed.
        """
        try:
            with self.archive.open("rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_size, status.st_mtime_ns) != (
                    self.archive_size,
                    self.archive_mtime_ns,
                ):
                    raise DataError(
                        f"{self.path}: the tar has changed since it was listed; list it again."
                    )
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read ({error.strerror}); check the tar."
            ) from error


@dataclass(frozen=True, slots=True)
class Sample:
    """An image of a WebDataset tar.

    Attributes:
        key: WebDataset's `__key__`.
        image: where its bytes are.
        caption: of the `txt` member, or "caption" of the `json` member, a line each of several,
            where there is one.
    """

    key: str
    image: ArchiveMember
    caption: str | None


def list_samples(archive: Path) -> Generator[Sample | Problem, None, None]:
    """The images of a WebDataset tar in their order, each with its caption.

    Only headers and captions are read. What cannot be used is yielded as a `Problem` in its place:
    a second image of a key, a key that comes again, a caption that is no text, the place where the
    tar is damaged or cut short. Links, folders and members of other kinds are passed over.

    Raises:
        DataError: if the file cannot be read, or is no uncompressed tar.
    """
    seen: set[str] = set()
    with _opened(archive) as file, _as_tar(archive, file) as tar:
        status = os.fstat(file.fileno())
        damage = None
        group: list[tarfile.TarInfo] = []
        for entry in _members(tar, file, archive, status.st_size):
            if isinstance(entry, Problem):
                damage = entry
                break
            if group and _split(entry.name)[0] != _split(group[0].name)[0]:
                yield from _sample(file, archive, status, group, seen)
                group = []
            group.append(entry)
        yield from _sample(file, archive, status, group, seen)
        if damage is not None:
            yield damage


def _opened(archive: Path) -> BinaryIO:
    try:
        return archive.open("rb")
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror}); check the file.") from error


def _as_tar(archive: Path, file: BinaryIO) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:")
    except tarfile.TarError as error:
        raise DataError(
            f"{archive}: is no uncompressed tar ({error}); unpack .tar.gz to .tar, or get the file "
            "again."
        ) from error


def _members(
    tar: tarfile.TarFile, file: BinaryIO, archive: Path, size: int
) -> Iterator[tarfile.TarInfo | Problem]:
    """Plain files whose contents are all there, and a `Problem` at the end if it came too early."""
    last = "its beginning"
    while True:
        try:
            member = tar.next()
        except (tarfile.TarError, OSError, ValueError) as error:
            if tar.offset == 0 and _fault_of_end(file, 0) is None:  # empty, before Python 3.11
                return
            yield _damage(archive, last, f"is cut short or damaged ({error})")
            return
        tar.members = []  # type: ignore[attr-defined]  # or it keeps every header
        if member is None:
            if (fault := _fault_of_end(file, tar.offset)) is not None:
                yield _damage(archive, last, fault)
            return
        if member.size < 0 or tar.offset <= member.offset:  # would go round in circles
            yield _damage(archive, last, "is damaged")
            return
        if member.offset_data + member.size > size and member.isreg():
            yield _damage(archive, last, f"is cut short inside {member.name}")
            return
        last = member.name
        if member.isreg() and not member.issparse() and all(_split(member.name)):
            yield member


def _fault_of_end(file: BinaryIO, offset: int) -> str | None:
    """`tarfile` takes a damaged header, and no header, for the end; a real one is a zero block."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        return "has no end mark, as if it had been cut short"
    return "is damaged" if block.strip(b"\0") else None


def _damage(archive: Path, last: str, fault: str) -> Problem:
    return Problem(archive, "", f"{fault}; nothing after {last} was read; get the tar again.")


def _split(name: str) -> tuple[str, str]:
    """Key and extension: "a/b.c.JPG" -> ("a/b", "c.jpg"); an empty key for "a/.b"."""
    folder, slash, last = name.rpartition("/")
    stem, _, extension = last.partition(".")
    return (folder + slash + stem if stem else ""), extension.lower()


def _sample(
    file: BinaryIO,
    archive: Path,
    status: os.stat_result,
    group: list[tarfile.TarInfo],
    seen: set[str],
) -> Iterator[Sample | Problem]:
    """The sample that the members of one key make, if an image is among them."""
    images = [member for member in group if f".{_split(member.name)[1]}" in IMAGE_SUFFIXES]
    if not images:
        return
    key, _ = _split(group[0].name)
    for name in (image.name for image in images[1:]):
        yield Problem(archive, name, f"its key has an image already, {images[0].name}; left out.")
    if key in seen:
        yield Problem(archive, images[0].name, "its key came before in this tar; left out.")
        return
    seen.add(key)
    if not _encodable(images[0].name):
        yield Problem(archive, images[0].name, "its name is not valid UTF-8; rename it.")
        return
    caption = _caption(file, archive, group)
    if isinstance(caption, Problem):
        yield caption
        caption = None
    image = images[0]
    place = (image.offset_data, image.size, status.st_size, status.st_mtime_ns)
    yield Sample(key, ArchiveMember(archive, image.name, *place), caption)


def _caption(file: BinaryIO, archive: Path, group: list[tarfile.TarInfo]) -> str | Problem | None:
    by_extension = {_split(member.name)[1]: member for member in group}
    member = by_extension.get("txt") or by_extension.get("json")
    if member is None:
        return None
    if member.size > MAX_CAPTION_BYTES:
        return Problem(archive, member.name, f"{member.size:,} bytes are no caption; left out.")
    file.seek(member.offset_data)
    content = file.read(member.size)
    if member is by_extension.get("txt"):
        try:
            return content.decode("utf-8").strip()
        except UnicodeDecodeError:
            return Problem(archive, member.name, "is no UTF-8; the image goes without a caption.")
    try:
        fields = parse_json(content)
    except ValueError:
        return Problem(archive, member.name, "is no JSON; the image goes without a caption.")
    caption = fields.get("caption") if isinstance(fields, dict) else None
    if isinstance(caption, list) and all(isinstance(one, str) for one in caption):
        caption = "\n".join(" ".join(one.split()) for one in caption)
    return caption if isinstance(caption, str) and _encodable(caption) else None


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
