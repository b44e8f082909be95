"""Many 512-wide vectors out of a few real embeddings, and real queries for them.

Not run by itself; `search.py` uses it. Photos and captions of a captioned image set are embedded
once by a model and projected from its width to 512, by the singular vectors of both together
(uncentred, so that dot products are kept as well as 512 numbers can), then scaled to length 1. A
made vector is a random photo's plus Gaussian noise of length `NOISE` on average, scaled to length 1
again. The noise has the spread that the photos' vectors have in each of the 512 directions: equal
noise in all, which no model makes, would leave neighbours nothing in common. Queries are vectors
of captions as people wrote them, so they lie off the cloud of photos, as queries do.

Without a data set, 4,000 random directions whose spread falls as 1 / sqrt(direction) stand for
photos, and the same moved by noise of length 1.5 for captions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

WIDTH = 512
NOISE = 0.6
CHUNK = 50_000


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def embedded(data: Path, model: str, photos: int) -> tuple[np.ndarray, np.ndarray]:
    """(photos, D) and (captions of the dev split, D) unit vectors of real photos and captions."""
    from user_itr import load
    from user_itr.data.readers import load_captions

    encoder = load(model)
    sets = [load_captions(data, split) for split in ("dev", "train")]
    files = [file for one in sets for file in one.image_paths or ()][:photos]
    return encoder.encode_images(files), encoder.encode_text(sets[0].captions)


def projected(photos: np.ndarray, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in the WIDTH directions that keep the most of them."""
    both = np.concatenate([photos, captions]).astype(np.float64)
    directions = np.linalg.eigh(both.T @ both)[1][:, ::-1][:, :WIDTH]
    return unit(photos @ directions), unit(captions @ directions)


def synthetic(count: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(0)
    spread = 1 / np.sqrt(np.arange(1, WIDTH + 1))
    photos = unit(dice.standard_normal((count, WIDTH)) * spread)
    return photos, unit(photos + noise(photos, count, dice, 1.5))


def noise(photos: np.ndarray, count: int, dice: np.random.Generator, length: float) -> np.ndarray:
    spread = np.sqrt(np.mean(np.square(photos, dtype=np.float64), axis=0)).astype(np.float32)
    spread *= length / np.linalg.norm(spread)
    return dice.standard_normal((count, WIDTH), np.float32) * spread


class Source:
    """Where the vectors come from: real embeddings where a data set is given.

    Attributes:
        photos: (P, 512) float32 unit vectors.
        queries: (Q, 512) float32 unit vectors.
        words: what they are, for the report.
    """

    def __init__(self, data: Path | None, model: str, photos: int, cache: Path) -> None:
        kept = cache / f"embeddings-{photos}.npz"
        if data is None:
            self.photos, self.queries = synthetic()
            self.words = "synthetic vectors (no --data)"
            return
        if not kept.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            sides = projected(*embedded(data, model, photos))
            np.savez(kept, photos=sides[0], queries=sides[1])
        with np.load(kept) as both:
            self.photos, self.queries = both["photos"], both["queries"]
        self.words = f"{len(self.photos):,} photos of {data.name} plus noise of length {NOISE}"

    def made(self, count: int, cache: Path) -> np.ndarray:
        """(count, 512) float32 unit vectors, memory-mapped; prefixes of one sequence."""
        kept = cache / f"vectors-{count}.npy"
        if not kept.is_file():
            partial = kept.with_suffix(".partial")
            rows = np.lib.format.open_memmap(partial, "w+", np.float32, (count, WIDTH))
            for start in range(0, count, CHUNK):
                dice = np.random.default_rng(start)
                picked = self.photos[dice.integers(0, len(self.photos), CHUNK)]
                part = unit(picked + noise(self.photos, CHUNK, dice, NOISE))
                rows[start : start + CHUNK] = part[: count - start]
            rows.flush()
            partial.replace(kept)
        return np.load(kept, mmap_mode="r")
