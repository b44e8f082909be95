"""Embedding a split of a captioned set with a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from user_itr.config.settings import Settings
from user_itr.data.captions import CaptionedImages
from user_itr.data.coco_ids import with_coco_ids
from user_itr.data.readers import load_captions
from user_itr.errors import ConfigError, FeatureError
from user_itr.features.regions import Regions, open_guides, open_regions
from user_itr.features.store import FeatureStore
from user_itr.features.viewed import open_view
from user_itr.model.embedder import Embedder
from user_itr.runtime.dual_encoders.encoder import PublishedEncoder

BLOCK = 256
"""Images or captions between two updates of the progress."""


@dataclass(frozen=True)
class LoadedSplit:
    """A split and its origin.

    Args:
        path: of the captioned set.
        split: its captioned images.
        trained_on: the feature store that was given for training, if this is the training's set.
    """

    path: Path
    split: CaptionedImages
    trained_on: Path | None


@dataclass(frozen=True)
class SplitEmbeddings:
    """Both sides of a split.

    Args:
        split: its captioned images, N images and M captions.
        images: (N, D) float32, unit-norm.
        captions: (M, D) float32, unit-norm.
    """

    split: CaptionedImages
    images: np.ndarray
    captions: np.ndarray


def embed_split(
    embedder: Embedder | PublishedEncoder,
    split: str,
    progress: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
    *,
    data: Path | None = None,
    format: str = "auto",
    images: Path | None = None,
    features: Path | None = None,
) -> SplitEmbeddings:
    """Embed a split in float32, each image and each text once.

    Args:
        embedder: the trained model, or a published one, whose images are read from their files.
        split: name of the split.
        progress: opens a display of a title: extracting missing features, embedding each side.
        data: captioned set; by default the training's, with its format and image folder.
        format: reader of `data`.
        images: image folder of the set.
        features: feature store; by default that of the training where it holds the split's images,
            and one in the cache folder elsewhere.

    Raises:
        ConfigError: if neither `data` nor the model's settings name a captioned set.
        DataError: if the set cannot be read.
        FeatureError: if its features are not of the kind that the model was trained on.
    """
    loaded = load_split(embedder, split, data=data, format=format, images=images)
    return embed_loaded(embedder, loaded, progress, features=features)


def embed_loaded(
    embedder: Embedder | PublishedEncoder,
    loaded: LoadedSplit,
    progress: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
    *,
    features: Path | None = None,
) -> SplitEmbeddings:
    """`embed_split` of a split that `load_split` has read; arguments and errors are the same."""
    if isinstance(embedder, PublishedEncoder):
        return _embed_published(embedder, loaded, progress)
    path, captioned, trained_on = loaded.path, loaded.split, loaded.trained_on
    backbone = str(embedder.model.features["backbone"])
    store = features
    # A store given for training serves where it has this split's images as well.
    if store is None and trained_on and FeatureStore.open(trained_on).holds(captioned.image_ids):
        store = trained_on
    with progress("extracting features") as advance:
        [regions] = open_regions([captioned], backbone, path, store, advance)
    _require_kind(path, regions, embedder.model.features)
    guides = None
    if embedder.needs_guides:
        wanted = embedder.model.guide
        assert wanted is not None
        with progress("extracting guide embeddings") as advance:
            [opened] = open_guides(
                [captioned], str(wanted["backbone"]), path, store, advance, [regions]
            )
        _require_kind(path, opened, wanted)
        guides = opened.array[opened.rows, 0]
    seen = [regions]
    for view in embedder.views[1:]:
        with progress(f"extracting features of the view {view.name}") as advance:
            seen.append(open_view(view, captioned, regions, path, store, advance))
    with progress("embedding images") as advance:
        views = [(one.array, one.rows) for one in seen]
        images = embedder.encode_views(views, guides=guides, advance=advance)
    with progress("embedding captions") as advance:
        captions = embedder.encode_text(captioned.captions, advance=advance)
    return SplitEmbeddings(captioned, images, captions)


def load_split(
    embedder: Embedder | PublishedEncoder,
    split: str,
    *,
    data: Path | None = None,
    format: str = "auto",
    images: Path | None = None,
    ids: Path | None = None,
) -> LoadedSplit:
    """Read a split of a captioned set, by default of that of the training.

    Arguments and errors are those of `embed_split`; `ids` is a Karpathy JSON with MSCOCO's ids of a
    set that has none (`with_coco_ids`).
    """
    settings = Settings() if isinstance(embedder, PublishedEncoder) else embedder.model.settings
    same_set = data is None
    path = settings.data.path if data is None else data
    if path is None:
        raise ConfigError("the checkpoint names no captioned set; give --data PATH.")
    captioned = load_captions(
        path,
        split,
        format=settings.data.format if same_set else format,
        images=images or (settings.data.images if same_set else None),
    )
    if ids is not None:
        captioned = with_coco_ids(captioned, ids)
    return LoadedSplit(path, captioned, settings.features.store if same_set else None)


def _embed_published(
    encoder: PublishedEncoder,
    loaded: LoadedSplit,
    progress: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
) -> SplitEmbeddings:
    split = loaded.split
    if split.image_paths is None:
        raise ConfigError(
            f"{loaded.path}: has features in place of images, and {encoder.folder} is a model of "
            "images; give a set with images."
        )
    with progress("embedding images") as advance:
        images = _in_blocks(encoder.encode_images, split.image_paths, advance)
    with progress("embedding captions") as advance:
        captions = _in_blocks(encoder.encode_text, split.captions, advance)
    return SplitEmbeddings(split, images, captions)


def _in_blocks(
    encode: Callable[[Any], np.ndarray], things: Sequence[Any], advance: Callable[[int, int], None]
) -> np.ndarray:
    made = []
    for start in range(0, len(things), BLOCK):
        made.append(encode(things[start : start + BLOCK]))
        advance(min(start + BLOCK, len(things)), len(things))
    return np.concatenate(made)


def _require_kind(path: Path, features: Regions, kind: dict[str, JsonValue]) -> None:
    differing = [name for name, value in features.identity.items() if value != kind[name]]
    if differing:
        raise FeatureError(
            f"{path}: its features are not of the kind that the model was trained on "
            f"({', '.join(differing)} differ); extract them again with {kind['backbone']}."
        )
