"""What is checked and written before an index is made, opened or rebuilt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from user_itr.errors import IndexStoreError
from user_itr.hub.names import recorded_name
from user_itr.search.encoder import Encoder
from user_itr.search.location import LOCK, Location, store_errors
from user_itr.search.manifest import MANIFEST, Manifest


def check_model(location: Location, manifest: Manifest, encoder: Encoder) -> None:
    """Make sure that an encoder is the model that made an index.

    Raises:
        IndexStoreError: if it is another one; the message names both.
    """
    if manifest.fingerprint != encoder.fingerprint:
        raise IndexStoreError(
            f"{location}: made by model {manifest.fingerprint[:12]} ({manifest.description}; "
            f"{manifest.model}), not by {encoder.fingerprint[:12]} ({encoder.description}); use "
            "that model, index into another folder with --index, or encode all again with "
            "`user-itr index --rebuild`."
        )


def is_there(location: Location) -> bool:
    """Whether anything is at a place."""
    return bool(location.entries()) if location.folder is None else location.folder.exists()


def check_free(location: Location) -> None:
    """Make sure that an index can be made at a place.

    Raises:
        IndexStoreError: if other things are there.
    """
    if location.folder is not None and location.folder.is_file():
        raise IndexStoreError(f"{location}: is a file; give a folder for the index.")
    with store_errors(location, "read"):
        others = [
            name
            for name in location.entries()
            if name != LOCK and not name.startswith(f".{MANIFEST}.")
        ]
    if others:
        raise IndexStoreError(
            f"{location}: is not a search index and holds other things ({min(others)}); give a new "
            "or empty folder for the index."
        )


def manifest_of(encoder: Encoder, model_path: str | Path, generation: int) -> Manifest:
    """What an index by an encoder records about itself."""
    return Manifest(
        fingerprint=encoder.fingerprint,
        description=encoder.description,
        dim=encoder.dim,
        model=recorded_name(model_path),
        generation=generation,
    )


def unit_query(location: Location, manifest: Manifest, embedding: np.ndarray) -> np.ndarray:
    """A query's embedding (D,) as the float32 unit vector that an index is asked for.

    Raises:
        IndexStoreError: if it has another width than the index, or no direction.
    """
    query = np.asarray(embedding, dtype=np.float32)
    if query.shape != (manifest.dim,):
        raise IndexStoreError(
            f"{location}: the query has shape {query.shape} and the index embeddings "
            f"({manifest.dim},); encode the query with the model that made the index."
        )
    norm = float(query @ query) ** 0.5
    if not 0 < norm < np.inf:
        raise IndexStoreError(f"the query embedding has norm {norm}; a direction is needed.")
    return np.asarray(query / norm)


def same_generation(one: Manifest, other: Manifest) -> bool:
    """Whether two manifests are of the same photos."""
    return (one.fingerprint, one.generation) == (other.fingerprint, other.generation)


def write_manifest(manifest: Manifest, location: Location, name: str = MANIFEST) -> None:
    """Write a manifest at a place.

    Raises:
        IndexStoreError: if it cannot be written.
    """
    with store_errors(location, "written"):
        manifest.write(location, name)
