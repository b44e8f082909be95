"""A search index: photos of one or several folders, embedded by one model, in one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from user_itr.errors import ConfigError, IndexStoreError
from user_itr.search.encoder import Encoder
from user_itr.search.filters import Filters
from user_itr.search.manifest import MANIFEST, PENDING, Manifest
from user_itr.search.table import LOCK, PhotoTable, drop_tables, store_errors, write_lock
from user_itr.search.update import IndexReport, Update


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result.

    Attributes:
        rank: 1 is the best.
        id: of the photo in the index, 16 hex digits.
        path: the photo.
        score: cosine of query and photo, in [-1, 1].
        width: pixels of the upright photo.
        height: pixels of the upright photo.
    """

    rank: int
    id: str
    path: Path
    score: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What the index knows of a photo.

    Attributes:
        id: 16 hex digits, from the path.
        path: the file.
        bytes: of the file.
        modified: when the file was last changed, local time.
        taken: when the photo was taken, by the camera's clock; None where the file does not say.
        width: pixels of the upright photo.
        height: pixels of the upright photo.
        root: the folder that was indexed.
    """

    id: str
    path: Path
    bytes: int
    modified: datetime
    taken: datetime | None
    width: int
    height: int
    root: Path


class ImageIndex:
    """Photos and their embeddings. Make one with `create_or_open`, `open` or `rebuild`.

    Attributes:
        path: folder of the index, absolute.
        manifest: which model made it.
    """

    def __init__(
        self, path: Path, manifest: Manifest, *, create: bool, pending: bool = False
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._pending = pending
        self._table = PhotoTable(path, manifest.table, manifest.dim, create=create)

    @classmethod
    def open(cls, path: str | Path) -> ImageIndex:
        """Open an index to search it.

        Raises:
            IndexStoreError: if `path` holds no index, a damaged one, or one of a newer format.
        """
        path = Path(path).absolute()
        if not Manifest.exists(path):
            state = "is not a search index" if path.exists() else "no such search index"
            raise IndexStoreError(
                f"{path}: {state}; make one with `user-itr index PHOTOS --index FOLDER`."
            )
        return cls(path, Manifest.read(path), create=False)

    @classmethod
    def create_or_open(
        cls, path: str | Path, encoder: Encoder, model_path: str | Path
    ) -> ImageIndex:
        """Open an index to add photos; make an empty one where there is none.

        Args:
            path: folder of the index: missing, empty, or an index already.
            encoder: the model.
            model_path: checkpoint that `encoder` was loaded from, recorded for later searches.

        Raises:
            IndexStoreError: if another model made the index, or the folder holds other things.
        """
        path = Path(path).absolute()
        if Manifest.exists(path):
            manifest = Manifest.read(path)
            _check_model(path, manifest, encoder)
            if manifest.model != _recorded(model_path):
                manifest = replace(manifest, model=_recorded(model_path))
                _write_manifest(manifest, path)
        else:
            _check_free(path)
            manifest = _manifest_of(encoder, model_path, generation=1)
            _write_manifest(manifest, path)
        return cls(path, manifest, create=True)

    @classmethod
    def rebuild(cls, path: str | Path, encoder: Encoder, model_path: str | Path) -> ImageIndex:
        """An empty index that takes the place of the one at `path` when `commit` is called.

        Until then the old one stays and can be searched. A rebuild by the same model that was
        interrupted goes on where it stopped. Arguments and errors as in `create_or_open`, but
        another model is welcome.
        """
        path = Path(path).absolute()
        if not Manifest.exists(path):
            return cls.create_or_open(path, encoder, model_path)
        current = Manifest.read(path)
        wanted = _manifest_of(encoder, model_path, generation=current.generation + 1)
        with write_lock(path):
            goes_on = (path / PENDING).is_file() and _same_rebuild(
                Manifest.read(path, PENDING), wanted
            )
            drop_tables(path, keep=[*current.tables, *(wanted.tables if goes_on else [])])
            _write_manifest(wanted, path, PENDING)
        return cls(path, wanted, create=True, pending=True)

    def commit(self) -> None:
        """Put a rebuilt index in the old one's place; nothing happens to any other."""
        if not self._pending:
            return
        with write_lock(self.path), store_errors(self.path, "written"):
            os.replace(self.path / PENDING, self.path / MANIFEST)  # noqa: PTH105
            self._pending = False
            drop_tables(self.path, keep=self.manifest.tables)

    def __len__(self) -> int:
        return len(self._table)

    def roots(self) -> dict[Path, int]:
        """The photo folders that were indexed, each with the number of photos found there."""
        counts = self._table.columns("root")["root"].value_counts().to_pylist()
        return {Path(count["values"]): count["counts"] for count in counts}

    def check_model(self, encoder: Encoder) -> None:
        """Make sure that `encoder` is the model that made this index.

        Raises:
            IndexStoreError: if it is another one; the message names both.
        """
        _check_model(self.path, self.manifest, encoder)

    def update(
        self,
        folder: str | Path,
        encoder: Encoder,
        *,
        batch_size: int = 32,
        workers: int = 2,
        processes: bool = False,
        allow_empty: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> IndexReport:
        """Bring the index up to date with the photos below `folder`.

        New photos and those whose size or modification time changed are encoded, unless the index
        has their contents already: a photo that moved keeps its embedding. Photos that are gone
        or no longer decode leave the index; those of other folders are not touched. Each chunk
        that was written stays when the run is interrupted, and the next run goes on there.

        Args:
            folder: photos, looked for recursively.
            encoder: the model that made the index.
            batch_size: photos encoded at once.
            workers: threads or processes that decode ahead.
            processes: decode in processes, which a crashing decoder cannot take down with it; see
                `decode_ahead` for what a script needs.
            allow_empty: let a folder that is missing or holds no images empty its part of the
                index. Without it that is an error, because an unmounted disk looks the same.
            progress: called with (photos done, photos to encode) after the scan and each batch.

        Raises:
            ConfigError: if `batch_size` or `workers` is not positive.
            DataError: if the folder is missing, or empty and was not; see `allow_empty`.
            IndexStoreError: if another model made the index, another process writes to it, or it
                cannot be written.
        """
        for name, value in (("batch_size", batch_size), ("workers", workers)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; give at least 1.")
        self.check_model(encoder)
        with write_lock(self.path):
            run = Update(self._table, Path(folder).resolve(), encoder, progress)
            return run.run(batch_size, workers, processes, allow_empty)

    def search(
        self,
        embedding: np.ndarray,
        k: int = 10,
        *,
        offset: int = 0,
        filters: Filters | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """The k photos nearest to a query, best first, by cosine.

        All photos are compared, unless there are so many (`neighbours.search.APPROXIMATE_FROM`)
        that a graph of neighbours pays; it misses a few, and scores are exact in any case.

        Args:
            embedding: (D,) float; its length does not matter.
            k: number of results; fewer come back where the index holds fewer.
            offset: results to leave out before the first: pages of a longer list.
            filters: what may be found.
            exact: compare all photos in any case.

        Raises:
            ConfigError: if k is not positive, or the offset is negative.
            IndexStoreError: if the query has another width or no direction, or reading fails.
        """
        if k < 1:
            raise ConfigError(f"the number of results is {k}; ask for at least 1.")
        if offset < 0:
            raise ConfigError(f"the offset is {offset}; give 0 or more.")
        query = np.asarray(embedding, dtype=np.float32)
        if query.shape != (self.manifest.dim,):
            raise IndexStoreError(
                f"{self.path}: the query has shape {query.shape} and the index embeddings "
                f"({self.manifest.dim},); encode the query with the model that made the index."
            )
        norm = float(np.linalg.norm(query))
        if not 0 < norm < np.inf:
            raise IndexStoreError(f"the query embedding has norm {norm}; a direction is needed.")
        where = None if filters is None else filters.sql()
        found = self._table.nearest(query / norm, offset + k, where, exact=exact)
        names = ("_distance", "path", "id", "width", "height")
        best_first = sorted(zip(*(found[name].to_pylist() for name in names), strict=True))
        return [
            Hit(rank, id, Path(path), min(1.0, max(-1.0, 1.0 - distance)), width, height)
            for rank, (distance, path, id, width, height) in enumerate(best_first, start=1)
        ][offset:]

    def facts(self, id: str) -> PhotoFacts | None:
        """What is known of a photo; None if the index has none of that id."""
        return next(iter(self.facts_of_many([id])), None)

    def facts_of_many(self, ids: Sequence[str]) -> list[PhotoFacts]:
        """What is known of photos, in the order of `ids`, those left out that the index lacks."""
        rows = self._table.taken_from("id", ids, *_FACTS).to_pylist() if ids else []
        found = {row["id"]: _facts_of(row) for row in rows}
        return [found[id] for id in ids if id in found]

    def embedding_of(self, id: str) -> np.ndarray | None:
        """The (D,) float32 unit vector of a photo; None if the index has none of that id."""
        rows = self._table.taken_from("id", [id], "embedding")
        if not rows.num_rows:
            return None
        return np.asarray(rows["embedding"][0].values.to_numpy(), dtype=np.float32)

    def newest(
        self, k: int = 10, *, offset: int = 0, filters: Filters | None = None
    ) -> list[PhotoFacts]:
        """Photos by the time they were taken, or else their file's, the latest first.

        Arguments and errors are those of `search`.
        """
        if k < 1 or offset < 0:
            raise ConfigError(f"{k} photos from {offset} on cannot be listed; ask for at least 1.")
        where = None if filters is None else filters.sql()
        rows = self._table.columns("id", "taken", "mtime_ns", where=where)
        changed = rows["mtime_ns"].to_numpy() // 1_000_000_000
        zone = datetime.now().astimezone().utcoffset() or timedelta()
        taken = rows["taken"].cast("int64").fill_null(NEVER).to_numpy()
        when = np.where(taken == NEVER, changed + zone.total_seconds(), taken)
        order = np.lexsort((rows["id"].to_numpy(zero_copy_only=False).astype(str), -when))
        return self.facts_of_many(rows["id"].take(order[offset : offset + k]).to_pylist())


NEVER = -(2**62)
"""Stands for no date among seconds."""

_FACTS = ("id", "path", "size", "mtime_ns", "taken", "width", "height", "root")


def _facts_of(row: dict[str, Any]) -> PhotoFacts:
    return PhotoFacts(
        row["id"],
        Path(row["path"]),
        row["size"],
        datetime.fromtimestamp(row["mtime_ns"] / 1e9),
        row["taken"],
        row["width"],
        row["height"],
        Path(row["root"]),
    )


def _check_model(path: Path, manifest: Manifest, encoder: Encoder) -> None:
    if manifest.fingerprint != encoder.fingerprint:
        raise IndexStoreError(
            f"{path}: made by model {manifest.fingerprint[:12]} ({manifest.description}; "
            f"{manifest.model}), not by {encoder.fingerprint[:12]} ({encoder.description}); use "
            "that model, index into another folder with --index, or encode all again with "
            "`user-itr index --rebuild`."
        )


def _check_free(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise IndexStoreError(f"{path}: is a file; give a folder for the index.")
    others = [
        entry.name
        for entry in path.iterdir()
        if entry.name != LOCK and not entry.name.startswith(f".{MANIFEST}.")
    ]
    if others:
        raise IndexStoreError(
            f"{path}: is not a search index and holds other things ({min(others)}); give a new or "
            "empty folder for the index."
        )


def _manifest_of(encoder: Encoder, model_path: str | Path, generation: int) -> Manifest:
    return Manifest(
        fingerprint=encoder.fingerprint,
        description=encoder.description,
        dim=encoder.dim,
        model=_recorded(model_path),
        generation=generation,
    )


def _recorded(model_path: str | Path) -> str:
    """A checkpoint's absolute path, so that it is found from any folder; a name stays as it is."""
    return str(Path(model_path).absolute()) if Path(model_path).exists() else str(model_path)


def _same_rebuild(pending: Manifest, wanted: Manifest) -> bool:
    return (pending.fingerprint, pending.generation) == (wanted.fingerprint, wanted.generation)


def _write_manifest(manifest: Manifest, path: Path, name: str = MANIFEST) -> None:
    with store_errors(path, "written"):
        path.mkdir(parents=True, exist_ok=True)
        manifest.write(path, name)
