"""The batches of a `BatchSource` as lists of pairs, for a side that collates them itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from plain_user import Item
from user_itr.config.settings import Settings
from user_itr.model.tokenizer import TokenizedCaptions
from user_itr.training.batches import BatchSource, CaptionAugmentation
from user_itr.training.preparation import Preparation
from user_itr.training.views import RandomViews


@dataclass
class _Chosen:
    """A `RegionSource` that reads nothing and keeps what was chosen."""

    views: RandomViews
    which: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    window: tuple[slice, slice] | None = None

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> Tensor:
        self.which, self.window = self.views.choose(len(images), rng)
        return torch.empty(len(images), 0)


class PairReader:
    """Reads the pairs of each batch of a run's `BatchSource`, one by one, from the memory maps.

    Args:
        settings: of the run, without changes of captions (`model.text.mask_probability=0`).
        prepared: its data, with random views of the images and a guide.
    """

    def __init__(self, settings: Settings, prepared: Preparation) -> None:
        views = prepared.batches.regions
        assert isinstance(views, RandomViews)
        self.views = views
        self.train = prepared.train
        self.chosen = _Chosen(views)
        captions = self.train.captions
        # Every token is its caption's number, so a batch tells which captions it holds.
        numbers = np.repeat(np.arange(len(captions)), captions.lengths)
        self.source = BatchSource(
            self.train.images,
            self.chosen,
            TokenizedCaptions(numbers, captions.words, captions.offsets),
            CaptionAugmentation(0.0, mask_id=0, vocabulary=1),
            batch_size=settings.training.batch_size,
            captions_per_image=settings.training.captions_per_image,
            seed=settings.training.seed,
        )

    def batches(self) -> Iterator[list[tuple[int, int, int, tuple[slice, slice]]]]:
        """Image, caption, view and window of each pair, those of an image side by side."""
        epoch = 0
        while True:
            for batch in self.source.epoch(epoch):
                captions = np.concatenate([group[:, 0].numpy() for group in batch.tokens])
                rows = batch.caption_image.numpy()
                images, which = batch.image_owner.numpy(), self.chosen.which
                window = self.chosen.window or (slice(None), slice(None))
                yield [
                    (int(images[rows[t]]), int(captions[t]), int(which[rows[t]]), window)
                    for t in np.argsort(rows, kind="stable")
                ]
            epoch += 1

    def item(self, pair: tuple[int, int, int, tuple[slice, slice]]) -> Item:
        """Read one pair."""
        image, caption, which, window = pair
        view = self.views.views[which]
        captions, guides = self.train.captions, self.train.guides
        assert guides is not None
        ids = captions.ids[captions.offsets[caption] : captions.offsets[caption + 1]]
        return Item(
            torch.from_numpy(view.array[view.rows[image]].astype(np.float32)),
            window,
            torch.from_numpy(guides[image].astype(np.float32)),
            torch.from_numpy(ids),
            image,
        )
