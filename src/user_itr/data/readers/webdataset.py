"""WebDataset: tars of images with a `.txt` or `.json` each, or the same files unpacked.

A `.txt` holds a caption a line, a `.json` has "caption", a text or a list. A tar's split is its
folder's name, or the "train", "val", "dev" or "test" in its own name, or else "train". Images in
tars serve ready-made embeddings; what decodes images needs the files unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from user_itr.data.captions import CaptionedImages
from user_itr.data.images import IMAGE_SUFFIXES
from user_itr.data.problems import Problem
from user_itr.data.readers.image_folder import ImageFolder
from user_itr.data.readers.set_builder import SetBuilder, match_split, sort_splits
from user_itr.data.readers.text import read_text
from user_itr.data.webdataset import list_samples
from user_itr.errors import DataError
from user_itr.files import parse_json

LAYOUT = "*.tar, or images with a .txt or .json each (WebDataset)"

_WORD = re.compile(r"(?<![a-z])(train|val|dev|test)(?![a-z])", re.IGNORECASE)
_NO_SPLIT = "train"


def detect(root: Path) -> bool:
    """Whether `root` is or holds tars, or holds an image with captions of its name."""
    if root.is_file():
        return root.suffix == ".tar"
    return bool(_tars(root)) or any(_with_captions(folder) for folder in _folders(root))


def splits(root: Path) -> list[str]:
    """The splits of tars, or of folders.

    Raises:
        DataError: if there is neither.
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
    """Read one split; image ids are names in the tar, or paths below the root.

    Args:
        root: a tar, or a folder of tars or of unpacked files, one a split if wanted.
        split: see `splits`.
        images: must be None: images are beside their captions.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether image files must be there.

    Raises:
        DataError: if the split is missing, or pictures are needed and are in tars.
    """
    if images is not None:
        raise DataError(f"{root}: this layout has images beside their captions; omit --images.")
    places = _by_split(root)
    split = match_split(root, split, sort_splits(set(places)))
    packed = places[split][0].suffix == ".tar"
    if packed and pictures:
        raise DataError(
            f"{root}: its pictures are in tars; unpack them (`tar -xf`), one folder a split, or "
            "give ready-made embeddings."
        )
    folder = root if root.is_dir() else root.parent
    builder = SetBuilder(
        folder.resolve().name, split, ImageFolder(folder, needed=not packed), problems
    )
    for place in places[split]:
        for name, captions in _packed(place, problems) if packed else _unpacked(place, root):
            image_id = builder.add_image(name, place, name)
            for caption in captions if image_id is not None else ():
                builder.add_caption(image_id or "", caption, place, name)
    return builder.build()


def _packed(tar: Path, problems: list[Problem]) -> Iterator[tuple[str, list[object]]]:
    for sample in list_samples(tar):
        if isinstance(sample, Problem):
            problems.append(sample)
        else:
            yield sample.image.name, list((sample.caption or "").splitlines())


def _unpacked(folder: Path, root: Path) -> Iterator[tuple[str, list[object]]]:
    for image, beside in _pairs(folder):
        name = image.relative_to(root).as_posix()
        if beside.suffix == ".txt":
            yield name, list(read_text(beside).strip().splitlines())
            continue
        try:
            fields = parse_json(beside.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(f"{beside}: cannot be read as JSON ({error}).") from None
        caption = fields.get("caption") if isinstance(fields, dict) else None
        yield name, caption if isinstance(caption, list) else [caption]


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Images and the file of their captions, in the order of names."""
    names = {path.name: path for path in folder.iterdir() if path.is_file()}
    found = []
    for path in sorted(names.values(), key=lambda path: path.name):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            beside = names.get(f"{path.stem}.txt") or names.get(f"{path.stem}.json")
            if beside is not None:
                found.append((path, beside))
    return found


def _with_captions(folder: Path) -> bool:
    return bool(_pairs(folder))


def _folders(root: Path) -> list[Path]:
    return [root, *sorted(path for path in root.iterdir() if path.is_dir())]


def _tars(root: Path) -> list[Path]:
    return sorted(path for path in (*root.glob("*.tar"), *root.glob("*/*.tar")) if path.is_file())


def _by_split(root: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    if root.is_file():
        return {_split_of(root.stem) or _NO_SPLIT: [root]}
    tars = _tars(root)
    for tar in tars:
        own = tar.parent.name if tar.parent != root else _split_of(tar.stem)
        found.setdefault(own or _NO_SPLIT, []).append(tar)
    if not tars:
        for folder in _folders(root):
            if _with_captions(folder):
                own = _NO_SPLIT if folder == root else folder.name
                found.setdefault(own, []).append(folder)
    if not found:
        raise DataError(f"{root}: no .tar, and no image with a .txt or .json; give their folder.")
    return found


def _split_of(name: str) -> str | None:
    word = _WORD.search(name)
    return word[1].lower() if word else None
