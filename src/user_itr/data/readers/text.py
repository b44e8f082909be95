"""Text and JSON files as people have them: byte order marks, CRLF, a broken byte here and there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from user_itr.data.problems import Problem
from user_itr.data.unicode import is_valid_unicode
from user_itr.errors import DataError

NOT_UTF8 = "is not valid UTF-8; save the file as UTF-8."


def read_text(path: Path) -> str:
    r"""The text of a UTF-8 file without its byte order mark; line ends stay as they are.

    Bytes that are not UTF-8 come back as lone surrogates (`surrogateescape`), so that the caller
    can name the lines that hold them: see `is_valid_unicode`.

    Raises:
        DataError: if the file cannot be read, or is UTF-16.
    """
    raw = _read_bytes(path)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: the file is UTF-16; save it as UTF-8.")
    return raw.decode("utf-8-sig", errors="surrogateescape")


def read_lines(path: Path, problems: list[Problem]) -> list[str | None]:
    """The lines of a UTF-8 file, without line ends: entry i is line i + 1.

    A line that is not UTF-8 is None and reported in `problems`. Only LF and CRLF end a line: other
    separators that Unicode knows (U+2028, form feed) belong to the text.

    Raises:
        DataError: if the file cannot be read, or is UTF-16.
    """
    text = read_text(path)
    if not text:
        return []
    lines = text.removesuffix("\n").split("\n")
    if is_valid_unicode(text):
        return [line.removesuffix("\r") for line in lines]
    kept: list[str | None] = []
    for number, line in enumerate(lines, start=1):
        valid = is_valid_unicode(line)
        kept.append(line.removesuffix("\r") if valid else None)
        if not valid:
            problems.append(Problem(path, f"line {number}", NOT_UTF8))
    return kept


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        DataError: if the file cannot be read, is not UTF-8, or is not JSON; the line is named.
    """
    raw = _read_bytes(path)
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: line {line}: {NOT_UTF8}") from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno}, column {error.colno}: not JSON ({error.msg}); "
            "fetch the file again."
        ) from None
    except (RecursionError, ValueError) as error:  # nesting or numbers beyond Python's limits
        raise DataError(f"{path}: not a caption file ({error}).") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the data folder.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
