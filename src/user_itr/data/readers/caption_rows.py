"""Rows of caption files: CSV, TSV, fields between bars, JSON lines and Flickr's token files.

Columns go by the names that sets are distributed with: `image`, `file_name`, `filepath`,
`image_name` and others for the image, `caption`, `text`, `comment`, `title` and others for the
caption, and `split` where there is one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from user_itr.data.problems import Problem
from user_itr.data.readers.flickr8k import parse_token_line
from user_itr.data.readers.text import NOT_UTF8, read_lines, read_text
from user_itr.data.unicode import is_valid_unicode
from user_itr.errors import DataError

IMAGE = ("image", "file_name", "image_name", "filename", "filepath", "image_path", "path", "img")
CAPTION = ("caption", "captions", "text", "comment", "sentence", "sentences", "title")
_SPLIT = "split"
_NUMBERED = re.compile(r"\s*([0-9]+)\s+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the file: an image and its captions, which may still be anything."""

    where: str
    image: str
    captions: tuple[object, ...]
    split: str


def read_rows(file: Path, problems: list[Problem]) -> Iterator[Record]:
    """The rows of a caption file by its ending; malformed ones are reported and left out.

    Raises:
        DataError: if the file cannot be read, its header lacks a column, or its quoting is broken.
    """
    if file.suffix == ".jsonl":
        return _json_rows(file, problems)
    if file.suffix == ".token":
        return _token_rows(file, problems)
    return _table_rows(file, problems)


def has_columns(file: Path) -> bool:
    """Whether the first line of a file of rows names an image and a caption."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            first = stream.readline(4096)
    except OSError:
        return False
    if file.suffix == ".jsonl":
        return first.lstrip().startswith("{")
    header = _cells(first, _delimiter(file, first))
    return any(name in header for name in IMAGE) and any(name in header for name in CAPTION)


def _delimiter(file: Path, header: str) -> str:
    if file.suffix == ".tsv":
        return "\t"
    return next((one for one in ("|", "\t") if one in header and "," not in header), ",")


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.split(delimiter)]


def _column(header: list[str], names: tuple[str, ...], file: Path) -> int:
    for name in names:
        if header.count(name) == 1:
            return header.index(name)
    raise DataError(
        f"{file}: line 1: the header {','.join(header)!a} needs one column {names[0]!r}; "
        "write `image,caption` or `image,caption,split`."
    )


def _table_rows(file: Path, problems: list[Problem]) -> Iterator[Record]:
    text = read_text(file)
    delimiter = _delimiter(file, text[:4096].partition("\n")[0])
    bars = delimiter == "|"
    stream = io.StringIO(text, newline="")
    rows = (
        csv.reader(stream, delimiter="|", quoting=csv.QUOTE_NONE)
        if bars
        else csv.reader(stream, delimiter=delimiter, strict=delimiter == ",")
    )
    start = 1
    try:
        header = [column.strip().lower() for column in next(rows, [])]
        image, caption = _column(header, IMAGE, file), _column(header, CAPTION, file)
        split = header.index(_SPLIT) if _SPLIT in header else None
        start = rows.line_num + 1
        for row in rows:
            where, start = f"line {start}", rows.line_num + 1
            if not row:
                continue
            if bars and len(row) == len(header) - 1 and (cut := _NUMBERED.fullmatch(row[-1])):
                row = [*row[:-1], cut[1], cut[2]]  # as in one line of Flickr30K's results.csv
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


def _json_rows(file: Path, problems: list[Problem]) -> Iterator[Record]:
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
        fields = row if isinstance(row, dict) else {}
        image = next((fields[name] for name in IMAGE if name in fields), None)
        key = next((name for name in CAPTION if name in fields), None)
        if not isinstance(image, str) or key is None:
            message = 'needs {"image": "name.jpg", "caption": "..."}; correct the line.'
            problems.append(Problem(file, where, message))
            continue
        split = fields.get(_SPLIT, "")
        if not isinstance(split, str) or not is_valid_unicode(split):
            problems.append(Problem(file, where, f"split {split!a} is no name; give a text."))
            continue
        caption = fields[key]
        captions = tuple(caption) if isinstance(caption, list) else (caption,)
        yield Record(where, image.strip(), captions, split.strip())


def _token_rows(file: Path, problems: list[Problem]) -> Iterator[Record]:
    for number, line in enumerate(read_lines(file, problems), start=1):
        if line is None or not line.strip():
            continue
        parsed = parse_token_line(line)
        if parsed is None:
            message = "is not `name.jpg#k<TAB>caption`; correct the line."
            problems.append(Problem(file, f"line {number}", message))
        else:
            yield Record(f"line {number}", parsed[0], (parsed[2],), "")
