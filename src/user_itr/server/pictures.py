"""What the server sends of a photo: the file itself, or JPEG renditions kept in a bounded cache."""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from pathlib import Path

from user_itr.data.images import load_image, open_image
from user_itr.errors import DataError
from user_itr.files import replace_file
from user_itr.search.found import PhotoFacts

SIZES = (160, 320, 640)
"""Heights of thumbnails in pixels."""

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

DECODERS = max(2, os.cpu_count() or 1)
"""Photos decoded at once: a large one takes a gigabyte."""

QUALITY = 82
PRUNE_EVERY = 64
"""Writes between two looks at the size of the cache."""


class GoneError(DataError):
    """The file of an indexed photo is not there any more."""


class Pictures:
    """Renditions of photos.

    Args:
        cache: folder of the renditions, made when needed.
        most_bytes: that it may hold, give or take `PRUNE_EVERY` renditions.
    """

    def __init__(self, cache: Path, most_bytes: int) -> None:
        self.cache = cache
        self.most_bytes = most_bytes
        self._decoding = threading.Semaphore(DECODERS)
        self._written = 0

    def jpeg(self, facts: PhotoFacts, height: int) -> bytes:
        """A JPEG of a photo, at most `height` pixels high and four times as wide.

        Raises:
            GoneError: if the file is gone.
            DataError: if it cannot be decoded any more.
        """
        file = self.cache / f"{facts.id}-{version_of(facts)}-{height}.jpg"
        with suppress(OSError):
            content = file.read_bytes()
            with suppress(OSError):
                os.utime(file)  # the cache forgets what was not asked for longest
            return content
        path = real_file(facts)
        with self._decoding:
            image = load_image(path, draft=2 * height)
            image.thumbnail((4 * height, height))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY, progressive=True, optimize=True)
        with suppress(OSError):  # without a cache it is only slower
            self.cache.mkdir(parents=True, exist_ok=True)
            replace_file(file, buffer.getvalue())
            self._written += 1
            if self._written % PRUNE_EVERY == 1:
                self.prune()
        return buffer.getvalue()

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


def version_of(facts: PhotoFacts) -> str:
    """What changes with a photo's contents, as far as the index knows."""
    return f"{int(facts.modified.timestamp() * 1e6):x}-{facts.bytes:x}"


def browser_type(facts: PhotoFacts) -> tuple[Path, str | None]:
    """The file of a photo, and its media type where browsers show it, else None.

    Raises:
        GoneError: if the file is gone.
        DataError: if it is no image any more.
    """
    path = real_file(facts)
    try:
        with open_image(path) as header:
            return path, BROWSER_TYPES.get(str(header.format))
    except DataError:
        raise
    except Exception:
        raise DataError(f"{path.name}: is no image any more; index its folder again.") from None


def real_file(facts: PhotoFacts) -> Path:
    """The file of a photo, links followed as long as they stay in the folder that was indexed.

    Who may write to that folder could otherwise have the server send pictures from elsewhere.

    Raises:
        GoneError: if it is gone, is elsewhere, or is not mounted on this machine.
    """
    try:
        path = facts.path.resolve()
        there = path.is_file()
    except OSError:  # a path of another machine: too long here, or in a folder that is closed
        there = False
    if not there:
        raise GoneError(
            f"{facts.path.name}: the file is gone, or is not mounted on this machine; index its "
            "folder again, or mount it at the same path."
        )
    if not path.is_relative_to(facts.root.resolve()):
        raise GoneError(
            f"{facts.path.name}: is a link out of the indexed folder, which is not followed; "
            "put the photo itself there."
        )
    return path
