"""Multi30K: `task1/raw/test_2016_flickr.en.gz` with `task1/image_splits/test_2016_flickr.txt`.

Task 1 has a caption an image in several languages, translated from one another; task 2 has five of
each in English and German, written alone (`task2/raw/train.1.en`). A line of a caption file is of
the image on the same line of the split's list. A split is "train" for English, "train.de" for
another language, and "task2.train" for the five captions of task 2.
Source: Elliott et al., "Multi30K: Multilingual English-German Image Descriptions", 2016;
github.com/multi30k/dataset, folder `data`.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.image_folder import guess_image_folder
from user_itr.data.readers.set_builder import SetBuilder, match_split, sort_splits
from user_itr.data.readers.text import read_lines
from user_itr.errors import DataError

LAYOUT = "task1/raw/*.en and task1/image_splits/*.txt (Multi30K)"

_RAW = re.compile(r"(?P<part>.+?)(?:\.(?P<number>[1-5]))?\.(?P<language>[a-z]{2})(?:\.gz)?")
_IMAGE_FOLDERS = ("flickr30k-images", "flickr30k_images", "images", "Images")


def detect(root: Path) -> bool:
    """Whether `root`, or its folder `data`, holds `task1/image_splits` or the same of task 2."""
    return any((home / task / "image_splits").is_dir() for home, task in _homes(root))


def splits(root: Path) -> list[str]:
    """The splits that have both captions and a list of images.

    Raises:
        DataError: if there is none.
    """
    return sort_splits(set(_by_split(root)))


def read(
    root: Path,
    split: str,
    images: Path | None,
    problems: list[Problem],
    *,
    pictures: bool = True,
) -> CaptionedImages:
    """Read one split; image ids are file names of Flickr30K.

    Args:
        root: the repository, or its folder `data`.
        split: see the top of this file.
        images: the images of Flickr30K; guessed beside by default.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether the image files must be there.

    Raises:
        DataError: if a file, the split or every image is missing, or lines do not fit.
    """
    places = _by_split(root)
    split = match_split(root, split, sort_splits(set(places)))
    listed, files = places[split]
    # Test lists of later years name images as "1000.jpg#3", of which the number says nothing.
    lines = [line and line.strip().partition("#")[0] for line in read_lines(listed, problems)]
    names = [line for line in lines if line]
    beside = [home / name for home in (root, root / "data", root.parent) for name in _IMAGE_FOLDERS]
    folder = guess_image_folder(root, images, beside, names, needed=pictures)
    builder = SetBuilder("multi30k", split, folder, problems)
    ids = [
        builder.add_image(line, listed, f"line {number}") if line else None
        for number, line in enumerate(lines, start=1)
    ]
    for file in files:
        captions = _lines(file)
        if len(captions) != len(lines):
            raise DataError(
                f"{file}: has {len(captions):,} lines, and {listed.name} lists {len(lines):,} "
                "images; give a line an image."
            )
        for number, (image_id, caption) in enumerate(zip(ids, captions, strict=True), start=1):
            if image_id is not None:
                builder.add_caption(image_id, caption, file, f"line {number}")
    return builder.build()


def _homes(root: Path) -> list[tuple[Path, str]]:
    if not root.is_dir():
        return []
    return [(home, task) for home in (root, root / "data") for task in ("task1", "task2")]


def _by_split(root: Path) -> dict[str, tuple[Path, list[Path]]]:
    """The list of images and the files of captions of each split."""
    found: dict[str, tuple[Path, list[Path]]] = {}
    for home, task in _homes(root):
        folder = home / task / "raw"
        for file in sorted(folder.iterdir()) if folder.is_dir() else []:
            match = _RAW.fullmatch(file.name)
            if match is None:
                continue
            listed = _list_of(home / task / "image_splits", match["part"])
            if listed is None:
                continue
            name = match["part"] if task == "task1" else f"task2.{match['part']}"
            name += "" if match["language"] == "en" else f".{match['language']}"
            files = found.setdefault(name, (listed, []))[1]
            if file.with_suffix("") not in files:  # the same, packed and unpacked
                files.append(file)
    if not found:
        raise DataError(f"{root}: no raw/*.en with image_splits/*.txt; give Multi30K's `data`.")
    return found


def _list_of(folder: Path, part: str) -> Path | None:
    """The list of a split, which may be packed, or called "train_images.txt"."""
    names = (f"{part}.txt", f"{part}_images.txt")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _lines(file: Path) -> list[str]:
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); get it again.") from None
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
