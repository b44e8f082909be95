"""What ordinary sentences score in an index: what a match is read against."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from user_itr.search.encoder import Encoder

FIRST = 10
"""Photos at the head of a list that its sentence is judged on."""

FEW = 20
"""Photos up to which an index is judged as one of so many: with one photo, chance would do."""

TILE = 2_048
"""Photos that are compared at a time."""


@cache
def ordinary_sentences() -> tuple[str, ...]:
    """The ordinary sentences that come with the package."""
    file = Path(__file__).with_name("ordinary.txt")
    return tuple(file.read_text("utf-8").splitlines())


@cache
def _digest() -> str:
    return hashlib.sha256("\n".join(ordinary_sentences()).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What ordinary sentences score in an index.

    A sentence is judged on the first photos of its list: by how many standard deviations its score
    there lies above what the ordinary sentences score on the same photos. So a photo that fits
    everything a little (a hub) counts for less. Its match is the share of ordinary sentences whose
    own best photos give them fewer deviations.

    Attributes:
        sentences: (B, D) float32 unit vectors of the ordinary sentences.
        best: (B,) float32, ascending: the deviations of each one's best photo.
        photos: number of photos in the index when this was made.
    """

    sentences: np.ndarray
    best: np.ndarray
    photos: int

    @classmethod
    def of(
        cls, encoder: Encoder, sample: np.ndarray, photos: int, before: Reference | None = None
    ) -> Reference:
        """That of an index.

        Args:
            encoder: the model of the index.
            sample: (N, D) float32 unit vectors of its photos, or of many of them.
            photos: how many it has.
            before: an earlier one by the same model, whose sentences need not be encoded again.
        """
        if before is None:
            sentences = np.asarray(encoder.encode_text(ordinary_sentences()), np.float32)
        else:
            sentences = before.sentences
        return cls(sentences, _best(sentences, sample), photos)

    def shares(self, scores: Sequence[float], photos: np.ndarray) -> np.ndarray:
        """The share in [0, 1] of ordinary sentences that fit worse, of each score.

        Args:
            scores: cosines of a sentence with photos of a list, or of sentences with one photo.
            photos: (P, D) float32 unit vectors: the first of the list, or the one photo.
        """
        mean, deviation = _spread(self.sentences @ np.asarray(photos, np.float32).T)
        found = (np.asarray(scores, np.float32) - mean.mean()) / deviation.mean()
        return np.asarray(np.searchsorted(self.best, found) / len(self.best))

    def to_bytes(self) -> bytes:
        """Content of a file."""
        content = io.BytesIO()
        np.savez(
            content,
            digest=np.array(_digest()),
            photos=np.array(self.photos),
            best=self.best,
            sentences=self.sentences.astype(np.float16),
        )
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, dim: int) -> Reference | None:
        """Out of a file's content; None if it is damaged or of other sentences."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                if str(arrays["digest"]) != _digest():
                    return None
                sentences = arrays["sentences"].astype(np.float32)
                best = arrays["best"].astype(np.float32)
                photos = int(arrays["photos"])
        except Exception:  # NumPy and zipfile raise what a damaged file leads them to
            return None
        whole = sentences.shape == (len(ordinary_sentences()), dim) and best.shape == (
            len(sentences),
        )
        usable = whole and np.isfinite(sentences).all() and np.isfinite(best).all()
        return cls(sentences, best, photos) if usable else None


def _best(sentences: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """The deviations of each sentence's best photo, ascending."""
    count = len(sentences)
    kept = np.empty((count, 0), np.float32), np.empty((2, count, 0), np.float32)
    for start in range(0, len(sample), TILE):
        scores = sentences @ sample[start : start + TILE].T
        spread = np.broadcast_to(np.stack(_spread(scores))[:, None], (2, *scores.shape))
        scores = np.concatenate([kept[0], scores], 1)
        spread = np.concatenate([kept[1], spread], 2)
        first = np.argsort(-scores, axis=1, kind="stable")[:, :FIRST]
        kept = (
            np.take_along_axis(scores, first, 1),
            np.take_along_axis(spread, first[None], 2),
        )
    best = np.full(count, -np.inf, np.float32)
    if len(sample):
        mean, deviation = kept[1].mean(2)
        best = np.sort((kept[0][:, 0] - mean) / deviation)
    if len(sample) >= FEW:
        return best
    from statistics import NormalDist  # costs a search more than it reads

    places = (np.arange(count) + 0.5) / count  # of the highest of the normal numbers that lack
    chance = [NormalDist().inv_cdf(place ** (1 / (FEW - len(sample)))) for place in places]
    return np.maximum(best, np.asarray(chance, np.float32))


def _spread(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, each (P,), of what the sentences score on P photos."""
    return scores.mean(0), np.maximum(scores.std(0), 1e-6)
