"""A folder with `captions.csv` or `captions.jsonl`: image, caption and, if wanted, split.

CSV has a header with the columns `image`, `caption` and optionally `split`, one caption a row.
JSONL has an object a line with these keys, where `caption` may be a list. Without splits
everything is "train". Images are named relative to `images/`, or to the folder itself.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.image_folder import guess_image_folder
from user_itr.data.readers.set_builder import SetBuilder, match_split, sort_splits
from user_itr.data.readers.text import NOT_UTF8, is_valid_unicode, read_lines, read_text
from user_itr.errors import DataError

LAYOUT = "captions.csv or captions.jsonl (image, caption, split) beside images/"

_FILES = ("captions.csv", "captions.jsonl")
_NO_SPLIT = "train"


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the file: an image and its captions, which may still be anything."""

    where: str
    image: str
    captions: tuple[object, ...]
    split: str


def detect(root: Path) -> bool:
    """Whether `root` is, or holds, `captions.csv` or `captions.jsonl`."""
    if root.is_file():
        return root.suffix in (".csv", ".jsonl")
    return any((root / name).is_file() for name in _FILES)


def splits(root: Path) -> list[str]:
    """The splits that the rows name; "train" alone where they name none.

    Raises:
        DataError: if the file cannot be read, or has no row that can be used.
    """
    file, problems = _file(root), list[Problem]()
    records = parse(file, problems)
    if not records and problems:
        others = f" ({len(problems) - 1:,} more problems)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{others}")
    if not records:
        raise DataError(f"{file}: holds no captions; write one a row.")
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
        split: a value of the `split` column; "train" where there is no such column.
        images: the images folder; `images/` or the folder itself by default.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether the image files must be there.

    Raises:
        DataError: if the file, the split or every image is missing, or the header is wrong.
    """
    file = _file(root)
    records = parse(file, problems)
    split = match_split(file, split, sort_splits({record.split for record in records}))
    first_split: dict[str, str] = {}
    kept = []
    for record in records:
        first = first_split.setdefault(record.image, record.split)
        if record.split != split:
            continue
        if first != split:
            message = f"image {record.image!r} is in split {first!r} already; keep it in one."
            problems.append(Problem(file, record.where, message))
        else:
            kept.append(record)
    beside = [file.parent / "images", file.parent / "Images", file.parent]
    image_folder = guess_image_folder(
        root, images, beside, [record.image for record in kept], needed=pictures
    )
    builder = SetBuilder(file.parent.resolve().name, split, image_folder, problems)
    for record in kept:
        image_id = builder.add_image(record.image, file, record.where, again=True)
        if image_id is None:
            continue
        for caption in record.captions:
            builder.add_caption(image_id, caption, file, record.where)
    return builder.build()


def parse(file: Path, problems: list[Problem]) -> list[Record]:
    """The rows of a captions file, in order; malformed ones are reported and left out.

    Raises:
        DataError: if the file cannot be read, its header lacks a column, or its quoting is broken.
    """
    records = list((_parse_csv if file.suffix == ".csv" else _parse_jsonl)(file, problems))
    if any(record.split for record in records):
        for record in records:
            if not record.split:
                message = "the split is empty while other rows have one; fill it in."
                problems.append(Problem(file, record.where, message))
        return [record for record in records if record.split]
    return [Record(r.where, r.image, r.captions, _NO_SPLIT) for r in records]


def _parse_csv(file: Path, problems: list[Problem]) -> Iterator[Record]:
    rows = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    start = 1
    try:
        header = [column.strip().lower() for column in next(rows, [])]
        for column in ("image", "caption"):
            if header.count(column) != 1:
                raise DataError(
                    f"{file}: line 1: the header {','.join(header)!a} needs one column {column!r}; "
                    "write `image,caption` or `image,caption,split`."
                )
        image, caption = header.index("image"), header.index("caption")
        split = header.index("split") if "split" in header else None
        start = rows.line_num + 1
        for row in rows:
            where, start = f"line {start}", rows.line_num + 1
            if not row:
                continue
            if not all(is_valid_unicode(value) for value in row):
                problems.append(Problem(file, where, NOT_UTF8))
            elif len(row) != len(header):
                message = (
                    f"{len(row)} fields for {len(header)} columns; quote captions with commas."
                )
                problems.append(Problem(file, where, message))
            else:
                part = "" if split is None else row[split].strip()
                yield Record(where, row[image].strip(), (row[caption],), part)
    except csv.Error as error:
        raise DataError(f"{file}: line {start}: {error}; correct the quoting of the row.") from None


def _parse_jsonl(file: Path, problems: list[Problem]) -> Iterator[Record]:
    for number, line in enumerate(read_lines(file, problems), start=1):
        if line is None or not line.strip():
            continue
        where = f"line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            problems.append(Problem(file, where, f"not JSON ({reason}); correct the line."))
            continue
        image = row.get("image") if isinstance(row, dict) else None
        if not isinstance(image, str) or "caption" not in row:
            message = 'needs {"image": "name.jpg", "caption": "..."}; correct the line.'
            problems.append(Problem(file, where, message))
            continue
        split = row.get("split", "")
        if not isinstance(split, str) or not is_valid_unicode(split):
            problems.append(Problem(file, where, f"split {split!a} is no name; give a text."))
            continue
        caption = row["caption"]
        captions = tuple(caption) if isinstance(caption, list) else (caption,)
        yield Record(where, image.strip(), captions, split.strip())


def _file(root: Path) -> Path:
    found = [root / name for name in _FILES if (root / name).is_file()]
    files = [root] if root.is_file() else found
    if not files:
        raise DataError(f"{root}: no captions.csv or captions.jsonl here; give their folder.")
    if len(files) > 1:
        raise DataError(f"{root}: both captions.csv and captions.jsonl; give the path of one.")
    return files[0]
