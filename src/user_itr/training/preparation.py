"""From settings to everything a run needs: captions, features, model, batches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from user_itr.config.settings import Settings
from user_itr.data.captions import CaptionedImages
from user_itr.data.readers import load_captions
from user_itr.errors import ConfigError
from user_itr.features.compact import Compactor
from user_itr.features.regions import Regions, cache_folder, default_store, open_regions
from user_itr.model.building import BIGRU, build_dual_encoder
from user_itr.model.checkpoint import TrainedModel
from user_itr.model.tokenizer import CaptionTokenizer, TokenizedCaptions
from user_itr.training.batches import BatchSource, CaptionAugmentation
from user_itr.training.token_states import cached_token_states

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress display of a title; the function inside takes (done, total)."""


@dataclass(frozen=True)
class Split:
    """A split ready to be encoded.

    Args:
        images: its captioned images.
        regions: (rows, K, d) features, compact where the settings say so.
        rows: (N,) int64, each image's row in `regions`.
        captions: its tokenized captions.
        states: cached token states, or None.
    """

    images: CaptionedImages
    regions: np.ndarray
    rows: np.ndarray
    captions: TokenizedCaptions
    states: np.ndarray | None


@dataclass(frozen=True)
class Preparation:
    """Everything a run needs besides the optimizer."""

    model: TrainedModel
    train: Split
    dev: Split
    batches: BatchSource


def prepare(settings: Settings, progress: Progress) -> Preparation:
    """Read, extract or cache all inputs and build the model.

    Raises:
        ConfigError, DataError, FeatureError: where an input is missing or does not fit.
    """
    if settings.data.path is None:
        raise ConfigError("data.path is not set; give the captioned set with --data PATH.")
    text = settings.model.text
    train_images = _captions(settings, settings.data.train_split)
    dev_images = _captions(settings, settings.data.dev_split)
    train_raw, dev_raw = _regions(settings, [train_images, dev_images], progress)
    compactor = _fit_compactor(settings, train_raw)
    if text.encoder == BIGRU:
        tokenizer = CaptionTokenizer.from_words(
            train_images.captions, text.max_tokens, text.min_word_count
        )
    else:
        tokenizer = CaptionTokenizer.pretrained(text.encoder, text.max_tokens)
    width = int(train_raw.array.shape[2]) if compactor is None else compactor.width
    torch.manual_seed(settings.training.seed)
    encoder = build_dual_encoder(settings.model, width, tokenizer.vocabulary_size)
    model = TrainedModel(settings, encoder, compactor, tokenizer, train_raw.identity)
    train = _split(model, train_images, train_raw, progress)
    dev = _split(model, dev_images, dev_raw, progress)
    batches = BatchSource(
        train.images,
        train.regions,
        train.rows,
        train.captions,
        CaptionAugmentation(text.mask_probability, tokenizer.mask_id, tokenizer.vocabulary_size),
        states=train.states,
        batch_size=settings.training.batch_size,
        captions_per_image=settings.training.captions_per_image,
        seed=settings.training.seed,
    )
    if batches.batches_per_epoch == 0:
        raise ConfigError(
            f"{settings.data.path}: the split {settings.data.train_split!r} gives no batch of two "
            "images; training needs at least two images with captions."
        )
    return Preparation(model, train, dev, batches)


def _captions(settings: Settings, split: str) -> CaptionedImages:
    data = settings.data
    assert data.path is not None
    images = load_captions(data.path, split, format=data.format, images=data.images)
    if len(images) == 0 or not images.captions:
        raise ConfigError(f"{data.path}: the split {split!r} holds no captioned image.")
    return images


def _regions(
    settings: Settings, splits: list[CaptionedImages], progress: Progress
) -> list[Regions]:
    features = settings.features
    assert settings.data.path is not None
    store = features.store or default_store(settings.data.path, features.backbone)
    with progress("extracting features") as advance:
        return open_regions(splits, features.backbone, store, advance)


def _fit_compactor(settings: Settings, train: Regions) -> Compactor | None:
    if not settings.features.compact:
        return None
    regions, width = int(train.array.shape[1]), int(train.array.shape[2])
    compactor = Compactor(regions, width, settings.features.grid, settings.features.width)
    compactor.fit(train.array, train.rows, settings.features.whitening)
    return compactor


def _split(
    model: TrainedModel, images: CaptionedImages, raw: Regions, progress: Progress
) -> Split:
    regions, rows = raw.array, raw.rows
    if model.compactor is not None:
        regions = model.compactor.apply_to(raw.array, raw.rows)
        rows = np.arange(len(images), dtype=np.int64)
    captions = model.tokenizer(images.captions)
    states = None
    tokens = model.encoder.text.tokens
    if model.settings.model.text.cache and tokens.cacheable:
        with progress(f"token states ({images.split})") as advance:
            states = cached_token_states(tokens, captions, cache_folder() / "states", advance)
    return Split(images, regions, rows, captions, states)
