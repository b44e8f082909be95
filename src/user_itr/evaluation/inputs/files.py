"""The files of one model: embeddings of both sides, one matrix, or two, with ids beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from user_itr.errors import DataError
from user_itr.evaluation.inputs.arrays import SUFFIXES, read_arrays
from user_itr.evaluation.inputs.ids import ID_SUFFIXES, ids_of, read_ids
from user_itr.evaluation.result import ScoredBy
from user_itr.files import hash_files

IMAGES = ("images", "image_embeddings", "image_embeds", "image_features", "img_embs")
CAPTIONS = (
    "captions",
    "caption_embeddings",
    "text_embeddings",
    "text_embeds",
    "text_features",
    "texts",
    "cap_embs",
)
"""What files, or arrays in one file, of the two sides of embeddings may be called."""

MATRICES = {
    "i2t": ("i2t", "scores_i2t", "score_matrix_i2t", "sims_i2t", "sims_matrix_i2t"),
    "t2i": ("t2i", "scores_t2i", "score_matrix_t2i", "sims_t2i", "sims_matrix_t2i"),
}
"""The same of two matrices, one a direction."""

_IDS = {
    "image": ("image_ids", "img_ids"),
    "caption": ("caption_ids", "text_ids", "cap_ids"),
    "owner": ("caption_image_ids",),
}


@dataclass(frozen=True)
class ScoreFiles:
    """What was found at a path: both sides of embeddings, or matrices.

    Args:
        path: as it was given.
        sha256: of all files.
        images: (R, D).
        captions: (C, D).
        matrices: by "i2t" and "t2i", or one by "i2t".
        image_ids: R ids.
        caption_ids: C ids.
        owner_ids: C ids, of the image of each caption.
        places: the file of each of these, by "images", "captions", "i2t", "t2i", "image", "caption"
            and "owner".
    """

    path: Path
    sha256: str
    images: np.ndarray | None
    captions: np.ndarray | None
    matrices: Mapping[str, np.ndarray]
    image_ids: list[str] | None
    caption_ids: list[str] | None
    owner_ids: list[str] | None
    places: Mapping[str, Path]

    @property
    def image_file(self) -> Path:
        """For messages."""
        return self.places.get("images", self.path)

    @property
    def caption_file(self) -> Path:
        """For messages."""
        return self.places.get("captions", self.path)

    @property
    def image_id_file(self) -> Path:
        """For messages."""
        return self.places.get("image", self.path)

    @property
    def caption_id_file(self) -> Path:
        """For messages."""
        return self.places.get("caption", self.path)

    def file_of(self, key: str) -> Path:
        """For messages: of a matrix."""
        return self.places.get(key, self.path)

    def matrix(self, key: str) -> np.ndarray:
        """The matrix of a direction."""
        return self.matrices[key]

    def scored_by(self, kind: Literal["embeddings", "similarity"]) -> ScoredBy:
        """What a report says about them."""
        return ScoredBy(self.path.stem, kind, self.sha256)

    def check_ids(self, side: Literal["image", "caption"], rows: int) -> None:
        """Raise DataError, which blames the file of ids, if they are not one a row."""
        ids = self.image_ids if side == "image" else self.caption_ids
        if ids is not None and len(ids) != rows:
            scored = self.image_file if side == "image" else self.caption_file
            raise DataError(
                f"{self.places.get(side, self.path)}: holds {len(ids):,} ids, and {scored} has "
                f"{rows:,} {side}s; give one id a row."
            )

    def owners_by_id(self, images: list[str]) -> np.ndarray:
        """The image of each caption, from ids of both: (C,) int64 rows of `images`.

        Raises:
            DataError: if the ids do not say it.
        """
        owners = self.owner_ids
        if owners is None and self.caption_ids and all("#" in one for one in self.caption_ids):
            owners = [one.rpartition("#")[0] for one in self.caption_ids]
        if not images or owners is None:
            raise DataError(
                f"{self.path}: files of scores do not say what is right; give --data SET, or "
                "--caption-image FILE.npy, or image_ids and caption_image_ids beside them."
            )
        row_of = {one: row for row, one in enumerate(images)}
        for row, one in enumerate(owners):
            if one not in row_of:
                raise DataError(
                    f"{self.places.get('owner', self.caption_id_file)}: row {row}, {one!r}, is "
                    f"none of the {len(images):,} image ids of {self.image_id_file}."
                )
        return np.array([row_of[one] for one in owners], np.int64)


def named_in(folder: Path) -> dict[str, Path]:
    """The arrays in a folder, by "images", "captions", "i2t" and "t2i"."""
    wanted = {"images": IMAGES, "captions": CAPTIONS, **MATRICES}
    found: dict[str, Path] = {}
    for key, names in wanted.items():
        for name in names:
            files = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
            there = [file for file in files if file.is_file()]
            if (folder / name).is_dir() and any((folder / name).rglob("*.parquet")):
                there.append(folder / name)
            if len(there) > 1:
                raise DataError(
                    f"{folder}: both {there[0].name} and {there[1].name} are there; keep one."
                )
            if there:
                found.setdefault(key, there[0])
    if "images" in found and found["images"].is_dir() and "captions" not in found:
        return {}  # a set with pictures in Parquet, not ours
    return found


def open_score_files(
    path: Path, image_ids: Path | None = None, caption_ids: Path | None = None
) -> ScoreFiles:
    """Open what somebody's model wrote, without executing anything in it.

    Args:
        path: a folder with images and captions, or with i2t and t2i, each in a file of its own; or
            one file with these arrays; or with one matrix.
        image_ids: file of the rows' image ids; beside or in the files by default.
        caption_ids: the same of captions.

    Raises:
        DataError: if a file is missing, cannot be read, or holds something else.
    """
    arrays: dict[str, np.ndarray] = {}
    ids: dict[str, list[str]] = {}
    if path.is_dir():
        places = named_in(path)
        for key, file in places.items():
            found = dict(read_arrays(file))
            side = {"images": "image", "captions": "caption"}.get(key)
            if side and "ids" in found:
                ids[side] = ids_of(found.pop("ids"), file)
                places = {**places, side: file}
            arrays[key] = _only(found, file)
        used = [one for file in places.values() for one in _all_files(file)]
    else:
        arrays, ids = _of_one_file(path)
        places = dict.fromkeys((*arrays, *ids), path)
        used = [path]
    sides = {"images", "captions"} & set(arrays)
    if len(sides) == 1:
        [side] = sides
        other = "captions" if side == "images" else "images"
        raise DataError(f"{path}: holds {side} and no {other}; put {other}.npy beside them.")
    if not sides and list(arrays) == ["t2i"]:
        raise DataError(f"{path}: holds t2i and no i2t; put the matrix of images as queries there.")
    given = {"image": image_ids, "caption": caption_ids, "owner": None}
    for side, names in _IDS.items():
        beside = given[side] or (_id_file(path, names) if path.is_dir() else None)
        if beside is not None:
            ids[side] = read_ids(beside)
            places = {**places, side: beside}
            used.append(beside)
    return ScoreFiles(
        path,
        hash_files(list(dict.fromkeys(used))),
        arrays.pop("images", None),
        arrays.pop("captions", None),
        arrays,
        ids.get("image"),
        ids.get("caption"),
        ids.get("owner"),
        places,
    )


def _of_one_file(path: Path) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """The arrays of a file by our names, and its ids."""
    found = dict(read_arrays(path))
    ids = {}
    for side, names in _IDS.items():
        for name in names:
            if name in found:
                ids[side] = ids_of(found.pop(name), path)
    wanted = {"images": IMAGES, "captions": CAPTIONS, **MATRICES}
    arrays = {key: found[name] for key, names in wanted.items() for name in names if name in found}
    if not arrays:
        arrays = {"i2t": _only(found, path)}
    return arrays, ids


def _only(found: Mapping[str, np.ndarray], file: Path) -> np.ndarray:
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "nothing"
        raise DataError(
            f"{file}: holds {names}; give one array, or arrays called images and captions, or i2t "
            "and t2i."
        )
    return next(iter(found.values()))


def _id_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    files = [folder / f"{name}{suffix}" for name in names for suffix in ID_SUFFIXES]
    there = [file for file in files if file.is_file()]
    if len(there) > 1:
        raise DataError(f"{folder}: both {there[0].name} and {there[1].name} are there; keep one.")
    return there[0] if there else None


def _all_files(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
