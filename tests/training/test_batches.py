from __future__ import annotations

from collections import Counter
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.data.captions import CaptionedImages
from user_itr.model.text_encoder import TextEncoder
from user_itr.model.token_encoders import BiGRUTokens
from user_itr.model.tokenizer import TokenizedCaptions
from user_itr.training.batches import BUCKET, Batch, BatchSource, CaptionAugmentation
from user_itr.training.views import StoredRegions

NO_CHANGE = CaptionAugmentation(0.0, mask_id=3, vocabulary=9)
FIRST_ID = 1000
T = TypeVar("T")


def owners_of(counts: list[int]) -> np.ndarray:
    """The image of each caption, in no order: image i has counts[i] captions."""
    rng = np.random.default_rng(0)
    return rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)


def source(
    counts: list[int], *, states: bool = False, distinct: int | None = None, **options: object
) -> BatchSource:
    """Image i has counts[i] captions, features of 10 + i and feature row N - 1 - i.

    Caption m is CLS, a token FIRST_ID + m some number of times, SEP; with `distinct` the captions
    repeat after so many.
    """
    rng = np.random.default_rng(1)
    total = sum(counts)
    images = CaptionedImages(
        "toy",
        "train",
        tuple(f"image{i}" for i in range(len(counts))),
        tuple(f"caption{m}" for m in range(total)),
        owners_of(counts),
    )
    texts = np.arange(total) % (distinct or max(total, 1))
    lengths = rng.integers(1, 7, total)[texts]
    ids = [t for m, n in zip(texts, lengths, strict=True) for t in (1, *[FIRST_ID + m] * n, 2)]
    words = [w for n in lengths for w in (-1, *range(n), -1)]
    captions = TokenizedCaptions(
        np.array(ids, dtype=np.int64),
        np.array(words, dtype=np.int64),
        np.concatenate([[0], np.cumsum(lengths + 2)]).astype(np.int64),
    )
    rows = np.arange(len(counts), dtype=np.int64)[::-1].copy()
    regions = np.empty((len(counts), 2, 3), dtype=np.float16)
    regions[rows] = 10 + np.arange(len(counts))[:, None, None]
    token_states = np.stack([np.arange(len(ids)), ids], axis=1).astype(np.float32)
    augmentation = options.pop("augmentation", NO_CHANGE)
    assert isinstance(augmentation, CaptionAugmentation)
    return BatchSource(
        images,
        StoredRegions(regions, rows),
        captions,
        augmentation,
        states=token_states if states else None,
        **options,  # type: ignore[arg-type]
    )


def captions_of(batch: Batch) -> list[int]:
    """The numbers of a batch's captions, in group order; special tokens and padding checked."""
    numbers = []
    for tokens, mask in zip(batch.tokens, batch.masks, strict=True):
        for row, real in zip(tokens, mask, strict=True):
            kept = row[real].tolist()
            assert (kept[0], kept[-1]) == (1, 2)
            assert len(set(kept[1:-1])) == 1
            assert not row[~real].any()
            numbers.append(kept[1] - FIRST_ID)
    return spread(batch, numbers)


def spread(batch: Batch, rows: list[T]) -> list[T]:
    """What the rows of tokens hold, for each caption."""
    if batch.caption_text is None:
        return rows
    return [rows[row] for row in batch.caption_text.tolist()]


@given(
    counts=st.lists(st.integers(0, 7), min_size=2, max_size=30),
    batch_size=st.integers(2, 9),
    share=st.sampled_from([1, 2, 5]),
    epoch=st.integers(0, 3),
)
@settings(max_examples=80, deadline=None)
def test_an_epoch_shows_every_caption_once(
    counts: list[int], batch_size: int, share: int, epoch: int
) -> None:
    batches = source(counts, batch_size=batch_size, captions_per_image=share)
    caption_image = owners_of(counts)
    turns = sum(-(-count // share) for count in counts)
    seen: Counter[int] = Counter()
    sizes = []
    for batch in batches.epoch(epoch):
        numbers = captions_of(batch)
        seen.update(numbers)
        sizes.append(len(batch.regions))
        owners = batch.image_owner[batch.caption_image].tolist()
        assert owners == caption_image[numbers].tolist()
        assert torch.equal(batch.regions[:, 0, 0], 10.0 + batch.image_owner)
        assert batch.regions.dtype == torch.float32
        assert batch.caption_image.unique().tolist() == list(range(len(batch.regions)))
        assert batch.caption_image.bincount().max() <= share
    assert len(sizes) == batches.batches_per_epoch
    assert all(size == batch_size for size in sizes[:-1])
    assert max(seen.values(), default=1) == 1
    left = turns % batch_size
    missing = sum(counts) - len(seen)
    if left == 1:  # the documented exception: a last batch of one image is left out
        assert 1 <= missing <= share
    else:
        assert missing == 0


def test_an_images_turns_lie_far_apart() -> None:
    """Round by round: no image comes again before all others came."""
    batches = source([4] * 12, batch_size=4)
    for epoch in range(3):
        owners = torch.cat([batch.image_owner for batch in batches.epoch(epoch)]).tolist()
        for start in range(0, 48, 12):
            assert sorted(owners[start : start + 12]) == list(range(12))


def test_order_and_company_differ_from_epoch_to_epoch_and_by_seed() -> None:
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        batches = source([3] * 12, batch_size=4, captions_per_image=2, seed=seed)
        orders.append([captions_of(b) for b in batches.epoch(epoch)])
        assert orders[-1] == [captions_of(b) for b in batches.epoch(epoch)]
    assert orders[0] != orders[1] != orders[2] != orders[0]


AUGMENTATION = CaptionAugmentation(0.5, mask_id=3, vocabulary=500)


@pytest.mark.parametrize("states", [False, True])
def test_a_resumed_epoch_gives_the_same_batches(states: bool) -> None:
    options = {"batch_size": 5, "captions_per_image": 2, "augmentation": AUGMENTATION, "seed": 3}
    counts = [5, 1, 0, 7, 3, 2, 5, 4, 1, 6]
    whole = list(source(counts, states=states, **options).epoch(2))
    assert len(whole) == 4
    for start in range(5):
        rest = list(source(counts, states=states, **options).epoch(2, start))
        assert len(rest) == 4 - start
        for got, expected in zip(rest, whole[start:], strict=True):
            assert torch.equal(got.regions, expected.regions)
            assert torch.equal(got.image_owner, expected.image_owner)
            assert torch.equal(got.caption_image, expected.caption_image)
            for a, b in zip(got.tokens + got.masks, expected.tokens + expected.masks, strict=True):
                assert torch.equal(a, b)


def test_augmentation_and_order_draw_from_different_streams() -> None:
    """NumPy gives [seed, epoch] and [seed, epoch, 0] the same numbers."""
    batches = source([1] * 4, batch_size=2, augmentation=AUGMENTATION)
    drawn: list[float] = []
    tokens = batches._tokens

    def spy(rows: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        drawn.append(rng.random())
        return tokens(rows, rng)

    batches._tokens = spy  # type: ignore[method-assign]
    assert len(list(batches.epoch(7))) == 2
    assert len({*drawn, np.random.default_rng([0, 7]).random()}) == 3


def test_augmentation_is_applied() -> None:
    plain = list(source([2] * 40, batch_size=20).epoch(0))
    changed = list(source([2] * 40, batch_size=20, augmentation=AUGMENTATION).epoch(0))
    masked = sum(int((t == 3).sum()) for b in changed for t in b.tokens)
    assert masked > 40
    before, after = (sum(int(m.sum()) for b in bs for m in b.masks) for bs in (plain, changed))
    assert after < 0.95 * before


@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_states_are_the_rows_of_the_tokens(probability: float) -> None:
    """State i is (i, id of token i): what is kept names its own place."""
    augmentation = CaptionAugmentation(probability, 3, 500)
    batches = source([3] * 10, states=True, batch_size=5, augmentation=augmentation)
    ids, offsets = batches.captions.ids, batches.captions.offsets
    caption_image = owners_of([3] * 10)
    dropped = 0
    for batch in batches.epoch(0):
        owners = iter(batch.image_owner[batch.caption_image].tolist())
        for states, mask in zip(batch.tokens, batch.masks, strict=True):
            assert states.dtype == torch.float32
            assert states.shape == (*mask.shape, 2)
            for row, real in zip(states, mask, strict=True):
                places = row[real][:, 0].long().numpy()
                assert row[real][:, 1].tolist() == ids[places].tolist()
                caption = int(row[1, 1]) - FIRST_ID
                assert caption_image[caption] == next(owners)
                start, end = offsets[caption], offsets[caption + 1]
                assert (places[0], places[-1]) == (start, end - 1)
                dropped += int(end - start) - len(places)
    assert (dropped > 0) == (probability > 0)


def test_long_batches_are_padded_in_groups_of_like_length() -> None:
    batches = source([5] * 90, batch_size=80, captions_per_image=5)
    first = next(iter(batches.epoch(0)))
    assert len(first.tokens) == round(400 / BUCKET) == 6
    lengths = [mask.sum(dim=1).tolist() for mask in first.masks]
    assert [len(group) for group in lengths] == [67, 67, 67, 67, 66, 66]
    flat = [n for group in lengths for n in group]
    assert flat == sorted(flat)
    for mask, group in zip(first.masks, lengths, strict=True):
        assert mask.shape[1] == max(group)
    owners = first.image_owner[first.caption_image].tolist()
    assert owners == owners_of([5] * 90)[captions_of(first)].tolist()


def test_no_batch_without_two_images() -> None:
    assert source([1, 0], batch_size=4).batches_per_epoch == 0
    assert list(source([0, 0], batch_size=4).epoch(0)) == []
    assert source([1, 1], batch_size=4).batches_per_epoch == 1


def test_a_batch_moves_whole() -> None:
    batch = next(iter(source([2] * 4, batch_size=4).epoch(0)))
    moved = batch.to(torch.device("meta"))
    tensors = [moved.regions, moved.image_owner, moved.caption_image, *moved.tokens, *moved.masks]
    assert all(t.device.type == "meta" for t in tensors)


@given(
    counts=st.lists(st.integers(0, 7), min_size=3, max_size=30),
    batch_size=st.integers(2, 9),
    each=st.sampled_from([1, 2, 5]),
    ranks=st.integers(2, 5),
    states=st.booleans(),
    distinct=st.sampled_from([None, 1, 4]),
)
@settings(deadline=None, max_examples=40)
def test_shares_make_up_the_whole_batch(
    counts: list[int], batch_size: int, each: int, ranks: int, states: bool, distinct: int | None
) -> None:
    """Word by word, whatever the augmentation drew; a rank beyond the images has a stand-in."""
    batches = source(
        counts,
        states=states,
        distinct=distinct,
        batch_size=batch_size,
        captions_per_image=each,
        augmentation=CaptionAugmentation(0.5, mask_id=3, vocabulary=9),
    )
    shares = [list(batches.epoch(1, share=(rank, ranks))) for rank in range(ranks)]
    whole = list(batches.epoch(1))
    assert {len(share) for share in shares} == {len(whole)}
    for batch, *parts in zip(whole, *shares, strict=True):
        layouts = [part.layout for part in parts]
        assert batch.layout is None
        real = [part for part in parts if part.layout is not None and part.layout.has_images]
        assert len(real) == min(ranks, len(batch.regions))
        sizes = [len(part.regions) for part in real]
        assert max(sizes) - min(sizes) <= 1
        assert torch.equal(torch.cat([part.regions for part in real]), batch.regions)
        assert torch.equal(torch.cat([part.image_owner for part in real]), batch.image_owner)
        words = caption_words(batch)
        assert len(words) > 0
        gathered = [one for part in real for one in caption_words(part)]
        for rank, layout in enumerate(layouts):
            assert layout is not None
            assert (layout.rank, sum(layout.image_counts)) == (rank, len(batch.regions))
            assert sum(layout.caption_counts) == len(words)
            assert [gathered[row] for row in layout.gathered.tolist()] == words
            assert torch.equal(layout.caption_image, batch.caption_image)
            assert torch.equal(layout.image_owner, batch.image_owner)
        for part in parts:
            owners = part.image_owner[part.caption_image]
            assert len(owners) == len(caption_words(part)) > 0
            if part.layout is not None and not part.layout.has_images:
                assert torch.equal(part.image_owner, batch.image_owner[:1])


def caption_words(batch: Batch) -> list[tuple[int, list[object]]]:
    """Of each caption in turn: the image it belongs to, and its tokens or states."""
    owners = batch.image_owner[batch.caption_image].tolist()
    tokens = [
        row[real].tolist()
        for group, mask in zip(batch.tokens, batch.masks, strict=True)
        for row, real in zip(group, mask, strict=True)
    ]
    return list(zip(owners, spread(batch, tokens), strict=True))


@given(size=st.integers(1, 400), states=st.booleans())
@settings(max_examples=30, deadline=None)
def test_fewer_groups_hold_the_same_captions(size: int, states: bool) -> None:
    batches = source([5] * 60, batch_size=60, captions_per_image=5, states=states)
    batch = next(batches.epoch(0))
    fewer = batch.regrouped(size)
    assert len(fewer.tokens) == min(len(batch.tokens), max(1, round(300 / size)))
    rows = [
        [row[real] for tokens, mask in zip(one.tokens, one.masks, strict=True)
         for row, real in zip(tokens, mask, strict=True)]
        for one in (batch, fewer)
    ]  # fmt: skip
    assert len(rows[0]) == len(rows[1]) == 300
    assert all(torch.equal(a, b) for a, b in zip(*rows, strict=True))
    assert torch.equal(fewer.caption_image, batch.caption_image)
    for tokens, mask in zip(fewer.tokens, fewer.masks, strict=True):
        assert states or not tokens[~mask].any()
        assert mask[:, -1].any()  # padded to the longest, and no further


def test_fewer_groups_encode_to_the_same_embeddings() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(BiGRUTokens(2000, width=12, word_width=6), 10)
    batch = next(source([5] * 40, batch_size=40, captions_per_image=5).epoch(0))
    fewer = batch.regrouped(1000)
    assert (len(batch.tokens), len(fewer.tokens)) == (3, 1)
    torch.testing.assert_close(
        encoder.encode_groups(fewer.tokens, fewer.masks),
        encoder.encode_groups(batch.tokens, batch.masks),
    )


@pytest.mark.parametrize("merge", [True, False])
def test_equal_captions_of_a_batch_are_one_row(merge: bool) -> None:
    """Each caption still has its words, its image and its embedding."""
    torch.manual_seed(0)
    encoder = TextEncoder(BiGRUTokens(2000, width=12, word_width=6), 10)
    options = {"batch_size": 40, "captions_per_image": 5, "distinct": 70}
    batch = next(source([5] * 40, merge_equal=merge, **options).epoch(0))
    plain = next(source([5] * 40, merge_equal=False, **options).epoch(0))
    assert plain.caption_text is None
    assert sum(map(len, batch.tokens)) == (70 if merge else 200)
    assert captions_of(batch) == captions_of(plain)
    assert torch.equal(batch.caption_image, plain.caption_image)
    torch.testing.assert_close(
        torch.stack(spread(batch, list(encoder.encode_groups(batch.tokens, batch.masks)))),
        encoder.encode_groups(plain.tokens, plain.masks),
    )


def test_equal_captions_of_a_batch_are_augmented_once() -> None:
    batches = source(
        [5] * 40, batch_size=40, captions_per_image=5, distinct=70, augmentation=AUGMENTATION
    )
    batch = next(batches.epoch(0))
    [plain] = source([5] * 40, batch_size=40, captions_per_image=5, distinct=70).epoch(0)
    words = [tuple(tokens) for _, tokens in caption_words(batch)]  # type: ignore[arg-type]
    assert len(set(zip(captions_of(plain), words, strict=True))) == 70


def test_pairs_in_plain_random_order_show_every_caption_once() -> None:
    counts = [5] * 40
    batches = source(counts, batch_size=20, order="pairs")
    seen, together = [], 0
    for batch in batches.epoch(0):
        seen += captions_of(batch)
        together += len(batch.image_owner) - len(batch.image_owner.unique())
    assert sorted(seen) == list(range(200))
    # Among 20 of 200 pairs, each image with 5: 20 - 40 (1 - C(195, 20) / C(200, 20)) = 3.4 a batch.
    assert 15 < together < 55
    by_rounds = source(counts, batch_size=20).epoch(0)
    assert all(len(batch.image_owner.unique()) == 20 for batch in by_rounds)


@pytest.mark.parametrize(("batch_size", "full"), [(7, 4), (10, 3), (31, 0)])
def test_a_last_batch_that_is_not_full_is_left_out(batch_size: int, full: int) -> None:
    batches = source([3] * 10, batch_size=batch_size, drop_last=True)
    sizes = [len(batch.regions) for batch in batches.epoch(0)]
    assert sizes == [batch_size] * full
    assert batches.batches_per_epoch == full
