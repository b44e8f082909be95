"""MSCOCO's ids for a set that has none: SCAN's folder of features, joined with a Karpathy JSON.

Annotations of MSCOCO (Crisscrossed Captions, ECCV Caption) name images and captions by their ids
there, which SCAN's folder does not hold. Its captions are those of the JSON, so images are found by
what their captions say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from user_itr.data.captions import CaptionedImages
from user_itr.data.readers.karpathy import Described, read_ids
from user_itr.errors import DataError

JSON_SPLITS = {"testall": "test", "dev": "val"}
"""Splits of SCAN's folders that have another name in the JSON."""


def with_coco_ids(images: CaptionedImages, file: Path) -> CaptionedImages:
    """The same images and captions with MSCOCO's ids of both.

    An image is the first one of the JSON's split, not taken yet, that has all of its captions; case
    and punctuation do not count.

    Args:
        images: a split.
        file: `dataset_coco.json`.

    Raises:
        DataError: if the file cannot be read, has no ids, or has no image with these captions.
    """
    described = read_ids(file, JSON_SPLITS.get(images.split, images.split))
    having: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(described):
        for text in {_words(text) for text, _ in one.captions}:
            having[text].append(row)
    taken: set[int] = set()
    coco_ids: list[int] = []
    caption_ids = [0] * len(images.captions)
    for image, rows in enumerate(images.captions_by_image()):
        texts = [_words(images.captions[row]) for row in rows]
        found = _first(having, texts, described, taken)
        if found is None:
            raise DataError(
                f"{file}: no image of its split {JSON_SPLITS.get(images.split, images.split)} has "
                f"the captions of image {images.image_ids[image]!r} of {images.name} "
                f"({images.split}); give the JSON that the features were made for."
            )
        taken.add(found)
        coco_ids.append(described[found].coco_id)
        left = _by_text(described[found])
        for row, text in zip(rows, texts, strict=True):
            caption_ids[row] = left[text].pop(0)
    return replace(images, coco_ids=tuple(coco_ids), caption_ids=tuple(caption_ids))


def _first(
    having: dict[str, list[int]], texts: list[str], described: list[Described], taken: set[int]
) -> int | None:
    rarest = min((having.get(text, []) for text in texts), key=len, default=[])
    for row in rarest:
        if row not in taken:
            left = _by_text(described[row])
            if all(left[text] and left[text].pop(0) is not None for text in texts):
                return row
    return None


def _by_text(one: Described) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = defaultdict(list)
    for text, caption_id in one.captions:
        ids[_words(text)].append(caption_id)
    return ids


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
