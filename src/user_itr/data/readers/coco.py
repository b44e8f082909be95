"""MSCOCO caption JSON: `annotations/captions_{train,val}2014.json` (or 2017, or one's own).

`images[]` holds `id` and `file_name`, `annotations[]` holds `id`, `image_id` and `caption`. A
file is a split: `captions_train2014.json` is "train".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.image_folder import guess_image_folder
from user_itr.data.readers.set_builder import SetBuilder, match_split, sort_splits
from user_itr.data.readers.text import read_json
from user_itr.errors import DataError

LAYOUT = "captions_*.json (MSCOCO), here or in annotations/"

_FILE = re.compile(r"captions_(?P<part>.+?)(?P<year>20[0-9]{2})?\.json")


def detect(root: Path) -> bool:
    """Whether `root` is, or holds (also in `annotations/`), a file `captions_*.json`."""
    return bool(_files(root))


def splits(root: Path) -> list[str]:
    """The splits, one a file: `captions_val2014.json` is "val".

    The year stays in the name ("val2014") where files differ by it alone.

    Raises:
        DataError: if there is no such file.
    """
    return sort_splits(set(_files_by_split(root)))


def read(
    root: Path,
    split: str,
    images: Path | None,
    problems: list[Problem],
    *,
    pictures: bool = True,
) -> CaptionedImages:
    """Read one split; image ids are the `file_name` of each image.

    Args:
        root: the set's folder, its `annotations` folder, or one `captions_*.json`.
        split: the name of the file without "captions_" and the year ("train", "val" or "dev").
        images: the images folder, or the parent of `train2014/`; guessed beside by default.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether the image files must be there.

    Raises:
        DataError: if the file, the split or every image is missing, or the file is malformed.
    """
    files = _files_by_split(root)
    split = match_split(root, split, sort_splits(set(files)))
    file = files[split]
    content = read_json(file)
    entries, annotations = (
        content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations")
    )
    if not isinstance(entries, list) or not isinstance(annotations, list):
        raise DataError(
            f"{file}: no lists `images` and `annotations`; give an MSCOCO caption JSON."
        )
    names = [name for entry in entries if isinstance(name := _get(entry, "file_name"), str)]
    image_folder = guess_image_folder(root, images, _guesses(file), names, needed=pictures)
    builder = SetBuilder("coco", split, image_folder, problems)
    ids = _add_images(builder, entries, file, problems)
    _add_captions(builder, annotations, ids, file, problems)
    return builder.build()


def _add_images(
    builder: SetBuilder, entries: list[Any], file: Path, problems: list[Problem]
) -> dict[int | str, str | None]:
    """The set's image id of each number in the file, None where the image is left out."""
    ids: dict[int | str, str | None] = {}
    for row, entry in enumerate(entries):
        where = f"images[{row}]"
        number, name = _get(entry, "id"), _get(entry, "file_name")
        if not isinstance(number, int | str) or not isinstance(name, str):
            message = f"id {number!r} and file_name {name!r} do not name an image; correct them."
            problems.append(Problem(file, where, message))
        elif number in ids:
            problems.append(Problem(file, where, f"id {number} is there already; keep one."))
        else:
            ids[number] = builder.add_image(name, file, where, coco_id=number)
    return ids


def _add_captions(
    builder: SetBuilder,
    annotations: list[Any],
    ids: dict[int | str, str | None],
    file: Path,
    problems: list[Problem],
) -> None:
    seen: set[int | str] = set()
    for row, entry in enumerate(annotations):
        where = f"annotations[{row}]"
        number, image = _get(entry, "id"), _get(entry, "image_id")
        if not isinstance(image, int | str) or image not in ids:
            message = f"image_id {image!r} is none of the file's images; add it or drop the entry."
            problems.append(Problem(file, where, message))
            continue
        if isinstance(number, int | str):
            if number in seen:
                problems.append(Problem(file, where, f"id {number} is there already; keep one."))
                continue
            seen.add(number)
        image_id = ids[image]
        if image_id is not None:
            builder.add_caption(image_id, _get(entry, "caption"), file, where, number)


def _get(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _guesses(file: Path) -> list[Path]:
    folder = file.stem.removeprefix("captions_")
    parents = (file.parent, file.parent.parent)
    return [
        parent / place
        for parent in parents
        for place in (folder, f"images/{folder}", "images", "Images")
    ]


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if _FILE.fullmatch(root.name) else []
    folders = (root, root / "annotations")
    found = (path for folder in folders for path in folder.glob("captions_*.json"))
    return sorted(path for path in found if path.is_file() and _FILE.fullmatch(path.name))


def _files_by_split(root: Path) -> dict[str, Path]:
    files = _files(root)
    if not files:
        raise DataError(f"{root}: no captions_*.json here or in annotations/; give their folder.")
    parts = [_part(file)[0] for file in files]
    by_split: dict[str, Path] = {}
    for file, part in zip(files, parts, strict=True):
        split = part if parts.count(part) == 1 else "".join(_part(file))
        if split in by_split:
            raise DataError(f"{root}: {by_split[split]} and {file} are one split; remove one.")
        by_split[split] = file
    return by_split


def _part(file: Path) -> tuple[str, str]:
    match = _FILE.fullmatch(file.name)
    return (match["part"], match["year"] or "") if match else (file.stem, "")
