"""Rows named by ids, in any order: which row of a file is which item."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.errors import DataError
from user_itr.evaluation.inputs.arrays import open_array
from user_itr.files import parse_json

ID_SUFFIXES = (".txt", ".json", ".npy")
"""Endings of files of ids: a line each; a list; an array of whole numbers or of text."""


def read_ids(file: Path) -> list[str]:
    """The ids of a file, as text, one a row of the embeddings.

    Raises:
        DataError: if it cannot be read, or holds what is no list of ids.
    """
    try:
        if file.suffix == ".npy":
            return ids_of(open_array(file), file)
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix != ".json":
            return [line.strip() for line in text.removesuffix("\n").split("\n")]
        entries = parse_json(text)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check the path.") from None
    except ValueError as error:
        raise DataError(f"{file}: is no file of ids ({error}); write one id a line.") from None
    if not isinstance(entries, list) or not all(
        isinstance(one, int | str) and not isinstance(one, bool) for one in entries
    ):
        raise DataError(f"{file}: is no list of ids; give a JSON list of texts or whole numbers.")
    return [str(one) for one in entries]


def ids_of(values: np.ndarray, file: Path) -> list[str]:
    """Ids in an array, as text.

    Raises:
        DataError: if they are neither whole numbers nor text, or not one a row.
    """
    if values.ndim != 1 or values.dtype.kind not in "iuUS":
        raise DataError(
            f"{file}: ids are {values.dtype} of shape {values.shape}; give whole numbers or texts, "
            "one a row."
        )
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    return [str(one) for one in values.tolist()]


def image_keys(items: CaptionedImages) -> list[Sequence[str]]:
    """Ways to name the images of a set, the plainest first: ids, MSCOCO's numbers."""
    keys: list[Sequence[str]] = [items.image_ids]
    if items.coco_ids is not None:
        keys.append([str(number) for number in items.coco_ids])
    return keys


def caption_keys(items: CaptionedImages) -> list[Sequence[str]]:
    """Ways to name the captions of a set: their numbers in its source, "image#k"."""
    keys: list[Sequence[str]] = []
    if items.caption_ids is not None:
        keys.append([str(number) for number in items.caption_ids])
    numbers = np.empty(len(items.captions), np.int64)
    for rows in items.captions_by_image():
        numbers[rows] = np.arange(len(rows))
    owners = zip(items.caption_image.tolist(), numbers.tolist(), strict=True)
    keys.append([f"{items.image_ids[image]}#{number}" for image, number in owners])
    return keys


def _same(key: str) -> str:
    return key


def _base(key: str) -> str:
    """A file's name without its folder."""
    return key.replace("\\", "/").rpartition("/")[2]


def _stem(key: str) -> str:
    """The same without its ending; "a/b.jpg#3" is "b#3"."""
    return re.sub(r"\.(jpe?g|png|webp|bmp|gif|tiff?)(?=$|#)", "", _base(key), flags=re.IGNORECASE)


def _number(key: str) -> str:
    """The number at the end: "COCO_val2014_000000391895.jpg" is "391895"."""
    found = re.search(r"0*([0-9]+)$", _stem(key))
    return found[1] if found else ""


_FORMS: tuple[Callable[[str], str], ...] = (_same, _base, _stem, _number)


def match_rows(
    ids: Sequence[str], keys: Sequence[Sequence[str]], file: Path, side: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which row of a file each item is.

    Args:
        ids: R ids of the file's rows.
        keys: ways to name the items; the first that names them all counts. Folders and endings of
            file names may differ.
        file: with the ids, for messages.
        side: "images" or "captions", for messages.

    Returns:
        (n,) int64, the first row of each item, and (R,) int64, the item of each row, -1 where it
        is none of them.

    Raises:
        DataError: if an item is not there; the message names the first.
    """
    fewest: list[str] | None = None
    for way in keys:
        for form in _FORMS:
            items = [form(key) for key in way]
            if len(set(items)) < len(items) or "" in items:
                continue
            first: dict[str, int] = {}
            named = [form(one) for one in ids]
            for row, name in enumerate(named):
                first.setdefault(name, row)
            missing = [key for key, item in zip(way, items, strict=True) if item not in first]
            if not missing:
                item_of: Mapping[str, int] = {item: row for row, item in enumerate(items)}
                rows = np.array([first[item] for item in items], np.int64)
                return rows, np.array([item_of.get(name, -1) for name in named], np.int64)
            if fewest is None or len(missing) < len(fewest):
                fewest = missing
    shown = f"; it has ids such as {ids[0]!r}" if ids else "; it is empty"
    missing = fewest or ["?"]
    raise DataError(
        f"{file}: {len(missing):,} of the {len(keys[0]):,} {side} of the set are not there (the "
        f"first is {missing[0]!r}){shown}; `user-itr data order SET` prints the ids of a set."
    )
