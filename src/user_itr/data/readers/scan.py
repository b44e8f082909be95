"""The SCAN precomputed layout: `{split}_ims.npy`, `{split}_caps.txt`, maybe `{split}_ids.txt`.

The array (rows, K, d) of region features has a row an image, or k equal rows an image, one for
each of its k captions (five in the published files). It is memory-mapped and never read whole.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.set_builder import Rejected, clean_caption, match_split, sort_splits
from user_itr.data.readers.text import read_lines
from user_itr.errors import DataError
from user_itr.files import map_array

LAYOUT = "*_ims.npy, *_caps.txt and *_ids.txt (SCAN precomputed features)"

_PROBE = 256
"""Features compared of every row: a kilobyte, which one page of the file holds."""

_CHUNK = 8192

_PER_IMAGE = 5
"""Captions an image of the published files."""

_FULL = 32
"""Images whose rows are compared to the last value, evenly spread over the file."""


def detect(root: Path) -> bool:
    """Whether `root` holds a file `*_ims.npy` or `*_caps.txt`."""
    return any(root.glob("*_ims.npy")) or any(root.glob("*_caps.txt"))


def splits(root: Path) -> list[str]:
    """The splits that have features or captions ("train", "dev", "test", "testall")."""
    files = (path.name for path in root.iterdir()) if root.is_dir() else ()
    found = (re.fullmatch(r"(.+)_(?:ims\.npy|caps\.txt)", name) for name in files)
    return sort_splits({match[1] for match in found if match})


def read(
    root: Path,
    split: str,
    images: Path | None,
    problems: list[Problem],
    *,
    pictures: bool = True,
) -> CaptionedImages:
    """Read one split; `feature_file` and `feature_rows` say where each image's features are.

    Args:
        root: the folder with the arrays.
        split: "train", "dev", "test" or "testall".
        images: must be None: the layout has features in the place of image files.
        problems: defects are appended here, and what they concern is left out.
        pictures: whether the features must be there. Without them ids say how many images there
            are, or five captions an image are taken for granted.

    Returns:
        The images, whose ids come from `{split}_ids.txt`, else "{split}-{row}" with the row of the
        array that holds the image.

    Raises:
        DataError: if a file is missing, the array is not (rows, K, d) of float16 or float32, or
            the numbers of rows, captions and ids do not fit.
    """
    if images is not None:
        raise DataError(f"{root}: this layout holds features, no image files; omit --images.")
    split = match_split(root, split, splits(root))
    feature_file, caption_file = root / f"{split}_ims.npy", root / f"{split}_caps.txt"
    if not pictures and not feature_file.exists():
        return _without_features(root, split, read_lines(caption_file, problems), problems)
    features = open_features(feature_file)
    lines = read_lines(caption_file, problems)
    if not lines or len(lines) % len(features):
        raise DataError(
            f"{feature_file}: {len(features):,} rows do not fit the {len(lines):,} captions of "
            f"{caption_file.name}; it takes a row a caption, or a row for every k captions."
        )
    copies, uneven = 1, np.empty(0, np.int64)
    if len(lines) == len(features):
        copies, uneven = find_copies(features, feature_file)
    rows = np.arange(0, len(features), copies, dtype=np.int64)
    per_image = len(lines) // len(rows)
    ids = _read_ids(root / f"{split}_ids.txt", split, rows, (copies, per_image), problems)
    for image in uneven.tolist():
        first = int(rows[image])
        message = f"not {copies} equal rows as for the other images; extract the image again."
        problems.append(Problem(feature_file, f"rows {first} to {first + copies - 1}", message))
    kept = {image for image, image_id in enumerate(ids) if image_id} - set(uneven.tolist())
    return _described(
        (root, split), lines, ids, kept, problems, feature_file=feature_file, feature_rows=rows
    )


def _without_features(
    root: Path, split: str, lines: list[str | None], problems: list[Problem]
) -> CaptionedImages:
    """A split of captions alone, for embeddings that are ready."""
    file = root / f"{split}_ids.txt"
    images, rest = divmod(len(lines), _PER_IMAGE)
    if file.is_file():
        images = len(dict.fromkeys(read_lines(file, [])))
        rest = len(lines) % max(1, images)
    if rest or not images:
        raise DataError(
            f"{root / f'{split}_caps.txt'}: {len(lines):,} captions do not fit {images:,} images; "
            f"put {split}_ims.npy, or {split}_ids.txt with an id an image, beside it."
        )
    rows = np.arange(images, dtype=np.int64)
    ids = _read_ids(file, split, rows, (1, len(lines) // images), problems)
    kept = {image for image, image_id in enumerate(ids) if image_id}
    return _described((root, split), lines, ids, kept, problems)


def _described(
    place: tuple[Path, str],
    lines: list[str | None],
    ids: list[str],
    kept: set[int],
    problems: list[Problem],
    feature_file: Path | None = None,
    feature_rows: np.ndarray | None = None,
) -> CaptionedImages:
    """The images that are kept, with the captions on their lines."""
    root, split = place
    caption_file = root / f"{split}_caps.txt"
    per_image = len(lines) // len(ids)
    captions: list[list[str]] = [[] for _ in ids]
    for number, line in enumerate(lines):
        image = number // per_image
        if line is None or image not in kept:
            continue
        text = clean_caption(line)
        if isinstance(text, Rejected):
            message = f"the caption of image {ids[image]!r} {text}; write one in its place."
            problems.append(Problem(caption_file, f"line {number + 1}", message))
        else:
            captions[image].append(text)
    for image in sorted(kept):
        if not captions[image]:
            first, last = image * per_image + 1, (image + 1) * per_image
            message = f"image {ids[image]!r} has no captions; write them in their places."
            problems.append(Problem(caption_file, f"lines {first} to {last}", message))
            kept.discard(image)
    order = sorted(kept)
    counts = [len(captions[image]) for image in order]
    return CaptionedImages(
        name=root.resolve().name,
        split=split,
        image_ids=tuple(ids[image] for image in order),
        captions=tuple(text for image in order for text in captions[image]),
        caption_image=np.repeat(np.arange(len(order), dtype=np.int64), counts),
        feature_file=feature_file,
        feature_rows=None if feature_rows is None else feature_rows[order],
    )


def open_features(file: Path) -> np.ndarray:
    """Memory-map an array of region features.

    Returns:
        (rows, K, d) float16 or float32, read-only, on disk.

    Raises:
        DataError: if the file is missing, cut short, no `.npy`, or of another shape or dtype.
    """
    try:
        features = map_array(file)
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; put the features there.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: no array to map ({error}); fetch the file again.") from None
    if not isinstance(features, np.ndarray):
        raise DataError(f"{file}: an archive of arrays; save one array by numpy.save.")
    if features.ndim != 3 or features.dtype not in (np.float16, np.float32) or 0 in features.shape:
        raise DataError(
            f"{file}: holds {features.dtype} of shape {features.shape}; features are float16 or "
            "float32 of shape (rows, regions, width)."
        )
    return features


def find_copies(features: np.ndarray, file: Path) -> tuple[int, np.ndarray]:
    """How many equal rows an image has, and which images break the rule.

    Neighbouring rows are compared at both ends (`_PROBE` values each), and whole for `_FULL`
    images, so that a file of tens of gigabytes takes seconds.

    Args:
        features: (rows, K, d).
        file: for messages.

    Returns:
        k, the number of equal rows of most images, and the images whose k rows are not equal.

    Raises:
        DataError: if the rows are no multiple of k.
    """
    count = len(features)
    starts = np.ones(count, dtype=np.bool_)
    for first in range(1, count, _CHUNK):
        block = features[first - 1 : first + _CHUNK]
        ends = np.concatenate([block[:, 0, :_PROBE], block[:, -1, -_PROBE:]], axis=1)
        bits = ends.view(f"u{features.itemsize}")  # equal bits: NaN equals itself
        starts[first : first + _CHUNK] = (bits[1:] != bits[:-1]).any(axis=1)
    copies = _likeliest_period(starts)
    if count % copies:
        raise DataError(
            f"{file}: most images have {copies} equal rows, and {count:,} rows are no multiple of "
            f"{copies}; fetch the file again."
        )
    uneven = np.asarray(starts.reshape(-1, copies)[:, 1:].any(axis=1))
    images = count // copies
    if copies > 1:
        for image in np.unique(np.linspace(0, images - 1, _FULL).astype(np.int64)):
            rows = features[image * copies : (image + 1) * copies]
            uneven[image] |= any(row.tobytes() != rows[0].tobytes() for row in rows[1:])
    return copies, np.flatnonzero(uneven)


def _likeliest_period(starts: np.ndarray) -> int:
    """The k for which most rows lie in a run of exactly k, from a multiple of k; the least such.

    Args:
        starts: (rows,) bool, whether a row differs from the one before.
    """
    lengths = np.diff(np.append(np.flatnonzero(starts), len(starts)))
    best, most = 1, 0
    for copies in np.unique(lengths).tolist():
        blocks = starts[: len(starts) // copies * copies].reshape(-1, copies)
        rows = copies * int((blocks[:, 0] & ~blocks[:, 1:].any(axis=1)).sum())
        if rows > most:
            best, most = copies, rows
    return best


def _read_ids(
    file: Path, split: str, rows: np.ndarray, repeats: tuple[int, int], problems: list[Problem]
) -> list[str]:
    """The id of each image, empty where it is left out; ids may be repeated a row or a caption."""
    if not file.is_file():
        return [f"{split}-{row}" for row in rows.tolist()]
    lines = read_lines(file, problems)
    each = len(lines) // len(rows)
    if len(lines) != each * len(rows) or each not in (1, *repeats):
        raise DataError(
            f"{file}: {len(lines):,} ids do not fit {len(rows):,} images; write one an image."
        )
    ids: list[str] = []
    seen: dict[str, int] = {}
    for image in range(len(rows)):
        first = image * each
        names = {line if line is None else line.strip() for line in lines[first : first + each]}
        name = names.pop()
        where = f"line {first + 1}"
        if names:
            message = f"{each} ids of one image differ; repeat one id."
            problems.append(Problem(file, where, message))
            name = None
        elif name == "":
            problems.append(Problem(file, where, "the id is empty; write the image's id."))
        elif name is not None and seen.setdefault(name, image) != image:
            message = f"id {name!r} is there already on line {seen[name] * each + 1}; keep one."
            problems.append(Problem(file, where, message))
            name = None
        ids.append(name or "")
    return ids
