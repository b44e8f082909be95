"""Batches of images with some of their captions, in an order fixed by seed and position.

The order of an epoch and the augmentation of a batch are drawn from generators seeded with (seed,
epoch) and (seed, epoch, batch). The position in training is the whole state, so a resumed run sees
the same data without anything else being stored.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from user_itr.data.captions import CaptionedImages
from user_itr.model.tokenizer import TokenizedCaptions
from user_itr.objective.contrastive import Sentences
from user_itr.training.augmentation import augment_words
from user_itr.training.sentences import SharedSentences
from user_itr.training.shares import Layout, share_out
from user_itr.training.views import RegionSource

BUCKET = 64
"""Captions of a batch are sorted by length and padded in groups of about this many."""


@dataclass
class Batch:
    """B images and T captions of theirs. Not frozen: Fabric converts its tensors in a copy.

    Args:
        regions: (B, K, d) float32.
        image_owner: (B,) int64, the images' rows in the train split: ids for owners in queues.
        tokens: groups of captions of similar length; each (t, L) int64 ids or (t, L, W) states.
        masks: for each group (t, L) bool.
        caption_image: (T,) int64, row in the batch of each caption's image, in group order.
        guides: (B, G) float32 guide embeddings, or None without CGE.
        sentences: captions that other images have too; None if the objective does not need them.
        layout: how the whole batch is split, if this is a rank's share.
        caption_text: (T,) int64, the row among `tokens` of each caption's words, where equal
            captions share one; None where caption t is row t.
    """

    regions: Tensor
    image_owner: Tensor
    tokens: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    caption_image: Tensor
    guides: Tensor | None = None
    sentences: Sentences | None = None
    layout: Layout | None = None
    caption_text: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; copied without waiting from pinned memory."""
        layout = None if self.layout is None else self.layout.to(device)
        return self._changed(lambda tensor: tensor.to(device, non_blocking=True), layout)

    def pinned(self) -> Batch:
        """The batch in pinned memory."""
        return self._changed(Tensor.pin_memory, self.layout)

    def regrouped(self, size: int) -> Batch:
        """The same captions in groups of about `size`: neighbouring groups, padded alike."""
        wanted = max(1, round(sum(map(len, self.tokens)) / size))
        if wanted >= len(self.tokens):
            return self
        groups = np.array_split(np.arange(len(self.tokens)), wanted)
        return replace(
            self,
            tokens=tuple(_padded_alike([self.tokens[g] for g in group]) for group in groups),
            masks=tuple(_padded_alike([self.masks[g] for g in group]) for group in groups),
        )

    def _changed(self, change: Callable[[Tensor], Tensor], layout: Layout | None) -> Batch:
        return Batch(
            change(self.regions),
            change(self.image_owner),
            tuple(map(change, self.tokens)),
            tuple(map(change, self.masks)),
            change(self.caption_image),
            None if self.guides is None else change(self.guides),
            None
            if self.sentences is None
            else Sentences(change(self.sentences.of_captions), change(self.sentences.of_images)),
            layout,
            None if self.caption_text is None else change(self.caption_text),
        )


def _padded_alike(groups: list[Tensor]) -> Tensor:
    """Groups (t, L, ...) as one, padded with zeros to the longest."""
    longest = max(group.shape[1] for group in groups)
    whole = groups[0].new_zeros(sum(map(len, groups)), longest, *groups[0].shape[2:])
    start = 0
    for group in groups:
        whole[start : start + len(group), : group.shape[1]] = group
        start += len(group)
    return whole


@dataclass(frozen=True)
class CaptionAugmentation:
    """What `augment_words` needs besides the captions."""

    probability: float
    mask_id: int
    vocabulary: int


class BatchSource:
    """All batches of a training split.

    An epoch shows every caption once. Images come in random order; each brings
    `captions_per_image` of its captions, drawn without repetition, so an image with five captions
    comes five times an epoch with one each, or once with all five. By the order "rounds" all images
    come once before one comes again; by "pairs", as in the published code, pairs are shuffled.

    Args:
        images: the split.
        regions: gives regions of its images.
        captions: the split's tokenized captions.
        augmentation: of captions.
        states: (total, W) cached token states, laid out as `captions.ids`; None for token ids.
        guides: (N, G) float16 or float32 guide embeddings, one per image; None without CGE.
        batch_size: images per batch.
        captions_per_image: captions that share an image's pass.
        order: of an epoch.
        drop_last: leave out a last batch that is not full.
        shared: sentences that several images have; batches then carry their numbers.
        merge_equal: captions of a batch with equal words are one row of tokens, augmented once.
        seed: of order and augmentation.
    """

    def __init__(
        self,
        images: CaptionedImages,
        regions: RegionSource,
        captions: TokenizedCaptions,
        augmentation: CaptionAugmentation,
        *,
        states: np.ndarray | None = None,
        guides: np.ndarray | None = None,
        batch_size: int = 128,
        captions_per_image: int = 1,
        order: Literal["rounds", "pairs"] = "rounds",
        drop_last: bool = False,
        shared: SharedSentences | None = None,
        merge_equal: bool = True,
        seed: int = 0,
    ) -> None:
        self.regions = regions
        self.captions = captions
        self.augmentation = augmentation
        self.states = states
        self.guides = guides
        self.batch_size = batch_size
        self.captions_per_image = captions_per_image
        self.order = order
        self.shared = shared
        self.seed = seed
        self._text = captions.distinct()[1] if merge_equal else None
        self._captions_of = images.captions_by_image()
        sizes = np.array([len(c) for c in self._captions_of])
        rounds = -(-sizes // captions_per_image)
        self._turns = np.repeat(np.arange(len(sizes)), rounds)
        self._round = np.concatenate([np.arange(r) for r in rounds]) if len(rounds) else rounds
        # A last batch of one image has no negative and no batch statistics.
        full, rest = divmod(len(self._turns), batch_size)
        self.batches_per_epoch = full + (1 if rest > 1 and not drop_last else 0)

    @property
    def sentences_of_image(self) -> int:
        """K of `Sentences`; 0 if batches carry no sentence numbers."""
        return 0 if self.shared is None else self.shared.of_images.shape[1]

    def epoch(
        self, epoch: int, start: int = 0, share: tuple[int, int] = (0, 1)
    ) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, from batch `start` on.

        Args:
            epoch: its number.
            start: the first batch to yield.
            share: (rank, ranks); with several ranks, yield the rank's part of each batch.
        """
        rng = np.random.default_rng([self.seed, epoch])
        shuffled = [rng.permutation(captions) for captions in self._captions_of]
        order = self._spread(rng)
        for number in range(start, self.batches_per_epoch):
            turns = order[number * self.batch_size : (number + 1) * self.batch_size]
            # Not `number`: a seed that ends in 0 gives the numbers of the seed without it.
            rng = np.random.default_rng([self.seed, epoch, number + 1])
            yield self._batch(turns, shuffled, rng, share)

    def _spread(self, rng: np.random.Generator) -> np.ndarray:
        """Random order of turns; by rounds, an image's turns lie far apart."""
        if self.order == "pairs":
            return rng.permutation(len(self._turns))
        return np.lexsort((rng.random(len(self._turns)), self._round))

    def _batch(
        self,
        turns: np.ndarray,
        shuffled: list[np.ndarray],
        rng: np.random.Generator,
        share: tuple[int, int],
    ) -> Batch:
        images = self._turns[turns]
        each = self.captions_per_image
        chosen = [
            shuffled[image][turn * each : (turn + 1) * each]
            for image, turn in zip(images, self._round[turns], strict=True)
        ]
        captions = np.concatenate(chosen)
        caption_image = np.repeat(np.arange(len(images)), [len(c) for c in chosen])
        by_length = np.argsort(self.captions.lengths[captions], kind="stable")
        captions, caption_image = captions[by_length], caption_image[by_length]
        encoded, caption_text = self._merged(captions)
        groups = np.array_split(encoded, max(1, round(len(encoded) / BUCKET)))
        sentences = None if self.shared is None else self.shared.of(captions, images)
        if share[1] > 1:
            return self._share(images, caption_image, groups, caption_text, rng, share, sentences)
        tokens, masks = zip(*(self._tokens(group, rng) for group in groups), strict=True)
        return Batch(
            self.regions(images, rng),
            torch.from_numpy(images.astype(np.int64)),
            tokens,
            masks,
            torch.from_numpy(caption_image.astype(np.int64)),
            None if self.guides is None else torch.from_numpy(self.guides[images]).float(),
            sentences,
            caption_text=None if caption_text is None else torch.from_numpy(caption_text),
        )

    def _merged(self, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The captions (U,) to encode, in their order, and which one of them each caption is."""
        if self._text is None:
            return captions, None
        _, first, text = np.unique(self._text[captions], return_index=True, return_inverse=True)
        if len(first) == len(captions):
            return captions, None
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return captions[first[order]], place[text].astype(np.int64)

    def _share(
        self,
        images: np.ndarray,
        caption_image: np.ndarray,
        groups: list[np.ndarray],
        caption_text: np.ndarray | None,
        rng: np.random.Generator,
        share: tuple[int, int],
        sentences: Sentences | None,
    ) -> Batch:
        """A rank's part of a batch: the draws are the whole batch's, what is loaded is not."""
        layout = replace(share_out(images, caption_image, *share), sentences=sentences)
        place = np.arange(len(images))[layout.kept]
        own = np.isin(caption_image, place)
        wanted = own
        if caption_text is not None:
            rows, caption_text = np.unique(caption_text[own], return_inverse=True)
            wanted = np.isin(np.arange(sum(map(len, groups))), rows)
        parts = [
            self._tokens(group, rng, kept)
            for group, kept in zip(groups, np.array_split(wanted, len(groups)), strict=True)
        ]
        tokens, masks = zip(*(part for part in parts if len(part[0])), strict=True)
        guides = None if self.guides is None else self.guides[images[place]]
        if sentences is not None:
            sentences = Sentences(
                sentences.of_captions[torch.from_numpy(own)], sentences.of_images[layout.kept]
            )
        return Batch(
            self.regions(images, rng, layout.kept),
            torch.from_numpy(images[place].astype(np.int64)),
            tokens,
            masks,
            torch.from_numpy((caption_image[own] - place[0]).astype(np.int64)),
            None if guides is None else torch.from_numpy(guides).float(),
            sentences,
            layout,
            None if caption_text is None else torch.from_numpy(caption_text.astype(np.int64)),
        )

    def _tokens(
        self, rows: np.ndarray, rng: np.random.Generator, kept: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor]:
        positions, ids, mask = augment_words(
            self.captions,
            rows,
            self.augmentation.probability,
            self.augmentation.mask_id,
            self.augmentation.vocabulary,
            rng,
            drop_only=self.states is not None,
        )
        if kept is not None:
            positions, ids, mask = positions[kept], ids[kept], mask[kept]
        if self.states is None:
            return torch.from_numpy(ids), torch.from_numpy(mask)
        states = torch.from_numpy(self.states[positions]).float()
        return states, torch.from_numpy(mask)
