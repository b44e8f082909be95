"""Features of other views of the images, in stores beside that of the whole ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from user_itr.data.captions import CaptionedImages
from user_itr.errors import FeatureError
from user_itr.features.backbones.base import Backbone
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.extraction import extract_features
from user_itr.features.regions import PRECOMPUTED, Regions, default_store
from user_itr.features.runtime import for_extraction
from user_itr.features.store import MANIFEST_FILE, FeatureStore
from user_itr.features.views import View


class ViewedBackbone(Backbone):
    """A backbone that sees a view of every image.

    Args:
        backbone: the network.
        view: of each image.
    """

    def __init__(self, backbone: Backbone, view: View) -> None:
        super().__init__()
        self.backbone = backbone
        self.view = view
        self.name = backbone.name
        self.regions = backbone.regions
        self.width = backbone.width
        self.weights_hash = backbone.weights_hash
        self.draft = backbone.draft
        self.preprocessing = {**backbone.preprocessing, "view": view.name}

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Take the view of one RGB image, then as `Backbone.preprocess`."""
        return self.backbone.preprocess(self.view(image))

    def forward(self, pixels: Tensor) -> Tensor:
        """As the backbone's."""
        features: Tensor = self.backbone(pixels)
        return features


def open_view(
    view: View,
    split: CaptionedImages,
    regions: Regions,
    data: Path,
    store: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Regions:
    """Open the features of a view of a split's images, extracting them if they are not there yet.

    They lie in the folder of the view's name in the region store, and hold one split alone: where
    that of `store` holds another one, they are in the cache folder's store of this split.

    Args:
        view: any but the whole.
        split: a captioned split whose `regions` are open.
        regions: what `open_regions` gave for it.
        data: as for `open_regions`, as are the others.
        store: folder of one region store for all the splits.
        progress: see `extract_features`.

    Raises:
        FeatureError: if the split has no images, or the features there are of another backbone.
    """
    backbone = str(regions.identity["backbone"])
    if split.image_paths is None or backbone == PRECOMPUTED:
        raise FeatureError(
            f"{split.name} ({split.split}): comes with features and has no images to see another "
            "way; leave features.mirror and features.views out."
        )
    own = default_store(data, split.split, backbone) / view.name
    folder = own if store is None else store / view.name
    if folder != own and (folder / MANIFEST_FILE).exists():
        folder = folder if FeatureStore.open(folder).holds(split.image_ids) else own
    if not (folder / MANIFEST_FILE).exists():
        pairs = list(zip(split.image_ids, split.image_paths, strict=True))
        network = for_extraction(ViewedBackbone(create_backbone(backbone), view))
        extract_features(pairs, network, folder, progress=progress)
    opened = FeatureStore.open(folder)
    identity = opened.manifest.identity()
    plain = regions.identity["preprocessing"]
    assert isinstance(plain, dict)
    if identity != {**regions.identity, "preprocessing": {**plain, "view": view.name}}:
        raise FeatureError(
            f"{folder}: holds no features of the view {view.name!r} of the same kind as its region "
            "store; remove this folder, and it will be made again."
        )
    return Regions(opened.array, opened.rows(split.image_ids), identity)
