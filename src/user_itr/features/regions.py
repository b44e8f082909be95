"""The region features of a captioned set: from its precomputed file, or from a feature store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from pydantic import JsonValue

from user_itr.data.captions import CaptionedImages
from user_itr.errors import FeatureError
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.extraction import extract_features
from user_itr.features.store import MANIFEST_FILE, FeatureStore

PRECOMPUTED = "precomputed"
"""Name of the backbone of sets that bring their own features, as the SCAN layout does."""


@dataclass(frozen=True)
class Regions:
    """Region features of the images of one split.

    Args:
        array: (rows, K, d) memory map.
        rows: (N,) int64, the row of each image of the split.
        identity: what made them: backbone, weights_hash, preprocessing, regions, width.
    """

    array: np.ndarray
    rows: np.ndarray
    identity: dict[str, JsonValue]


def cache_folder() -> Path:
    """Where stores and token states that nobody gave a place are kept."""
    return user_cache_path("user-itr")


def default_store(data: Path, backbone: str) -> Path:
    """The cache folder's store for a data set and a backbone."""
    key = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in backbone)
    return cache_folder() / "features" / f"{data.resolve().name}-{name}-{key}"


def open_regions(
    splits: Sequence[CaptionedImages],
    backbone: str,
    store: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[Regions]:
    """Open the features of some splits of one set.

    A split with a feature file of its own is read from that file. The others come from the store,
    which is extracted first, for all of them, where the folder holds none or an unfinished one.

    Args:
        splits: N captioned splits.
        backbone: name in the registry, for the extraction and to check the store against.
        store: folder of the feature store.
        progress: see `extract_features`.

    Returns:
        N regions.

    Raises:
        FeatureError: if the store was made by another backbone or lacks images of a split, or a
            split has neither images nor features.
    """
    pairs: dict[str, Path] = {}
    for split in splits:
        if split.feature_file is None:
            if split.image_paths is None or backbone == PRECOMPUTED:
                raise FeatureError(
                    f"{split.name} ({split.split}): brings no precomputed features; "
                    "set features.backbone to a backbone that makes them from images."
                )
            pairs |= zip(split.image_ids, split.image_paths, strict=True)
    if pairs and not (store / MANIFEST_FILE).exists():
        extract_features(list(pairs.items()), create_backbone(backbone), store, progress=progress)
    return [_open(split, backbone, store) for split in splits]


def _open(images: CaptionedImages, backbone: str, store: Path) -> Regions:
    if images.feature_file is not None and images.feature_rows is not None:
        array = np.load(images.feature_file, mmap_mode="r", allow_pickle=False)
        return Regions(array, images.feature_rows, precomputed_identity(array))
    opened = FeatureStore.open(store)
    manifest = opened.manifest
    if manifest.backbone != backbone:
        raise FeatureError(
            f"{store}: was made by backbone {manifest.backbone}, not {backbone}; "
            "set features.backbone to it, or give another store."
        )
    identity: dict[str, JsonValue] = {
        "backbone": manifest.backbone,
        "weights_hash": manifest.weights_hash,
        "preprocessing": manifest.preprocessing,
        "regions": manifest.regions,
        "width": manifest.width,
    }
    return Regions(opened.array, opened.rows(images.image_ids), identity)


def precomputed_identity(array: np.ndarray) -> dict[str, JsonValue]:
    """The identity of features that came as a file: only their shape is known."""
    return {
        "backbone": PRECOMPUTED,
        "weights_hash": "",
        "preprocessing": {},
        "regions": int(array.shape[1]),
        "width": int(array.shape[2]),
    }
