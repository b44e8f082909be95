"""Features of mirror images, in a store beside that of the images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from user_itr.data.captions import CaptionedImages
from user_itr.errors import FeatureError
from user_itr.features.backbones.base import Backbone
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.extraction import extract_features
from user_itr.features.regions import PRECOMPUTED, Regions, default_store
from user_itr.features.runtime import for_extraction
from user_itr.features.store import MANIFEST_FILE, FeatureStore

FOLDER = "mirrored"


class MirroredBackbone(Backbone):
    """A backbone that sees every image mirrored, left and right exchanged.

    Args:
        backbone: the network.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.name = backbone.name
        self.regions = backbone.regions
        self.width = backbone.width
        self.weights_hash = backbone.weights_hash
        self.draft = backbone.draft
        self.preprocessing = {**backbone.preprocessing, FOLDER: True}

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Mirror one RGB image, then as `Backbone.preprocess`."""
        return self.backbone.preprocess(ImageOps.mirror(image))

    def forward(self, pixels: Tensor) -> Tensor:
        """As the backbone's."""
        features: Tensor = self.backbone(pixels)
        return features


def open_mirrored(
    split: CaptionedImages,
    regions: Regions,
    data: Path,
    store: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Regions:
    """Open the features of a split's mirror images, extracting them if they are not there yet.

    They lie in the folder `mirrored` of the region store, and hold this split alone.

    Args:
        split: a captioned split whose `regions` are open.
        regions: what `open_regions` gave for it.
        data: as for `open_regions`, as are the others.
        store: folder of one region store for all the splits.
        progress: see `extract_features`.

    Raises:
        FeatureError: if the split has no images, or the mirrored features are of another backbone
            or other images.
    """
    backbone = str(regions.identity["backbone"])
    if split.image_paths is None or backbone == PRECOMPUTED:
        raise FeatureError(
            f"{split.name} ({split.split}): comes with features and has no images to mirror; "
            "train with features.mirror=false."
        )
    folder = (store or default_store(data, split.split, backbone)) / FOLDER
    if not (folder / MANIFEST_FILE).exists():
        pairs = list(zip(split.image_ids, split.image_paths, strict=True))
        network = for_extraction(MirroredBackbone(create_backbone(backbone)))
        extract_features(pairs, network, folder, progress=progress)
    opened = FeatureStore.open(folder)
    identity = opened.manifest.identity()
    plain = regions.identity["preprocessing"]
    assert isinstance(plain, dict)
    if identity != {**regions.identity, "preprocessing": {**plain, FOLDER: True}}:
        raise FeatureError(
            f"{folder}: holds no mirrored features of the same kind as its region store; remove "
            "this folder, and it will be made again."
        )
    return Regions(opened.array, opened.rows(split.image_ids), identity)
