"""A raw photograph by hand: a DNG of one uncompressed mosaic, with or without a preview."""

from __future__ import annotations

import struct

import numpy as np

SHORT, LONG, RATIONAL, SIGNED_RATIONAL, BYTE, ASCII = 3, 4, 5, 10, 1, 2


def dng(
    colours: tuple[int, int, int] = (40_000, 20_000, 10_000),
    size: tuple[int, int] = (64, 48),
    orientation: int = 1,
    preview: bytes = b"",
    preview_size: tuple[int, int] = (0, 0),
) -> bytes:
    """A DNG (1.4) whose mosaic has one colour everywhere, taken 2021-05-06 at 10:11:12."""
    width, height = size
    mosaic = np.empty((height, width), "<u2")
    red, green, blue = colours
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = red, blue
    mosaic[0::2, 1::2] = mosaic[1::2, 0::2] = green
    unity = [n for row in np.eye(3, dtype=int) for n in row]
    one = [(int(value), 1) for value in unity]
    tags = {
        254: (LONG, [0]),
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [16]),
        259: (SHORT, [1]),
        262: (SHORT, [32_803]),
        271: (ASCII, b"Hand\0"),
        272: (ASCII, b"Made\0"),
        273: (LONG, ["pixels"]),
        274: (SHORT, [orientation]),
        277: (SHORT, [1]),
        278: (LONG, [height]),
        279: (LONG, [mosaic.nbytes]),
        306: (ASCII, b"2021:05:06 10:11:12\0"),
        33_421: (SHORT, [2, 2]),
        33_422: (BYTE, bytes((0, 1, 1, 2))),
        50_706: (BYTE, bytes((1, 4, 0, 0))),
        50_708: (ASCII, b"Hand Made\0"),
        50_717: (LONG, [65_535]),
        50_721: (SIGNED_RATIONAL, one),
        50_728: (RATIONAL, [(1, 1)] * 3),
        50_778: (SHORT, [21]),
    }
    if preview:
        tags[330] = (LONG, ["preview"])
    small = {
        254: (LONG, [1]),
        256: (LONG, [preview_size[0]]),
        257: (LONG, [preview_size[1]]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [7]),
        262: (SHORT, [6]),
        273: (LONG, ["jpeg"]),
        277: (SHORT, [3]),
        278: (LONG, [preview_size[1]]),
        279: (LONG, [len(preview)]),
    }
    start = {"pixels": 16, "jpeg": 16 + mosaic.nbytes}
    body = mosaic.tobytes() + preview + bytes(len(preview) % 2)
    start["preview"] = 16 + len(body)
    if preview:
        body += _directory(small, start, 16 + len(body))
    return (
        b"II*\0"
        + struct.pack("<I", 16 + len(body))
        + bytes(8)
        + body
        + _directory(tags, start, 16 + len(body))
    )


def _directory(tags: dict, start: dict[str, int], place: int) -> bytes:
    head, rest = struct.pack("<H", len(tags)), b""
    behind = place + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        count = len(values)
        if not isinstance(values, bytes):
            values = [start[value] if isinstance(value, str) else value for value in values]
            flat = [n for v in values for n in (v if isinstance(v, tuple) else (v,))]
            letter = {SHORT: "H", LONG: "I", RATIONAL: "I", SIGNED_RATIONAL: "i"}[kind]
            values = struct.pack(f"<{len(flat)}{letter}", *flat)
        if len(values) > 4:
            values, rest = struct.pack("<I", behind + len(rest)), rest + values
        head += struct.pack("<HHI", tag, kind, count) + values.ljust(4, b"\0")
    return head + bytes(4) + rest
