"""Several photos in one zip file, made while it is sent: nothing of it is stored here."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from user_itr.errors import DataError
from user_itr.search.found import PhotoFacts
from user_itr.server.pictures import OpenPhoto, open_photo
from user_itr.server.sending import CHUNK, disposition

ABSENT = "not in this archive.txt"
"""File of the archive that names the photos which could not be read."""

_ODD = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_NAME_BYTES = 240


class ArchiveAnswer(StreamingResponse):
    """A zip file of photos as they are, not compressed; each is opened when its turn comes.

    A photo that is gone, or is no image any more, is told of in a file of the archive (`ABSENT`).
    Where the client goes away, or a photo becomes shorter while it is sent, the connection is cut.

    Args:
        photos: to send.
        name: of the archive, for who saves it.
    """

    def __init__(self, photos: Sequence[PhotoFacts], name: str) -> None:
        self._parts = parts_of(photos)
        headers = {
            "content-disposition": disposition("attachment", name),
            "cache-control": "no-store",
        }
        super().__init__(
            iterate_in_threadpool(self._parts), media_type="application/zip", headers=headers
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the photo that is open at the end is closed, however it ends."""
        with closing(self._parts):
            await super().__call__(scope, receive, send)


class _Written:
    """A file that cannot seek: what is written to it waits to be sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """Nothing waits elsewhere."""

    def close(self) -> None:
        """There is nothing to close."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def parts_of(photos: Sequence[PhotoFacts]) -> Generator[bytes, None, None]:
    """The bytes of the archive, in parts of some 256 KiB.

    Raises:
        OSError: if a photo becomes shorter while it is read.
    """
    written, names, absent = _Written(), _Names(), []
    archive = zipfile.ZipFile(written, "w", zipfile.ZIP_STORED)
    for facts in photos:
        try:
            photo = open_photo(facts)
        except DataError as error:
            absent.append(str(error))
            continue
        with photo.file:
            try:
                photo.type()
            except DataError as error:
                absent.append(str(error))
                continue
            yield from _member(archive, written, photo, names.of(facts.path.name))
    if absent:
        text = "These photos could not be read:\n\n" + "\n".join(absent) + "\n"
        archive.writestr(names.of(ABSENT), text)
    archive.close()
    yield written.taken()


def _member(
    archive: zipfile.ZipFile, written: _Written, photo: OpenPhoto, name: str
) -> Iterator[bytes]:
    when = datetime.fromtimestamp(min(max(photo.modified, 0), 4_000_000_000))
    info = zipfile.ZipInfo(name, (max(when.year, 1980), *when.timetuple()[1:6]))
    info.file_size = photo.size
    info.external_attr = 0o644 << 16
    photo.file.seek(0)
    left = photo.size
    with archive.open(info, "w", force_zip64=left > zipfile.ZIP64_LIMIT // 2) as member:
        while left:
            content = photo.file.read(min(CHUNK, left))
            if not content:
                raise OSError(f"{name} became shorter while it was sent")
            left -= len(content)
            member.write(content)
            yield written.taken()


class _Names:
    """Names that no two photos share, and that every system can make files of."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        plain = _ODD.sub("_", name).strip(" .") or "photo"
        stem, ending = os.path.splitext(plain)  # noqa: PTH122 - no path
        if _RESERVED.fullmatch(plain):
            stem = f"_{stem}"
        stem = stem.encode()[:_NAME_BYTES].decode(errors="ignore")
        found, number = f"{stem}{ending}", 1
        while found.casefold() in self._taken:
            number += 1
            found = f"{stem} ({number}){ending}"
        self._taken.add(found.casefold())
        return found
