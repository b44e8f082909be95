"""What the server sends of a photo: the file itself, or JPEG renditions kept in a bounded cache."""

from __future__ import annotations

import asyncio
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool

from user_itr.data.images import open_image
from user_itr.data.reading import MAX_BYTES, OutsideError, open_within, require_size
from user_itr.errors import DataError
from user_itr.files import replace_file
from user_itr.search.found import PhotoFacts
from user_itr.server.decoding import Decoders
from user_itr.server.limits import THUMBNAILS

RENDITION = 2_160
"""Height of the picture that stands for a file which browsers do not show."""

BROWSER_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
"""Pillow's formats that browsers show, and their media types."""

IDENTITY = 32
"""Bytes at the start of a cached rendition: of which state of the file it is."""

THREADS = 2 * THUMBNAILS
"""That have renditions made: while some decode, others read and write files."""

PRUNE_EVERY = 64
"""Writes between two looks at the size of the cache."""


class GoneError(DataError):
    """The file of an indexed photo is not there any more."""


class MissingError(GoneError):
    """There is no file at the path of an indexed photo, or its disk is not mounted."""


@dataclass(frozen=True, slots=True)
class OpenPhoto:
    """The file of a photo, opened once: what is checked, decoded and sent is this file.

    Attributes:
        facts: of the index.
        file: open for reading.
        size: bytes.
        modified: seconds since 1970.
        identity: 32 hex digits that change with the file's contents, name or place.
    """

    facts: PhotoFacts
    file: BinaryIO
    size: int
    modified: float
    identity: str

    def type(self) -> str | None:
        """The media type, where browsers show the format; else None.

        Raises:
            DataError: if it is no image any more.
        """
        name = self.facts.path.name
        require_size(Path(name), self.size)
        copy = os.fdopen(os.dup(self.file.fileno()), "rb")
        copy.seek(0)
        try:
            with copy, open_image(Path(name), file=copy) as header:
                return BROWSER_TYPES.get(str(header.format))
        except DataError:
            raise
        except Exception:
            raise DataError(f"{name}: is no image any more; index its folder again.") from None

    def is_unchanged(self) -> bool:
        """Whether the file is still as it was when it was opened."""
        return _identity(self.facts, os.fstat(self.file.fileno())) == self.identity


@dataclass(frozen=True, slots=True)
class Rendition:
    """A JPEG of a photo.

    Attributes:
        identity: of the file that it was made of.
        content: the JPEG.
    """

    identity: str
    content: bytes


class Pictures:
    """Files and renditions of photos.

    Args:
        cache: folder of the renditions, made when needed.
        most_bytes: that it may hold, give or take `PRUNE_EVERY` renditions.
        decoders: that make them.
    """

    def __init__(self, cache: Path, most_bytes: int, decoders: Decoders) -> None:
        self.cache = cache
        self.most_bytes = most_bytes
        self._decoders = decoders
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="thumbnail")
        self._written = 0

    def close(self) -> None:
        """End the threads; what waits for them is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def rendition(self, facts: PhotoFacts, height: int) -> Rendition:
        """A JPEG of a photo, kept or made; see `jpeg`.

        Raises:
            DataError: if it cannot be decoded any more.
            GoneError: if its file is gone, and none was kept.
        """
        kept = await run_in_threadpool(self._kept, facts, height)
        if kept is not None:
            return kept
        # Threads of its own: those that wait for a decoder would keep searches waiting.
        making = asyncio.get_running_loop().run_in_executor(
            self._threads, self._made, facts, height
        )
        return await making

    def _kept(self, facts: PhotoFacts, height: int) -> Rendition | None:
        try:
            photo = open_photo(facts)
        except MissingError:
            remembered = self.remembered(facts, height)
            if remembered is None:
                raise
            return remembered
        with photo.file:
            return self._known(photo, height)

    def _made(self, facts: PhotoFacts, height: int) -> Rendition:
        with (photo := open_photo(facts)).file:
            return self.jpeg(photo, height)

    def _known(self, photo: OpenPhoto, height: int) -> Rendition | None:
        found = _read(self._cached(photo.facts, photo.modified, photo.size, height))
        return found if found is not None and found.identity == photo.identity else None

    def jpeg(self, photo: OpenPhoto, height: int) -> Rendition:
        """A JPEG of a photo, at most `height` pixels high and four times as wide.

        Raises:
            DataError: if it cannot be decoded any more.
        """
        if (known := self._known(photo, height)) is not None:
            return known
        file = self._cached(photo.facts, photo.modified, photo.size, height)
        require_size(photo.facts.path, photo.size)
        photo.file.seek(0)
        content = photo.file.read(MAX_BYTES)
        name = str(photo.facts.path)
        made = self._decoders.ask(name, content, name=name, height=height)[1]
        if photo.is_unchanged():
            with suppress(OSError):  # without a cache it is only slower
                self.cache.mkdir(parents=True, exist_ok=True)
                replace_file(file, photo.identity.encode() + made)
                self._written += 1
                if self._written % PRUNE_EVERY == 1:
                    self.prune()
        return Rendition(photo.identity, made)

    def remembered(self, facts: PhotoFacts, height: int) -> Rendition | None:
        """The JPEG of a photo whose file is not mounted here, if one was made as it was indexed."""
        return _read(self._cached(facts, facts.modified.timestamp(), facts.bytes, height))

    def prune(self) -> None:
        """Delete renditions, those longest unused first, until the cache fits its bound."""
        files = []
        for entry in os.scandir(self.cache):
            with suppress(OSError):
                status = entry.stat()
                files.append((status.st_mtime, status.st_size, entry.path))
        excess = sum(size for _, size, _ in files) - self.most_bytes
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            with suppress(OSError):
                Path(path).unlink()
                excess -= size

    def _cached(self, facts: PhotoFacts, modified: float, size: int, height: int) -> Path:
        return self.cache / f"{facts.id}-{int(modified):x}-{size:x}-{height}.rendition"


def open_photo(facts: PhotoFacts) -> OpenPhoto:
    """Open the file of a photo, links followed as long as they stay in the folder of the index.

    Who may write to that folder could otherwise have the server send pictures from elsewhere.

    Raises:
        MissingError: if it is gone, or is not mounted on this machine.
        GoneError: if it is elsewhere.
    """
    try:
        file = open_within(facts.path, facts.root)
    except OutsideError:
        raise GoneError(
            f"{facts.path.name}: is a link out of the indexed folder, which the server does not "
            "follow; index the folder that it leads to, or put the photo itself here."
        ) from None
    except (OSError, DataError):  # a path of another machine: too long here, or in a closed folder
        raise MissingError(
            f"{facts.path.name}: the file is gone, or is not mounted on this machine; index its "
            "folder again, or mount it at the same path."
        ) from None
    status = os.fstat(file.fileno())
    identity = _identity(facts, status)
    return OpenPhoto(facts, file, status.st_size, status.st_mtime, identity)


def _identity(facts: PhotoFacts, status: os.stat_result) -> str:
    """Of the file that was opened. Its device is left out: machines that share it number it."""
    parts = (facts.id, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.blake2b(repr(parts).encode(), digest_size=IDENTITY // 2).hexdigest()


def _read(file: Path) -> Rendition | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if len(content) <= IDENTITY:
        return None
    with suppress(OSError):
        os.utime(file)  # the cache forgets what was not asked for longest
    return Rendition(content[:IDENTITY].decode("latin-1"), content[IDENTITY:])
