"""PMRP, the R-Precision over plausible matches of PCME.

Two images match plausibly where their sets of object labels differ in at most zeta labels, and so
do an image and the captions of the other. PMRP is the R-Precision of these matches, averaged over
the queries and over zeta = 0, 1, 2. Images without any label are left out on both sides.

Source: Chun et al., "Probabilistic Embeddings for Cross-Modal Retrieval", CVPR 2021, section 4.1;
used again by PCME++ (Chun, ICLR 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from user_itr.data.readers.text import read_json
from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.relevance import Relevance, as_caption_image
from user_itr.evaluation.scores import UNIT, Scores

ZETAS = (0, 1, 2)
"""The distances that PCME averages over."""

_BLOCK_SCORES = 4_000_000  # scores held at once, with a few arrays of their size beside


@dataclass(frozen=True, slots=True)
class PlausibleMatchMetrics:
    """R-Precision over plausible matches in percent, by zeta.

    Args:
        i2t: of image queries.
        t2i: of caption queries.
        images: images that have a label.
        captions: captions of these.
    """

    i2t: dict[int, float]
    t2i: dict[int, float]
    images: int
    captions: int

    def pmrp(self, direction: Literal["i2t", "t2i"]) -> float:
        """The mean over zeta."""
        values = self.i2t if direction == "i2t" else self.t2i
        return sum(values.values()) / len(values)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: by direction "PMRP" and "zeta=0", ...; "images" and "captions"."""
        return {
            **{
                name: {
                    "PMRP": self.pmrp(name),
                    **{f"zeta={zeta}": value for zeta, value in getattr(self, name).items()},
                }
                for name in ("i2t", "t2i")
            },
            "images": self.images,
            "captions": self.captions,
        }


def read_object_labels(file: Path, coco_ids: Sequence[int]) -> np.ndarray:
    """Which object categories are annotated in each image: (N, L) bool.

    Args:
        file: an `instances_*.json` of MSCOCO: `annotations[]` with `image_id` and `category_id`.
        coco_ids: N images by their MSCOCO id. Other images of the file are passed over; an image
            without an annotation gets no label.

    Raises:
        DataError: if the file cannot be read, or an entry names no image or category.
    """
    content = read_json(file)
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"{file}: no list `annotations`; give an MSCOCO instances_*.json.")
    row_of = {image: row for row, image in enumerate(coco_ids)}
    rows, categories = [], []
    for number, entry in enumerate(entries):
        found = entry if isinstance(entry, dict) else {}
        image, category = found.get("image_id"), found.get("category_id")
        fits = isinstance(category, int) and -(2**63) <= category < 2**63
        if not isinstance(image, int) or not isinstance(category, int) or not fits:
            raise DataError(
                f"{file}: annotations[{number}]: image_id {image!r} and category_id {category!r} "
                "are no whole numbers; give an MSCOCO instances_*.json."
            )
        if image in row_of:
            rows.append(row_of[image])
            categories.append(category)
    names, columns = np.unique(np.array(categories, np.int64), return_inverse=True)
    labels = np.zeros((len(coco_ids), len(names)), bool)
    labels[rows, columns] = True
    return labels


def label_distances(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Hamming distances of label sets: (Q, L) and (C, L) bool -> (Q, C) int16."""
    a, b = queries.astype(np.float32), candidates.astype(np.float32)
    both = a @ b.T  # whole numbers, exact in float32
    distances: np.ndarray = a.sum(axis=1)[:, None] + b.sum(axis=1) - 2 * both
    return distances.astype(np.int16)


def plausible_matches(queries: np.ndarray, candidates: np.ndarray, zeta: int) -> Relevance:
    """Pairs whose label sets differ in at most `zeta` labels: (Q, L) and (C, L) bool.

    Thousands of items have millions of such pairs; they are found in blocks and all are kept.
    """
    size = max(1, _BLOCK_SCORES // max(1, len(candidates)))
    pairs = []
    for start in range(0, len(queries), size):
        near = label_distances(queries[start : start + size], candidates) <= zeta
        rows, columns = np.nonzero(near)
        pairs.append((rows + start, columns))
    rows, columns = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return Relevance.from_pairs(rows, columns, len(queries), len(candidates))


def plausible_match_metrics(
    scores: Scores,
    caption_image: np.ndarray,
    labels: np.ndarray,
    zetas: Sequence[int] = ZETAS,
    *,
    ties: Literal["pessimistic", "optimistic"] = "pessimistic",
) -> PlausibleMatchMetrics:
    """PMRP of both directions.

    Args:
        scores: of N images against M captions.
        caption_image: (M,) int, the image of each caption, whose labels it has.
        labels: (N, L) bool or 0 and 1, the labels of each image.
        zetas: distances averaged over, each 0 or more.
        ties: whether candidates that do not match stand before those that do, at equal scores.

    Raises:
        ConfigError: if `zetas` or `ties` has a bad value.
        DataError: if the shapes do not fit, or no image has both a label and a caption.
    """
    if len(zetas) == 0 or min(zetas) < 0:
        raise ConfigError(f"zetas is {list(zetas)}; give at least one distance, each 0 or more.")
    if ties not in ("pessimistic", "optimistic"):
        raise ConfigError(f"ties is {ties!r}; PMRP takes pessimistic or optimistic.")
    caption_image = as_caption_image(caption_image)
    labels = np.asarray(labels)
    if labels.ndim != 2 or (len(labels), len(caption_image)) != tuple(scores.shape):
        raise DataError(
            f"{scores.shape} scores, labels of shape {labels.shape} and {len(caption_image)} "
            "captions do not fit; give a row of labels an image and an image a caption."
        )
    labels = labels.astype(bool)
    labelled = labels.sum(axis=1) > 0
    images, captions = np.flatnonzero(labelled), np.flatnonzero(labelled[caption_image])
    if len(captions) == 0:
        raise DataError("no image with a caption has a label; check the ids of the label file.")
    kept = scores.take(images, captions)
    sides = labels[images], labels[caption_image[captions]]
    return PlausibleMatchMetrics(
        i2t=_r_precisions(kept, *sides, zetas, ties),
        t2i=_r_precisions(kept.transpose(), *sides[::-1], zetas, ties),
        images=len(images),
        captions=len(captions),
    )


def _r_precisions(
    scores: Scores, queries: np.ndarray, candidates: np.ndarray, zetas: Sequence[int], ties: str
) -> dict[int, float]:
    """Mean R-Precision in percent of queries that match something, by zeta."""
    n_queries, n_candidates = scores.shape
    scorer = scores.tile_scorer(0, n_candidates)
    size = min(n_queries, max(1, _BLOCK_SCORES // n_candidates))
    found: dict[int, list[np.ndarray]] = {zeta: [] for zeta in zetas}
    buffer = np.empty((size, n_candidates), np.float32)
    for start in range(0, n_queries, size):
        stop = min(start + size, n_queries)
        block = buffer[: stop - start]
        scorer(start, stop, block)
        descending = -np.sort(-block, axis=1)
        distances = label_distances(queries[start:stop], candidates)
        for zeta in zetas:
            near = distances <= zeta
            found[zeta].append(_shares(scores, start, block, descending, near, ties))
    return {zeta: 100 * float(np.mean(np.concatenate(shares))) for zeta, shares in found.items()}


def _shares(
    scores: Scores,
    start: int,
    block: np.ndarray,
    descending: np.ndarray,
    near: np.ndarray,
    ties: str,
) -> np.ndarray:
    """Share of matches among the first R of the block's queries that have R > 0 matches.

    The block decides all candidates but those within its error of the R-th score; these are
    ranked by their exact scores.
    """
    counts = near.sum(axis=1)
    rows = np.flatnonzero(counts)
    block, near, counts = block[rows], near[rows], counts[rows]
    magnitude = scores.magnitude[start + rows]
    margin = 2 * (scores.relative_error + UNIT) * magnitude + 2.0**-100
    cut = descending[rows, counts - 1].astype(np.float64)
    above = block > (cut + margin)[:, None]
    shares = (above & near).sum(axis=1).astype(np.float64)
    owners, columns = np.nonzero(~above & (block >= (cut - margin)[:, None]))
    exact = scores.pairs(start + rows[owners], columns)
    matches = near[owners, columns]
    last = matches if ties == "pessimistic" else ~matches
    order = np.lexsort((last, -exact, owners))
    firsts = np.searchsorted(owners, np.arange(len(rows)))
    places = np.arange(len(owners)) - firsts[owners]
    inside = places < (counts - above.sum(axis=1))[owners]
    shares += np.bincount(owners, weights=inside & matches[order], minlength=len(rows))
    share: np.ndarray = shares / counts
    return share
