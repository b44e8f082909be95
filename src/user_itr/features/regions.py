"""The features of a captioned set: regions from its precomputed file or a feature store, guides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from pydantic import JsonValue

from user_itr.data.captions import CaptionedImages
from user_itr.data.readers.scan import open_features
from user_itr.errors import FeatureError
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.extraction import extract_features
from user_itr.features.guides.registry import create_guide
from user_itr.features.guides.storage import can_extract_guide, open_guide
from user_itr.features.runtime import for_extraction
from user_itr.features.store import MANIFEST_FILE, FeatureStore

PRECOMPUTED = "precomputed"
"""Name of the backbone of sets that bring their own features, as the SCAN layout does."""


@dataclass(frozen=True)
class Regions:
    """Region features of the images of one split, or their guide embeddings.

    Args:
        array: (rows, K, d) memory map; (rows, 1, G) of a guide.
        rows: (N,) int64, the row of each image of the split.
        identity: what made them: backbone, weights_hash, preprocessing, regions, width.
    """

    array: np.ndarray
    rows: np.ndarray
    identity: dict[str, JsonValue]


def cache_folder() -> Path:
    """Where stores and token states that nobody gave a place are kept."""
    return user_cache_path("user-itr")


def default_store(data: Path, split: str, backbone: str) -> Path:
    """The cache folder's store for one split of a data set and a backbone."""
    key = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]
    name = re.sub(r"[^\w.-]", "-", f"{data.resolve().name}-{split}-{backbone}")
    return cache_folder() / "features" / f"{name}-{key}"


def open_regions(
    splits: Sequence[CaptionedImages],
    backbone: str,
    data: Path,
    store: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Regions]:
    """Open the features of some splits of one set, extracting those that are not there yet.

    A split with a feature file of its own is read from that file. The others come from `store`, or
    without one each from a store of its own in the cache folder. A folder that holds no finished
    store is filled first, an unfinished extraction continued.

    Args:
        splits: N captioned splits.
        backbone: name in the registry, for the extraction and to check the store against.
        data: where the set is; names the stores in the cache folder.
        store: folder of one feature store for all the splits.
        progress: see `extract_features`.

    Returns:
        N regions.

    Raises:
        FeatureError: if the store was made by another backbone or lacks images of a split, or a
            split has neither images nor features.
    """
    wanted: dict[Path, dict[str, Path]] = {}
    folders = [store or default_store(data, split.split, backbone) for split in splits]
    for split, folder in zip(splits, folders, strict=True):
        if split.feature_file is not None:
            continue
        if backbone == PRECOMPUTED and split.image_paths is not None:
            raise FeatureError(
                f"{split.name} ({split.split}): holds images, and the model reads region features "
                "that come with the set; give SCAN's folder with the features of these images "
                "(*_ims.npy, *_caps.txt) by --data. A new model may make its regions from images: "
                "--set features.backbone=efficientnet-lite2."
            )
        if split.image_paths is None or backbone == PRECOMPUTED:
            raise FeatureError(
                f"{split.name} ({split.split}): brings no precomputed features; "
                "set features.backbone to a backbone that makes them from images."
            )
        if not (folder / MANIFEST_FILE).exists():
            pairs = zip(split.image_ids, split.image_paths, strict=True)
            wanted.setdefault(folder, {}).update(pairs)
    if wanted:
        network = for_extraction(create_backbone(backbone))
        for folder, images in wanted.items():
            extract_features(list(images.items()), network, folder, progress=progress)
    return [_open(s, backbone, folder) for s, folder in zip(splits, folders, strict=True)]


def open_guides(
    splits: Sequence[CaptionedImages],
    guide: str,
    data: Path,
    store: Path | None,
    progress: Callable[[int, int], None] | None,
    regions: Sequence[Regions],
) -> list[Regions]:
    """Open a guide's embeddings of some splits, extracting those that are not there yet.

    They lie beside the regions (see `guide_folder`), one row an image of the region store. Where
    that store holds images of other splits too, whose files are not known here, each split gets a
    store of its own in the cache folder.

    Args:
        splits: N captioned splits.
        guide: see `create_guide`.
        data: as `open_regions` had it, as `store` and `progress`.
        store: folder of one region store for all the splits.
        progress: see `extract_features`.
        regions: what `open_regions` gave for the splits.

    Returns:
        N guides: raw embeddings, not of unit norm.

    Raises:
        FeatureError: if a split's features came as a file, or the guide beside its regions was made
            of other images.
    """
    folders: list[Path] = []
    images: dict[Path, dict[str, Path]] = {}
    for split, features in zip(splits, regions, strict=True):
        backbone = str(features.identity["backbone"])
        if split.image_paths is None or backbone == PRECOMPUTED:
            raise FeatureError(
                f"{split.name} ({split.split}): comes with features and has no images for the "
                f"guide {guide}; train without features.guide, with enhancement none or self."
            )
        folders.append(store or default_store(data, split.split, backbone))
        pairs = zip(split.image_ids, split.image_paths, strict=True)
        images.setdefault(folders[-1], {}).update(pairs)
    beside = {
        folder: open_guide(region_store, guide, paths, progress)
        for folder, paths in images.items()
        if can_extract_guide(region_store := FeatureStore.open(folder), guide, paths)
    }
    return [
        _rows(
            beside[folder] if folder in beside else _guide_apart(split, guide, data, progress),
            split.image_ids,
        )
        for split, folder in zip(splits, folders, strict=True)
    ]


def _guide_apart(
    split: CaptionedImages,
    guide: str,
    data: Path,
    progress: Callable[[int, int], None] | None,
) -> FeatureStore:
    folder = default_store(data, split.split, f"guide-{guide}")
    if not (folder / MANIFEST_FILE).exists():
        pairs = zip(split.image_ids, split.image_paths or (), strict=True)
        network = for_extraction(create_guide(guide))
        extract_features(list(pairs), network, folder, progress=progress)
    return FeatureStore.open(folder)


def _open(images: CaptionedImages, backbone: str, store: Path) -> Regions:
    if images.feature_file is not None and images.feature_rows is not None:
        array = open_features(images.feature_file)
        return Regions(array, images.feature_rows, precomputed_identity(array))
    opened = FeatureStore.open(store)
    if opened.manifest.backbone != backbone:
        raise FeatureError(
            f"{store}: was made by backbone {opened.manifest.backbone}, not {backbone}; "
            "set features.backbone to it, or give another store."
        )
    return _rows(opened, images.image_ids)


def _rows(store: FeatureStore, image_ids: Sequence[str]) -> Regions:
    return Regions(store.array, store.rows(image_ids), store.manifest.identity())


def precomputed_identity(array: np.ndarray) -> dict[str, JsonValue]:
    """The identity of features that came as a file: only their shape is known."""
    return {
        "backbone": PRECOMPUTED,
        "weights_hash": "",
        "preprocessing": {},
        "regions": int(array.shape[1]),
        "width": int(array.shape[2]),
    }
