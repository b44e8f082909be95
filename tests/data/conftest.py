from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image


def _png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2), (200, 30, 30)).save(stream, "png")
    return stream.getvalue()


_PNG = _png()


@pytest.fixture
def put_images() -> Callable[[Path, Iterable[str]], None]:
    """Writes a tiny real image under each name below a folder."""

    def put(folder: Path, names: Iterable[str]) -> None:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_PNG)

    return put
