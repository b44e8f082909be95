"""A file of rows with image, caption and, if wanted, split: one's own, or as sets are distributed.

- `captions.csv`, `.tsv` or `.jsonl`: one's own. JSONL has an object a line, where `caption` may be
  a list. Kaggle's `captions.txt` of Flickr8K is such a CSV.
- `results_20130124.token` and Kaggle's `results.csv`: Flickr30K.
- `metadata.csv` or `.jsonl` (Hugging Face), in the folder or one in each split's folder.

Splits are in a column, or are folders, or lists of images beside the file (`test.txt`: one a line,
with or without ".jpg"); without any of these everything is "train". Images are named relative to
`images/` and other usual folders, or to the folder itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.caption_rows import Record, has_columns, read_rows
from user_itr.data.readers.image_folder import guess_image_folder
from user_itr.data.readers.set_builder import SetBuilder, match_split, sort_splits
from user_itr.data.readers.text import read_lines
from user_itr.errors import DataError

LAYOUT = (
    "captions.csv, .tsv, .jsonl or .txt, results.csv or .token, metadata.csv or .jsonl (image, "
    "caption, split) beside images/"
)

_FILES = (
    "captions.csv",
    "captions.jsonl",
    "captions.tsv",
    "captions.txt",
    "results_20130124.token",
    "results.csv",
    "metadata.csv",
    "metadata.jsonl",
)
_OWN = frozenset(_FILES[:3])
_METADATA = _FILES[-2:]
_SUFFIXES = (".csv", ".jsonl", ".tsv", ".token")
_LISTS = ("train", "val", "dev", "test")
_IMAGE_FOLDERS = (
    "images",
    "Images",
    "flickr30k-images",
    "flickr30k_images",
    "flickr30k_images/flickr30k_images",
    "Flicker8k_Dataset",
)
_NO_SPLIT = "train"


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of a set, the folder that its images are named from, and the split that it is."""

    file: Path
    folder: str = ""
    split: str = ""


def detect(root: Path) -> bool:
    """Whether `root` is, or holds, one of these files; those of common names need the columns."""
    if root.is_file():
        return root.suffix in _SUFFIXES or root.name == "captions.txt"
    return any(_ours(root / name) for name in _FILES) or bool(_folders(root))


def splits(root: Path) -> list[str]:
    """The splits that the rows name; "train" alone where they name none.

    Raises:
        DataError: if the file cannot be read, or has no row that can be used.
    """
    parts, problems = _parts(root), list[Problem]()
    records = [record for part in parts for record in _parse(part, problems)]
    if not records and problems:
        others = f" ({len(problems) - 1:,} more problems)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{others}")
    if not records:
        raise DataError(f"{parts[0].file}: holds no captions; write one a row.")
    return sort_splits({record.split for record in records})


def read(
    root: Path,
    split: str,
    images: Path | None,
    problems: list[Problem],
    *,
    pictures: bool = True,
) -> CaptionedImages:
    """Read one split; image ids are the `image` values. A defective row is reported in any split.

    Args:
        root: the folder, or the file itself.
        split: a value of the `split` column, a folder, or a list; "train" where there is none.
        images: the images folder; `images/` or the folder itself by default.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether the image files must be there.

    Raises:
        DataError: if the file, the split or every image is missing, or the header is wrong.
    """
    parts = _parts(root)
    records = [(part, record) for part in parts for record in _parse(part, problems)]
    main = parts[0].file
    place = main if len(parts) == 1 else root
    split = match_split(place, split, sort_splits({record.split for _, record in records}))
    first_split: dict[str, str] = {}
    kept = []
    for part, record in records:
        first = first_split.setdefault(record.image, record.split)
        if record.split != split:
            continue
        if first != split:
            message = f"image {record.image!r} is in split {first!r} already; keep it in one."
            problems.append(Problem(part.file, record.where, message))
        else:
            kept.append((part, record))
    folder = root if len(parts) > 1 or parts[0].folder else main.parent
    beside = [*(folder / name for name in _IMAGE_FOLDERS), folder]
    names = [record.image for _, record in kept]
    image_folder = guess_image_folder(root, images, beside, names, needed=pictures)
    builder = SetBuilder(folder.resolve().name, split, image_folder, problems)
    for part, record in kept:
        image_id = builder.add_image(record.image, part.file, record.where, again=True)
        if image_id is None:
            continue
        for caption in record.captions:
            builder.add_caption(image_id, caption, part.file, record.where)
    return builder.build()


def parse(file: Path, problems: list[Problem]) -> list[Record]:
    """The rows of a captions file, in order; malformed ones are reported and left out.

    Raises:
        DataError: if the file cannot be read, its header lacks a column, or its quoting is broken.
    """
    records = list(read_rows(file, problems))
    if any(record.split for record in records):
        for record in records:
            if not record.split:
                message = "the split is empty while other rows have one; fill it in."
                problems.append(Problem(file, record.where, message))
        return [record for record in records if record.split]
    listed = _lists(file, problems)
    if not listed:
        return [replace(record, split=_NO_SPLIT) for record in records]
    named = [(record, listed.get(Path(record.image).stem)) for record in records]
    return [replace(record, split=split) for record, split in named if split]


def _parse(part: _Part, problems: list[Problem]) -> Iterator[Record]:
    for record in parse(part.file, problems):
        image = f"{part.folder}/{record.image}" if part.folder else record.image
        yield replace(record, image=image, split=part.split or record.split)


def _lists(file: Path, problems: list[Problem]) -> dict[str, str]:
    """The split of each image, by its name without the ending, from lists beside the file."""
    found: dict[str, str] = {}
    for name in _LISTS:
        path = file.parent / f"{name}.txt"
        if file.name not in _OWN and path.is_file():
            for line in read_lines(path, problems):
                if line and line.strip():
                    found[Path(line.strip()).stem] = name
    return found


def _ours(file: Path) -> bool:
    return file.is_file() and (file.name in _OWN or file.suffix == ".token" or has_columns(file))


def _folders(root: Path) -> list[_Part]:
    """A metadata file in each split's folder, below the root or its folder `data`."""
    for parent in (root, root / "data"):
        found = [
            _Part(folder / name, folder.relative_to(root).as_posix(), folder.name)
            for folder in (sorted(parent.iterdir()) if parent.is_dir() else [])
            if folder.is_dir()
            for name in _METADATA
            if _ours(folder / name)
        ]
        if found:
            return found
    return []


def _parts(root: Path) -> list[_Part]:
    if root.is_file():
        return [_Part(root)]
    files = [root / name for name in _FILES if _ours(root / name)]
    if len(files) > 1:
        raise DataError(
            f"{root}: both {files[0].name} and {files[1].name} are there; give the path of one."
        )
    found = [_Part(file) for file in files] or _folders(root)
    if not found:
        raise DataError(f"{root}: no captions.csv or captions.jsonl here; give their folder.")
    return found
