"""Photos of one size and one time that are renamed, swapped and overwritten; an independent oracle.

Every photo is a PNG without compression, so that all files have the same length; its noise and its
date tell which one it is. The oracle reads the files themselves: it knows nothing of an index.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import random
import struct
import zlib
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from inspect_index import files
from PIL import ExifTags, Image

from user_itr.features.preprocessing import Squash
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.update import IndexReport

SIDE = 6
SAME_TIME = 1_000_000_000_000_000_000
ANCHOR = "anchor.png"
"""A photo in each folder that is never moved alone: its folder is in use whatever else goes."""


class NoiseEncoder:
    """The pixels themselves, as a unit vector: photos of different noise are far apart."""

    def __init__(self) -> None:
        self.dim = SIDE * SIDE * 3
        self.description = "noise"
        self.fingerprint = hashlib.sha256(b"noise").hexdigest()
        self.draft = None
        self.worker_preprocess = Squash(SIDE, SIDE)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        return self.worker_preprocess(image)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        vectors = pixels.reshape(len(pixels), -1).astype(np.float32) - 128
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def unknown_words(self, text: str) -> list[str]:
        return []

    def encode_text(self, captions: list[str], batch_size: int = 256) -> np.ndarray:
        return np.ones((len(captions), self.dim), np.float32) / np.sqrt(self.dim)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def taken(number: int) -> datetime:
    return datetime(2001, 1, 1) + timedelta(minutes=number)


@functools.lru_cache(maxsize=20_000)
def photo_bytes(number: int) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken(number).strftime(
        "%Y:%m:%d %H:%M:%S"
    )
    file = io.BytesIO()
    Image.fromarray(noise(number)).save(file, "PNG", compress_level=0)
    written, body = file.getvalue(), b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return written[:33] + chunk + written[33:]  # behind the header, before the pixels


class Shuffle:
    """A folder of photos and everything that can happen to it.

    Args:
        root: the folder, which is made.
        choose: every choice comes from it.
        photos: how many there are at first.
    """

    def __init__(self, root: Path, choose: random.Random, photos: int) -> None:
        self.root = root
        self.choose = choose
        self.next_number = 0
        self.folders = ["", "one", "one/deep", "two", "three.2020"]
        for folder in self.folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            self._new(root / folder / ANCHOR)
        for number in range(photos):
            self._new(root / choose.choice(self.folders) / f"IMG_{number:04}.png")

    def _new(self, path: Path) -> None:
        path.write_bytes(photo_bytes(self.next_number))
        self.next_number += 1
        os.utime(path, ns=(SAME_TIME, SAME_TIME))

    def paths(self) -> list[Path]:
        return sorted(self.root.rglob("*.png"))

    def _some(self, most: int) -> list[Path]:
        movable = [path for path in self.paths() if path.name != ANCHOR]
        return self.choose.sample(movable, min(len(movable), self.choose.randint(2, most)))

    def step(self, what: str) -> None:
        """Do one of `STEPS`; nothing happens where there are too few photos for it."""
        if sum(path.name != ANCHOR for path in self.paths()) >= 2:
            getattr(self, what)()

    def renumber(self) -> None:
        """Every photo of a folder takes the name of the one after it, and a new one comes first."""
        folder = self.root / self.choose.choice(self.folders)
        names = sorted(p for p in folder.glob("*.png") if p.name != ANCHOR)
        for path in reversed(names):
            path.rename(path.with_name(f"{path.stem}+.png"))
        self._new(folder / "IMG_0000.png")

    def reverse(self) -> None:
        self._rotate(self._some(10_000), lambda paths: paths[::-1])

    def rotate(self) -> None:
        self._rotate(self._some(6), lambda paths: [*paths[1:], paths[0]])

    def _rotate(self, paths: list[Path], order: object) -> None:
        aside = [path.with_name(path.name + ".aside") for path in paths]
        for path, to in zip(paths, aside, strict=True):
            path.rename(to)
        for path, to in zip(aside, order(paths), strict=True):  # type: ignore[operator]
            path.rename(to)

    def swap_contents(self) -> None:
        """Two files are overwritten with each other's bytes: numbers, sizes, times stay."""
        one, *others = self._some(2)
        for other in others:
            first, second = one.read_bytes(), other.read_bytes()
            self._overwrite(one, second)
            self._overwrite(other, first)

    def _overwrite(self, path: Path, content: bytes) -> None:
        times = path.stat()
        with path.open("r+b") as file:
            file.write(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def overwrite(self) -> None:
        for path in self._some(4):
            self._overwrite(path, photo_bytes(self.next_number))
            self.next_number += 1

    def overwrite_by_another(self) -> None:
        first, *others = self._some(3)
        for other in others:
            self._overwrite(other, first.read_bytes())

    def copy(self) -> None:
        for path in self._some(4):
            to = self.root / self.choose.choice(self.folders) / f"copy-{self.next_number}.png"
            self.next_number += 1
            to.write_bytes(path.read_bytes())
            os.utime(to, ns=(SAME_TIME, SAME_TIME))

    def move(self) -> None:
        for path in self._some(5):
            path.replace(self.root / self.choose.choice(self.folders) / path.name)

    def delete(self) -> None:
        for path in self._some(3):
            path.unlink()

    def swap_folders(self) -> None:
        one, two = self.root / "one", self.root / "two"
        aside = self.root / "aside"
        one.rename(aside)
        two.rename(one)
        aside.rename(two)
        self.folders = ["", *self._below()]

    def rename_folder(self) -> None:
        """A folder gets another name, and perhaps another gets its name."""
        old = self.root / self.choose.choice([name for name in self.folders[1:] if "/" not in name])
        new = self.root / f"named-{self.next_number}"
        self.next_number += 1
        if old.name not in ("one", "two"):
            old.rename(new)
            self.folders = ["", *self._below()]

    def _below(self) -> list[str]:
        folders = (path for path in self.root.rglob("*") if path.is_dir())
        return sorted(str(path.relative_to(self.root)) for path in folders)

    def touch(self) -> None:
        for path in self._some(10):
            os.utime(path, ns=(SAME_TIME, self.choose.choice([SAME_TIME, SAME_TIME + 5])))

    def tick(self) -> None:
        """Wait until the clock of the file system has gone on: time stamps after this are new."""
        probe = self.root.with_name("probe")
        probe.touch()
        before = probe.stat().st_ctime_ns
        while probe.stat().st_ctime_ns == before:
            probe.write_bytes(b"x")

    def hashes(self) -> dict[str, str]:
        return {str(path): _hash(path.read_bytes()) for path in self.paths()}


STEPS = [
    *("renumber", "reverse", "rotate", "swap_contents", "overwrite", "overwrite_by_another"),
    *("copy", "move", "delete", "swap_folders", "rename_folder", "touch"),
]


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def check(index: ImageIndex, shuffle: Shuffle, report: IndexReport, known: set[str]) -> None:
    """Compare every row with its file, and what was encoded with what had to be.

    Args:
        index: after its update.
        shuffle: the folder.
        report: of the update.
        known: hashes of the contents that the index held before.
    """
    on_disk = shuffle.hashes()
    rows = files(index)
    assert rows.keys() == on_disk.keys()
    numbers = {_hash(photo_bytes(number)): number for number in range(shuffle.next_number)}
    encoder = NoiseEncoder()
    for path, digest in on_disk.items():
        row, status = rows[path], Path(path).stat()
        assert row.hash == digest, path
        assert (row.state.size, row.state.mtime_ns) == (status.st_size, status.st_mtime_ns), path
        facts = index.facts(photo_id(path))
        assert facts is not None
        assert facts.taken == taken(numbers[digest]), path
        embedding = index.embedding_of(photo_id(path))
        wanted = encoder.encode_pixels(noise(numbers[digest])[None])[0]
        assert np.allclose(embedding, wanted, atol=1e-3), path
    assert report.encoded == len(set(on_disk.values()) - known)
    seen = report.added + report.updated + report.moved + report.unchanged
    assert seen == len(on_disk)
    assert (report.skipped, report.kept) == ([], [])
