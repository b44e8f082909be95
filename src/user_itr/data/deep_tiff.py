"""TIFFs of deep pixels that Pillow does not unpack.

They have float16 or float64, colours of floats or of 32 bits, 32 bits big-endian, or a white zero.
Of these only the plain ones are read: in strips, colours side by side, and not packed or by deflate
(TIFF 6.0, sections 3 to 8 and 19).
"""

from __future__ import annotations

import io
import zlib
from contextlib import suppress

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from user_itr.data.tones import eight_bits

_KINDS = {1: "u", 2: "i", 3: "f"}
_DEFLATE = (8, 32_946)


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow would read a TIFF's bytes in the wrong order: big-endian, deep and packed."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and (
        tags.prefix == b"MM" and image.mode in ("I", "F") and tags.get(259, 1) != 1
    )


def unpack_deep_tiff(content: bytes, most_pixels: int) -> Image.Image | None:
    """The picture in 8 bits a colour, as its pixels lie; None of what is something else.

    Args:
        content: the file.
        most_pixels: pictures of more are not unpacked.
    """
    with suppress(Exception):  # tags of files from anybody
        tags = ImageFileDirectory_v2(content[:8])
        stream = io.BytesIO(content)
        stream.seek(tags.next)
        tags.load(stream)
        width, height = int(tags[256]), int(tags[257])
        samples = int(tags.get(277, 1))
        bits, kinds = set(tags[258]), set(tags.get(339, (1,)))
        photometric, packing = int(tags[262]), int(tags.get(259, 1))
        if width * height > most_pixels or len(bits) != 1 or len(kinds) != 1:
            return None
        if tags.get(284, 1) != 1 or tags.get(317, 1) != 1 or packing not in (1, *_DEFLATE):
            return None
        if (photometric, samples) not in ((0, 1), (1, 1), (2, 3), (2, 4)):
            return None
        order = "<" if content.startswith(b"II") else ">"
        kind = np.dtype(f"{order}{_KINDS[kinds.pop()]}{bits.pop() // 8}")
        wanted = width * height * samples * kind.itemsize
        data = b""
        for start, length in zip(tags[273], tags[279], strict=True):
            strip = content[start : start + length]
            if packing in _DEFLATE:
                strip = zlib.decompressobj().decompress(strip, wanted - len(data))
            data += strip
        values = np.frombuffer(data, kind, width * height * samples)
        shape = (height, width) if samples == 1 else (height, width, samples)
        pixels = eight_bits(values.reshape(shape).astype(kind.newbyteorder("=")))
        return Image.fromarray(255 - pixels if photometric == 0 else pixels)
    return None
