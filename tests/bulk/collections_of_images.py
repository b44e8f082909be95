"""Small collections to encode: pictures in folders and in WebDataset tars."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

SEARCH_TESTS = Path(__file__).parents[1] / "search"
if str(SEARCH_TESTS) not in sys.path:
    sys.path.append(str(SEARCH_TESTS))


def picture(seed: int, kind: str = "PNG") -> bytes:
    """An encoded picture of a few flat colours, another for each seed."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).resize((30 + seed % 7, 20), Image.Resampling.NEAREST).save(file, kind)
    return file.getvalue()


def write_pictures(folder: Path, seeds: Iterable[int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:03d}.png").write_bytes(picture(seed))
    return folder


def write_tar(file: Path, members: Iterable[tuple[str, bytes]], **options: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", **options) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def samples(seeds: Iterable[int]) -> list[tuple[str, bytes]]:
    """Members of a tar in img2dataset's way: NNN.jpg and NNN.txt."""
    members = []
    for seed in seeds:
        members.append((f"{seed:03d}.png", picture(seed)))
        members.append((f"{seed:03d}.txt", f"picture {seed}".encode()))
    return members
