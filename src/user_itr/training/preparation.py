"""From settings to everything a run needs: captions, features, model, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from pydantic import JsonValue

from user_itr.config.settings import Settings
from user_itr.data.captions import CaptionedImages
from user_itr.data.identity import split_key
from user_itr.data.readers import load_captions
from user_itr.errors import ConfigError, FeatureError
from user_itr.features.compact import fit_compactor
from user_itr.features.guides.registry import require_guide_name
from user_itr.features.regions import Regions, cache_folder, open_guides, open_regions
from user_itr.features.viewed import open_view
from user_itr.features.views import View, named_views
from user_itr.model.building import BIGRU, build_dual_encoder
from user_itr.model.checkpoint import TrainedModel, compact_width
from user_itr.model.tokenizer import CaptionTokenizer, TokenizedCaptions
from user_itr.training.batches import BatchSource, CaptionAugmentation
from user_itr.training.ranks import Ranks
from user_itr.training.sentences import SharedSentences
from user_itr.training.token_states import cached_token_states
from user_itr.training.views import RandomViews, RegionSource, StoredRegions

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress display of a title; the function inside takes (done, total)."""


@dataclass(frozen=True)
class Split:
    """A split ready to be encoded.

    Args:
        images: its captioned images.
        regions: (rows, K, d) features, compact where the settings say so; raw where batches take
            random views of them.
        rows: (N,) int64, each image's row in `regions`.
        captions: its tokenized captions.
        states: cached token states, or None.
        guides: (N, G) float16 guide embeddings, one an image, compact where the settings say so;
            None without CGE.
        views: regions and rows of the model's further views of the images; the dev split's alone.
    """

    images: CaptionedImages
    regions: np.ndarray
    rows: np.ndarray
    captions: TokenizedCaptions
    states: np.ndarray | None
    guides: np.ndarray | None = None
    views: tuple[tuple[np.ndarray, np.ndarray], ...] = ()


@dataclass(frozen=True)
class Raw:
    """What backbone and guide gave for a split, as it is stored."""

    regions: Regions
    guides: Regions | None

    @property
    def identities(self) -> tuple[dict[str, JsonValue], dict[str, JsonValue] | None]:
        """Identities of the backbone and of the guide."""
        return self.regions.identity, None if self.guides is None else self.guides.identity


@dataclass(frozen=True)
class Preparation:
    """Everything a run needs besides the optimizer."""

    model: TrainedModel
    train: Split
    dev: Split
    batches: BatchSource

    @cached_property
    def data_key(self) -> str:
        """SHA-256 of the train split's image ids and captions: what a run must go on with."""
        return split_key(self.train.images)

    @cached_property
    def dev_key(self) -> str:
        """The same of the dev split: what makes a later epoch's metrics comparable."""
        return split_key(self.dev.images)


def prepare(
    settings: Settings, progress: Progress, resumed: TrainedModel | None = None
) -> Preparation:
    """Read, extract or cache all inputs and build the model.

    Args:
        settings: of the run.
        progress: opens a display.
        resumed: the model of the checkpoint to go on from. Its tokenizer and its map to compact
            features are taken as they are, because fitting them again could give others.

    Raises:
        ConfigError, DataError, FeatureError: where an input is missing or does not fit.
    """
    if settings.data.path is None:
        raise ConfigError("data.path is not set; give the captioned set with --data PATH.")
    train_images = _captions(settings, settings.data.train_split)
    dev_images = _captions(settings, settings.data.dev_split)
    if settings.data.dev_captions is not None:
        dev_images = dev_images.first_captions(settings.data.dev_captions)
    # Before the features: a wrong name of guide or text encoder shows at once, not in an hour.
    if settings.model.image.clip_guided and settings.features.guide is not None:
        require_guide_name(settings.features.guide)
    tokenizer = _new_tokenizer(settings, train_images) if resumed is None else resumed.tokenizer
    raw = _regions(settings, [train_images, dev_images], progress)
    guides = _guides(settings, [train_images, dev_images], raw, progress)
    train_raw, dev_raw = (Raw(*pair) for pair in zip(raw, guides, strict=True))
    if train_raw.identities != dev_raw.identities:
        raise FeatureError(
            f"{settings.data.path}: the features of {settings.data.train_split} and "
            f"{settings.data.dev_split} are of different kinds; extract both the same way."
        )
    if resumed is None:
        model = _new_model(settings, tokenizer, train_raw)
    elif (resumed.features, resumed.guide) == train_raw.identities:
        model = replace(resumed, settings=settings)
    else:
        raise FeatureError(
            f"{settings.data.path}: its features are not of the backbone, the preprocessing or the "
            "shape that the run began with; put them back, or start a new run."
        )
    augmented = settings.features.augmented
    train = _split(model, train_images, train_raw, progress, compact=not augmented)
    dev = _split(model, dev_images, dev_raw, progress)
    further = named_views(settings.features.views)[1:]
    seen = [_viewed(view, settings, dev_images, dev_raw.regions, progress) for view in further]
    dev = replace(dev, views=tuple(_compact(model, regions) for regions in seen))
    regions: RegionSource = StoredRegions(train.regions, train.rows)
    if augmented:
        regions = _random_views(settings, train_images, train_raw.regions, model, progress)
    batches = BatchSource(
        train.images,
        regions,
        train.captions,
        CaptionAugmentation(
            settings.model.text.mask_probability,
            model.tokenizer.mask_id,
            model.tokenizer.vocabulary_size,
        ),
        states=train.states,
        guides=train.guides,
        batch_size=settings.training.batch_size,
        captions_per_image=settings.training.captions_per_image,
        order=settings.training.order,
        drop_last=settings.training.drop_last,
        shared=(
            SharedSentences.among(train.images, train.captions)
            if settings.objective.mask_equal_captions
            else None
        ),
        merge_equal=settings.training.merge_equal_captions,
        seed=settings.training.seed,
    )
    if batches.batches_per_epoch == 0:
        raise ConfigError(
            f"{settings.data.path}: the split {settings.data.train_split!r} gives no batch of two "
            "images; training needs at least two images with captions."
        )
    return Preparation(model, train, dev, batches)


def prepare_in_turn(
    ranks: Ranks, settings: Settings, progress: Progress, resumed: TrainedModel | None = None
) -> Preparation:
    """`prepare` on every rank, so that nothing is extracted or cached twice on a machine.

    Rank 0 is first; the others take over its model with its tokenizer and its map to compact
    features, because fitting them again could give others.

    Args:
        ranks: of the run.
        settings: see `prepare`.
        progress: see `prepare`.
        resumed: see `prepare`.
    """
    prepared = prepare(settings, progress, resumed) if ranks.first else None
    model = ranks.broadcast(None if prepared is None else prepared.model)
    if prepared is None and ranks.first_here:
        prepared = prepare(settings, progress, model)
    ranks.wait()
    return prepare(settings, progress, model) if prepared is None else prepared


def _new_tokenizer(settings: Settings, images: CaptionedImages) -> CaptionTokenizer:
    text = settings.model.text
    if text.encoder == BIGRU:
        return CaptionTokenizer.from_words(images.captions, text.max_tokens, text.min_word_count)
    return CaptionTokenizer.pretrained(text.encoder, text.max_tokens)


def _new_model(settings: Settings, tokenizer: CaptionTokenizer, raw: Raw) -> TrainedModel:
    features = settings.features
    compactor = fit_compactor(
        raw.regions.array, raw.regions.rows, features.grid, features.width, features.whitening
    )
    guide_compactor = guide_width = None
    if raw.guides is not None:
        guide_compactor = fit_compactor(
            raw.guides.array, raw.guides.rows, None, features.guide_width
        )
        guide_width = compact_width(raw.guides.identity, guide_compactor)
    torch.manual_seed(settings.training.seed)
    encoder = build_dual_encoder(
        settings.model,
        compact_width(raw.regions.identity, compactor),
        tokenizer.vocabulary_size,
        guide_width=guide_width,
    )
    identity, guide = raw.identities
    return TrainedModel(settings, encoder, compactor, tokenizer, identity, guide, guide_compactor)


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
    with progress("extracting features") as advance:
        return open_regions(splits, features.backbone, settings.data.path, features.store, advance)


def _guides(
    settings: Settings,
    splits: list[CaptionedImages],
    regions: list[Regions],
    progress: Progress,
) -> Sequence[Regions | None]:
    features = settings.features
    assert settings.data.path is not None
    if not settings.model.image.clip_guided or features.guide is None:
        return [None] * len(splits)
    with progress("extracting guide embeddings") as advance:
        return open_guides(
            splits,
            features.guide,
            settings.data.path,
            features.store,
            advance,
            regions,
        )


def _random_views(
    settings: Settings,
    images: CaptionedImages,
    regions: Regions,
    model: TrainedModel,
    progress: Progress,
) -> RandomViews:
    views = [regions]
    if settings.features.mirror:
        views.append(_viewed(View("mirror"), settings, images, regions, progress))
    return RandomViews(views, model.compactor, settings.features.crop)


def _viewed(
    view: View, settings: Settings, images: CaptionedImages, regions: Regions, progress: Progress
) -> Regions:
    data, store = settings.data.path, settings.features.store
    assert data is not None
    with progress(f"extracting features of the view {view.name}") as advance:
        return open_view(view, images, regions, data, store, advance)


def _compact(model: TrainedModel, regions: Regions) -> tuple[np.ndarray, np.ndarray]:
    """What the model sees of stored regions, and each image's row in it."""
    if model.compactor is None:
        return regions.array, regions.rows
    compact = model.compactor.apply_to(regions.array, regions.rows)
    return compact, np.arange(len(compact), dtype=np.int64)


def _split(
    model: TrainedModel,
    images: CaptionedImages,
    raw: Raw,
    progress: Progress,
    compact: bool = True,
) -> Split:
    regions, rows = raw.regions.array, raw.regions.rows
    if compact:
        regions, rows = _compact(model, raw.regions)
    guides = None
    if raw.guides is not None:
        guides = raw.guides.array[raw.guides.rows]
        if model.guide_compactor is not None:
            rows_of_all = np.arange(len(guides), dtype=np.int64)
            guides = model.guide_compactor.apply_to(guides, rows_of_all)
        guides = guides[:, 0]
    captions = model.tokenizer(images.captions)
    states = None
    tokens = model.encoder.text.tokens
    if model.settings.model.text.cache and tokens.cacheable:
        with progress(f"token states ({images.split})") as advance:
            states = cached_token_states(tokens, captions, cache_folder() / "states", advance)
    return Split(images, regions, rows, captions, states, guides)
