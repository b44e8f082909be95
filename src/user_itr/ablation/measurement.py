"""What one run does on the dev split, kept in its folder as `dev.npz`; and ensembles of runs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from user_itr.ablation.files import replace_file
from user_itr.data.identity import split_key
from user_itr.errors import DataError
from user_itr.evaluation.bootstrap import HitsByImage, hits_by_image
from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.metrics import DEFAULT_KS, recall_at_k
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import mean_scores
from user_itr.model.embedder import load
from user_itr.model.split_embeddings import embed_split
from user_itr.training.preparation import Progress

FORMAT_VERSION = 1
FILE = "dev.npz"
METRICS = (*(f"{way} R@{k}" for way in ("i2t", "t2i") for k in DEFAULT_KS), "rsum")
"""Names of the figures of a measurement, in the order of `Measurement.figures`."""


@dataclass(frozen=True)
class Measurement:
    """One model on the dev split.

    Args:
        i2t_ranks: (N',) int64, one an image that has captions.
        t2i_ranks: (M,) int64, one a caption.
        caption_image: (M,) int64, the image of each caption.
        split_key: `split_key` of the split.
        minutes: of training.
        parameters: number of trained ones.
        epoch: of the best checkpoint, from 1; None for an ensemble.
    """

    i2t_ranks: np.ndarray
    t2i_ranks: np.ndarray
    caption_image: np.ndarray
    split_key: str
    minutes: float
    parameters: int
    epoch: int | None

    @cached_property
    def figures(self) -> dict[str, float]:
        """Each of `METRICS`, in percent; rsum is their sum."""
        recalls = [recall_at_k(r, k) for r in (self.i2t_ranks, self.t2i_ranks) for k in DEFAULT_KS]
        return dict(zip(METRICS, [*recalls, sum(recalls)], strict=True))

    @cached_property
    def hits(self) -> HitsByImage:
        """For `paired_bootstrap`."""
        return hits_by_image(self.i2t_ranks, self.t2i_ranks, self.caption_image, DEFAULT_KS)


def measure_run(run: Path, minutes: float, progress: Progress) -> None:
    """Embed the dev split with a run's best checkpoint, in float32, and write `dev.npz`.

    Args:
        run: the run's folder.
        minutes: of its training.
        progress: opens a display, for features that are extracted first.

    Raises:
        UserItrError: if the checkpoint, the split or its features cannot be read.
    """
    embedder = load(run)
    embedded = embed_split(embedder, embedder.model.settings.data.dev_split, progress)
    caption_image = embedded.split.caption_image
    scores = EmbeddingScores(embedded.images, embedded.captions)
    relevance = Relevance.from_caption_image(caption_image, len(embedded.images))
    ranks = cross_modal_ranks(scores, relevance)
    trained = sum(p.numel() for p in embedder.encoder.parameters() if p.requires_grad)
    content = io.BytesIO()
    np.savez(
        content,
        format_version=FORMAT_VERSION,
        i2t_ranks=ranks.i2t.ranks(),
        t2i_ranks=ranks.t2i.ranks(),
        caption_image=caption_image,
        split_key=split_key(embedded.split),
        minutes=minutes,
        parameters=trained,
        epoch=int(str(embedder.model.metrics["epoch"])),
        images=embedded.images,
        captions=embedded.captions,
    )
    replace_file(run / FILE, content.getvalue())


def read_measurement(run: Path) -> Measurement:
    """Read a run's `dev.npz`, without its embeddings.

    Raises:
        DataError: if it is damaged or of another format.
    """
    names = ("i2t_ranks", "t2i_ranks", "caption_image", "split_key")
    values = _read(run, (*names, "minutes", "parameters", "epoch"))
    return Measurement(
        values["i2t_ranks"],
        values["t2i_ranks"],
        values["caption_image"],
        split_key=str(values["split_key"]),
        minutes=float(values["minutes"]),
        parameters=int(values["parameters"]),
        epoch=int(values["epoch"]),
    )


def read_embeddings(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """The embeddings of a run's `dev.npz`: images (N, D) and captions (M, D), float32, unit-norm.

    Raises:
        DataError: if it is damaged or of another format.
    """
    values = _read(run, ["images", "captions"])
    return values["images"], values["captions"]


def measure_ensemble(runs: Sequence[Path]) -> Measurement:
    """Rank by the mean similarity of several runs, all measured on the same split.

    Args:
        runs: n folders with `dev.npz`; the widths of their embeddings may differ.

    Raises:
        DataError: if a file is damaged, or the runs were measured on different splits.
    """
    members = [read_measurement(run) for run in runs]
    if len({member.split_key for member in members}) > 1:
        raise DataError(f"{runs[0]} and {runs[1]}: were measured on different dev splits.")
    first = members[0]
    scores = mean_scores([EmbeddingScores(*read_embeddings(run)) for run in runs])
    relevance = Relevance.from_caption_image(first.caption_image, scores.shape[0])
    ranks = cross_modal_ranks(scores, relevance)
    return Measurement(
        ranks.i2t.ranks(),
        ranks.t2i.ranks(),
        first.caption_image,
        first.split_key,
        minutes=sum(member.minutes for member in members),
        parameters=sum(member.parameters for member in members),
        epoch=None,
    )


def _read(run: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    file = run / FILE
    try:
        with zipfile.ZipFile(file) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed, which it never is as we write it")
        with np.load(file, allow_pickle=False) as stored:
            version = int(stored["format_version"])
            if version == FORMAT_VERSION:
                return {name: _checked(name, stored[name]) for name in names}
    except Exception as error:  # a damaged archive can raise anything
        raise DataError(
            f"{file}: is damaged ({error}); remove it, and the same command measures the run again."
        ) from None
    remedy = "remove it, and the same command measures the run again"
    if version > FORMAT_VERSION:
        remedy = "upgrade user-itr, or " + remedy
    raise DataError(
        f"{file}: has format version {version}, this release reads {FORMAT_VERSION}; {remedy}."
    )


_AXES = {"i2t_ranks": 1, "t2i_ranks": 1, "caption_image": 1, "images": 2, "captions": 2}


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    """The array; a ValueError if it has other axes, or is no number that `measure_run` writes."""
    kinds = {"split_key": "U", "minutes": "f", "images": "f", "captions": "f"}
    if values.ndim != _AXES.get(name, 0) or values.dtype.kind not in kinds.get(name, "iu"):
        raise ValueError(f"{name} is {values.dtype} of shape {values.shape}")
    if values.dtype.kind != "U" and not (
        np.isfinite(values).all() and (values.dtype.kind == "f" or (values >= 0).all())
    ):
        raise ValueError(f"{name} holds a number that it cannot hold")
    return values
