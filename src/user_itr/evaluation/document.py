"""An evaluation as a JSON document: all to reproduce it, and to compare it query by query."""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from user_itr import __version__
from user_itr.data.captions import CaptionedImages
from user_itr.data.identity import split_key
from user_itr.errors import DataError
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.ranks import BestRanks, TieRule
from user_itr.evaluation.result import EvaluationResult
from user_itr.files import parse_json, replace_file

DOCUMENT_FORMAT = 2
"""Version of the JSON document; it grows when a field changes its meaning."""


def evaluation_document(result: EvaluationResult) -> dict[str, Any]:
    """The JSON document of one evaluation, of JSON types only.

    Returns:
        "format"; "dataset", "split", "images", "captions" (counts) and "split_key" (SHA-256 of the
        items); "models" and "fusion"; "metrics" (`CrossModalMetrics.to_dict`), "intervals",
        "folded" and "protocols", each where there is one; "queries" (`BestRanks` by direction);
        "items" (ids, captions and the image of each caption); "versions"; "notes" (what was
        recognised or is suspicious); "command".
    """
    split = result.split
    return {
        "format": DOCUMENT_FORMAT,
        "dataset": split.name,
        "split": split.split,
        "images": len(split.image_ids),
        "captions": len(split.captions),
        "split_key": split_key(split),
        "models": [asdict(model) for model in result.models],
        "fusion": result.fusion,
        "metrics": result.metrics.to_dict(),
        "intervals": result.intervals and result.intervals.to_dict(),
        "folded": result.folded and result.folded.to_dict(),
        "protocols": dict(result.protocols),
        "queries": {
            "i2t": _queries(result.ranks.i2t),
            "t2i": _queries(result.ranks.t2i),
        },
        "items": {
            "images": list(split.image_ids),
            "captions": list(split.captions),
            "caption_image": split.caption_image.tolist(),
        },
        "versions": {
            "user-itr": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            **_torch_version(),
        },
        "notes": list(result.notes),
        "command": result.command,
    }


def _torch_version() -> dict[str, str]:
    """That of torch where it took part."""
    torch = sys.modules.get("torch")
    return {} if torch is None else {"torch": torch.__version__}


def _queries(ranks: BestRanks) -> dict[str, Any]:
    names = ("queries", "positive", "ahead", "tied", "companions")
    return {
        **{name: getattr(ranks, name).tolist() for name in names},
        "candidates": ranks.candidates,
    }


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document; the file there before stays until the new one is whole.

    Args:
        path: the file; its folder is made where it is missing.
        document: as `evaluation_document` or a comparison makes it.

    Raises:
        DataError: if the file cannot be written.
        ValueError: if the document holds NaN or infinity.
    """
    # One line a field of the outermost level: short to scroll, and lists of ranks stay on a line.
    fields = (
        f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for name, value in document.items()
    )
    replace_text(path, "{\n" + ",\n".join(fields) + "\n}\n")


def replace_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole, or leave the one there before.

    Raises:
        DataError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); name a file in a folder you may write."
        ) from error


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Model(_Strict):
    name: str
    kind: str
    sha256: str


class _Queries(_Strict):
    queries: list[int]
    positive: list[int]
    ahead: list[int]
    tied: list[int]
    companions: list[int]
    candidates: int

    def ranks(self) -> BestRanks:
        """As arrays.

        Raises:
            ValueError: if they are not of one length.
        """
        columns = (self.queries, self.positive, self.ahead, self.tied, self.companions)
        if len({len(column) for column in columns}) > 1:
            raise ValueError("the lists of queries are of different lengths")
        queries, positive, ahead, tied, companions = (np.array(c, np.int64) for c in columns)
        return BestRanks(queries, positive, ahead, tied, companions, self.candidates)


class _Directions(_Strict):
    i2t: _Queries
    t2i: _Queries


class _Items(_Strict):
    images: list[str]
    captions: list[str]
    caption_image: list[int]


class _Metrics(BaseModel):
    model_config = ConfigDict(extra="ignore")
    i2t: dict[str, float]
    ties: TieRule

    @field_validator("i2t")
    @classmethod
    def _cutoffs(cls, values: dict[str, float]) -> dict[str, float]:
        for name in values:
            if name.startswith("R@") and not re.fullmatch("R@[1-9][0-9]{0,17}", name):
                raise ValueError(f"{name[:30]} has no cut-off")
        return values


class StoredEvaluation(_Strict):
    """What a comparison needs of a written evaluation."""

    format: Literal[2]
    dataset: str
    split: str
    split_key: str
    models: list[_Model]
    fusion: Literal["mean", "rank"] | None
    metrics: _Metrics
    queries: _Directions
    items: _Items

    @property
    def name(self) -> str:
        """Of the model, or of all of an ensemble's."""
        return " + ".join(model.name for model in self.models)

    @cached_property
    def ranks(self) -> CrossModalRanks:
        """Of every query, both ways."""
        return CrossModalRanks(self.queries.i2t.ranks(), self.queries.t2i.ranks())

    @property
    def ks(self) -> tuple[int, ...]:
        """Cut-offs of recall, ascending."""
        return tuple(sorted(int(n[2:]) for n in self.metrics.i2t if n.startswith("R@")))


def read_document(path: Path) -> StoredEvaluation:
    """Read an evaluation that `user-itr evaluate --json` wrote.

    Raises:
        DataError: if the file cannot be read, is of another format, or a field is wrong; the
            message names the file and the field.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        version = content.get("format") if isinstance(content, dict) else None
        if isinstance(version, int) and version > DOCUMENT_FORMAT:
            raise DataError(
                f"{path}: field format is {version}, this release reads {DOCUMENT_FORMAT}; "
                "upgrade user-itr."
            )
        if version != DOCUMENT_FORMAT:
            raise DataError(
                f"{path}: field format is {version!r}, this release reads {DOCUMENT_FORMAT}; "
                "write it with `user-itr evaluate ... --json`."
            )
        stored = StoredEvaluation.model_validate(content)
        _check(path, stored)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: field {place}: {first['msg'].lower()}; write the evaluation again."
        ) from None
    except (OverflowError, ValueError) as error:  # numbers that int64 has no room for
        raise DataError(f"{path}: is no evaluation ({error}); write it again.") from None
    return stored


def _check(path: Path, stored: StoredEvaluation) -> None:
    """Raise DataError if rows point outside the items."""
    items = stored.items
    sizes = {"i2t": (len(items.images), len(items.captions))}
    sizes["t2i"] = sizes["i2t"][::-1]
    for name, ranks in (("i2t", stored.ranks.i2t), ("t2i", stored.ranks.t2i)):
        for column, size in zip((ranks.queries, ranks.positive), sizes[name], strict=True):
            if len(column) and (column.min() < 0 or column.max() >= size):
                raise DataError(
                    f"{path}: field queries.{name}: a row is outside the {size} items; "
                    "write the evaluation again."
                )
        counts = np.stack([ranks.ahead, ranks.tied, ranks.companions])
        if ranks.candidates < 1 or ((counts < 0) | (counts > ranks.candidates)).any():
            raise DataError(
                f"{path}: field queries.{name}: a count is outside the {ranks.candidates} "
                "candidates; write the evaluation again."
            )
    # Its own checks name what is wrong with captions and images.
    try:
        CaptionedImages(
            stored.dataset,
            stored.split,
            tuple(items.images),
            tuple(items.captions),
            np.array(items.caption_image, np.int64),
        )
    except DataError as error:
        raise DataError(f"{path}: field items: {error}") from None
