"""Guide embeddings beside a store's regions: a store of their own in STORE/guides/SLUG."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from user_itr.errors import FeatureError
from user_itr.features.extraction import (
    ExtractionReport,
    extract_features,
    program_versions,
)
from user_itr.features.guides.pooled import pooled_embedding, pooled_preprocessing
from user_itr.features.guides.registry import (
    GUIDES_FOLDER,
    create_guide,
    guide_folder,
    pooled_backbone,
)
from user_itr.features.runtime import for_extraction
from user_itr.features.store import MANIFEST_FILE, FeatureManifest, FeatureStore, read_manifest
from user_itr.features.writer import StoreWriter, drop_leftovers
from user_itr.runtime.loading import Runtime

BLOCK = 256
"""Rows of regions that are averaged at once."""


def open_guide(
    store: FeatureStore,
    guide: str,
    images: Mapping[str, Path],
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Open the guide's embeddings of a store's images, extracted first where they are not there.

    Raises:
        FeatureError: as `extract_guide` does, and if the embeddings are those of other images.
    """
    folder = guide_folder(store.path, guide)
    averaged = pooled_backbone(guide) == store.manifest.backbone
    if averaged or not (folder / MANIFEST_FILE).exists():
        extract_guide(store, guide, images, progress=progress)
    opened = FeatureStore.open(folder)
    left_out = {image.image_id for image in opened.manifest.skipped}
    if opened.manifest.image_ids != tuple(
        image_id for image_id in store.manifest.image_ids if image_id not in left_out
    ):
        raise FeatureError(
            f"{folder}: holds the guide of other images than its region store; remove this folder, "
            "and it will be made again."
        )
    return opened


def can_extract_guide(store: FeatureStore, guide: str, images: Mapping[str, Path]) -> bool:
    """Whether `open_guide` can have the guide: it is there, or all that it is made of is known."""
    return (
        pooled_backbone(guide) == store.manifest.backbone
        or (guide_folder(store.path, guide) / MANIFEST_FILE).exists()
        or images.keys() >= set(store.manifest.image_ids)
    )


def extract_guide(
    store: FeatureStore,
    guide: str,
    images: Mapping[str, Path],
    *,
    batch_size: int = 32,
    workers: int | None = None,
    overwrite: bool = False,
    runtime: Runtime = "torch",
    progress: Callable[[int, int], None] | None = None,
) -> ExtractionReport:
    """Extract the guide's embeddings of a store's images into `guide_folder(store.path, guide)`.

    The rows are those of the store, in its order. A guide that is the mean of the store's own
    regions is computed from them, without the images. Otherwise see `extract_features` for how
    images are skipped, and how a stopped run continues.

    Args:
        store: the region store.
        guide: see `create_guide`.
        images: the file of every image of the store, by id.
        batch_size: images a batch.
        workers: threads that decode and scale images; see `extract_features`.
        overwrite: replace what another request made.
        runtime: what computes the guide; see `for_extraction`.
        progress: called with (images done, images asked for).

    Raises:
        FeatureError: if the file of an image is not known, and as `extract_features` does.
    """
    if pooled_backbone(guide) == store.manifest.backbone:
        return _average(store, guide, progress)
    unknown = [image_id for image_id in store.manifest.image_ids if image_id not in images]
    if unknown:
        raise FeatureError(
            f"{store.path}: holds {len(unknown)} images that are of none of the given splits, "
            f"first {unknown[0]}; make its guide with `user-itr features extract SOURCE "
            f"{store.path} --guide {guide}` from the source that made the store."
        )
    return extract_features(
        [(image_id, images[image_id]) for image_id in store.manifest.image_ids],
        for_extraction(create_guide(guide), runtime),
        guide_folder(store.path, guide),
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
    )


def stored_guides(store: Path) -> list[FeatureStore]:
    """The finished guides beside a region store, in the order of their folders' names."""
    manifests = sorted((store / GUIDES_FOLDER).glob(f"*/{MANIFEST_FILE}"))
    return [FeatureStore.open(manifest.parent) for manifest in manifests]


def _average(
    store: FeatureStore, guide: str, progress: Callable[[int, int], None] | None
) -> ExtractionReport:
    """Write the mean over a store's regions beside it, in place of that of former regions."""
    folder = guide_folder(store.path, guide)
    regions = store.manifest
    total = len(store)
    request = f"mean over regions of {regions.features_sha256} by {guide}"
    fingerprint = hashlib.sha256(request.encode()).hexdigest()
    if _fingerprint(folder) == fingerprint:
        drop_leftovers(folder)
        return ExtractionReport(total, total, (), True)
    with StoreWriter(
        folder,
        fingerprint=fingerprint,
        created_with=program_versions(),
        threads=torch.get_num_threads(),
        regions=1,
        width=regions.width,
        overwrite=True,
    ) as writer:
        resumed = writer.progress.rows
        for start in range(resumed, total, BLOCK):
            if progress is not None:
                progress(start, total)
            block = torch.from_numpy(np.array(store.array[start : start + BLOCK]))
            writer.append(pooled_embedding(block).unsqueeze(1).numpy(), ())
        if progress is not None:
            progress(total, total)
        writer.finish(
            FeatureManifest(
                backbone=guide,
                weights_hash=regions.weights_hash,
                preprocessing=pooled_preprocessing(regions.preprocessing, regions.regions),
                regions=1,
                width=regions.width,
                batch_size=BLOCK,
                fingerprint=fingerprint,
                features_sha256="0" * 64,
                created_with=program_versions(),
                image_ids=regions.image_ids,
            )
        )
    return ExtractionReport(total, resumed, (), True)


def _fingerprint(folder: Path) -> str | None:
    file = folder / MANIFEST_FILE
    return read_manifest(file).fingerprint if file.exists() else None
