"""Time scoring every pair of a test set: our dual encoder against stacked cross attention.

    python benchmarks/cross_attention.py            # cross attention on 200 and 400 captions
    python benchmarks/cross_attention.py --part 5000 --rounds 1       # on all of them

Cross attention is the text-to-image form of SCAN (Lee et al., "Stacked cross attention for
image-text matching", ECCV 2018): each word attends over the image's regions, and the pair's score
is the mean, or a log-sum-exp, of the cosines of words and what they attended to. Nothing of a pair
is known before both its sides are, so its cost is images times captions times words times regions;
a dual encoder's is one dot product a pair.

Both sides start from the same made-up regions and token ids, at the preset's widths. Both encode
every image and every caption once with the same encoders; ours pools them to one vector and ranks
all captions and all images exactly, the other keeps every region and word and scores pairs. Cross
attention scores all images with a part of the captions, and half that part, to show that its time
is linear; the total is that of the part times the captions it stands for. `gram` is the same score
with less work, from the 36 x 36 products of an image's regions, which is not how it was published.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from user_itr.config.loading import load_settings
from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.relevance import Relevance
from user_itr.features.regions import precomputed_identity
from user_itr.model.building import build_dual_encoder
from user_itr.model.checkpoint import TrainedModel
from user_itr.model.embedder import Embedder
from user_itr.model.tokenizer import CaptionTokenizer, TokenizedCaptions

SMOOTH, SHARPNESS, SLOPE = 9.0, 6.0, 0.1
"""Of the attention's softmax, of the log-sum-exp, and of the leaky ReLU; as published."""
EPSILON = 1e-8
IMAGES, CAPTIONS = 20, 10
"""A block of pairs: its words' contexts, (20, 10 x 15, 1024) float32, are 12 MB."""


def scan_scores(
    regions: Tensor, words: Tensor, mask: Tensor, pooling: str = "mean", gram: Tensor | None = None
) -> Tensor:
    """SCAN's text-to-image scores of every pair.

    Args:
        regions: (I, K, D) unit-norm.
        words: (C, L, D) unit-norm.
        mask: (C, L) bool, True where a word is real.
        pooling: "mean" or "lse".
        gram: (I, K, K) products of each image's regions; with them no context is formed.

    Returns:
        (I, C) float32.
    """
    (images, count, width), (captions, length, _) = regions.shape, words.shape
    flat = words.reshape(-1, width)
    products = (regions.view(-1, width) @ flat.t()).view(images, count, captions, length)
    weights = F.leaky_relu(products, SLOPE).masked_fill_(~mask, 0.0)
    weights /= weights.norm(dim=-1, keepdim=True) + EPSILON
    attention = torch.softmax(SMOOTH * weights.view(images, count, -1).transpose(1, 2), dim=-1)
    if gram is None:
        contexts = torch.bmm(attention, regions)
        own, norms = torch.einsum("iwd,wd->iw", contexts, flat), contexts.norm(dim=-1)
    else:
        own = (attention * products.view(images, count, -1).transpose(1, 2)).sum(dim=-1)
        norms = (torch.bmm(attention, gram) * attention).sum(dim=-1).clamp(min=0).sqrt()
    cosines = (own / (norms * flat.norm(dim=-1)).clamp(min=EPSILON)).view(images, captions, length)
    if pooling == "mean":
        return cosines.masked_fill(~mask, 0.0).sum(dim=-1) / mask.sum(dim=-1)
    return (SHARPNESS * cosines).masked_fill(~mask, -torch.inf).logsumexp(dim=-1) / SHARPNESS


@torch.inference_mode()
def cross_attention(
    regions: Tensor, words: Tensor, captions: TokenizedCaptions, count: int, gram: bool
) -> Tensor:
    """Scores (I, count) of all images with captions evenly spread over all lengths.

    Args:
        regions: (I, K, D).
        words: (total, D), laid out as `captions.ids`.
        captions: all captions.
        count: how many to score.
        gram: see `scan_scores`.
    """
    by_length = np.argsort(captions.lengths, kind="stable")
    chosen = by_length[((np.arange(count) + 0.5) * len(by_length) / count).astype(np.int64)]
    scores = torch.empty(len(regions), count)
    for start in range(0, count, CAPTIONS):
        positions, real = captions.positions(chosen[start : start + CAPTIONS])
        block, mask = words[torch.from_numpy(positions)], torch.from_numpy(real)
        for first in range(0, len(regions), IMAGES):
            part = regions[first : first + IMAGES]
            products = part @ part.transpose(1, 2) if gram else None
            scores[first : first + IMAGES, start : start + CAPTIONS] = scan_scores(
                part, block, mask, gram=products
            )
    return scores


@torch.inference_mode()
def regions_and_words(
    embedder: Embedder, regions: np.ndarray, captions: TokenizedCaptions
) -> tuple[Tensor, Tensor]:
    """What cross attention keeps: (I, K, D) and (total, D), unit-norm, by the same encoders."""
    image, text = embedder.encoder.image, embedder.encoder.text
    kept = [
        F.normalize(image.projection(torch.from_numpy(regions[start : start + 256])), dim=-1)
        for start in range(0, len(regions), 256)
    ]
    words = torch.empty(len(captions.ids), embedder.dim)
    order = np.argsort(captions.lengths, kind="stable")
    for start in range(0, len(order), 256):
        rows = order[start : start + 256]
        ids, mask = captions.padded(rows)
        states = F.normalize(text.linear(text.tokens(ids, mask)), dim=-1)
        words[torch.from_numpy(captions.positions(rows)[0])[mask]] = states[mask]
    return torch.cat(kept), words


def made_up_captions(count: int, tokens: float, seed: int) -> TokenizedCaptions:
    """Random word ids between [CLS] and [SEP], their lengths spread as real ones are."""
    rng = np.random.default_rng(seed)
    lengths = rng.normal(tokens, 0.3 * tokens, count).round().clip(6, 40).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(1996, 20_000, offsets[-1])
    ids[offsets[:-1]], ids[offsets[1:] - 1] = 101, 102
    return TokenizedCaptions(ids, np.zeros_like(ids), offsets)


def build(regions: np.ndarray, width: int) -> Embedder:
    """A dual encoder with SGE, the residual projection, MiniLM and GPO; weights are random."""
    settings = load_settings(None, [f"model.embedding={width}"])
    text = settings.model.text
    tokenizer = CaptionTokenizer.pretrained(text.encoder, text.max_tokens)
    torch.manual_seed(0)
    encoder = build_dual_encoder(settings.model, width, tokenizer.vocabulary_size)
    identity = precomputed_identity(regions)
    return Embedder(TrainedModel(settings, encoder, None, tokenizer, identity), "cpu")


class Clock:
    """Seconds of named work, one each round.

    Args:
        now: tells seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, name: str, work: Callable[[], object]) -> object:
        started = self.now()
        result = work()
        self.seconds.setdefault(name, []).append(self.now() - started)
        print(f"  {name}: {self.seconds[name][-1]:.3f} s", flush=True)
        return result

    def pick(self, how: Callable[[list[float]], float]) -> dict[str, float]:
        return {name: how(each) for name, each in self.seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--captions", type=int, default=5_000)
    parser.add_argument("--part", type=int, default=400, help="captions for cross attention")
    parser.add_argument("--regions", type=int, default=36)
    parser.add_argument("--width", type=int, default=1_024)
    parser.add_argument("--tokens", type=float, default=14.0, help="of a caption, on average")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; by default one a core")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count seconds of processor time: with one thread, on a machine that others use too",
    )
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    shape = (options.images, options.regions, options.width)
    regions = np.random.default_rng(0).standard_normal(shape, np.float32)
    captions = made_up_captions(options.captions, options.tokens, seed=1)
    owner = np.arange(options.captions) * options.images // options.captions
    relevance = Relevance.from_caption_image(owner, options.images)
    embedder = build(regions, options.width)
    tokens = captions.lengths.mean()
    print(
        f"{options.images:,} images of {options.regions} regions x {options.captions:,} captions "
        f"of {tokens:.1f} tokens, {options.width} wide, float32; torch {torch.__version__}, "
        f"threads: {torch.get_num_threads()}, seconds of "
        f"{'processor' if options.processor_time else 'wall-clock'} time",
        flush=True,
    )
    clock = Clock(time.process_time if options.processor_time else time.perf_counter)
    for _ in range(options.rounds):
        images = clock("ours: images", lambda: embedder.encode_regions(regions))
        texts = clock("ours: captions", lambda: embedder.encode_tokens(captions))
        assert isinstance(images, np.ndarray)
        assert isinstance(texts, np.ndarray)
        scores = EmbeddingScores(images, texts)
        clock("ours: rank all pairs", lambda: cross_modal_ranks(scores, relevance))  # noqa: B023
        kept = clock("cross: encode", lambda: regions_and_words(embedder, regions, captions))
        found: list[Tensor] = []
        for gram, name in ((False, "cross: score"), (True, "gram: score")):
            for count in (max(1, options.part // 2), options.part):
                work = lambda: cross_attention(*kept, captions, count, gram)  # noqa: B023, E731
                found.append(clock(f"{name} {count}", work))
        gap = (found[1] - found[3]).abs().max()
    print(f"largest difference of the two forms of cross attention: {gap:.1e}")
    report(options, clock, tokens)


def report(options: argparse.Namespace, clock: Clock, tokens: float) -> None:
    print(f"{'seconds':<28}{'best':>9}{'median':>9}")
    best, median = clock.pick(min), clock.pick(statistics.median)
    for name in best:
        print(f"{name:<28}{best[name]:>9.3f}{median[name]:>9.3f}")
    scale = options.captions / options.part
    half = max(1, options.part // 2)
    pairs = options.images * options.captions
    print(f"all {pairs:,} pairs" + (f", cross attention times {scale:g}" if scale != 1 else ""))
    for name in ("cross", "gram"):
        parts = f"{name}: score {half}", f"{name}: score {options.part}"
        if half < options.part:
            ratio = median[parts[1]] / median[parts[0]]
            print(f"{name}: {options.part} captions take {ratio:.2f} times what {half} do")
        for how, each in (("best", best), ("median", median)):
            scoring, ranking = scale * each[parts[1]], each["ours: rank all pairs"]
            theirs = each["cross: encode"] + scoring
            ours = each["ours: images"] + each["ours: captions"] + ranking
            print(
                f"{name}, {how}: {scoring:.1f} s against {ranking:.3f} s, ratio "
                f"{scoring / ranking:.0f}; with encoding {theirs:.1f} s against {ours:.1f} s, "
                f"ratio {theirs / ours:.1f}"
            )
    count, width = options.regions, options.width
    forms = {
        "dual encoder": 2 * width,
        "cross attention": tokens * 4 * count * width,
        "gram": tokens * (2 * count * width + 2 * count * count),
    }
    for name, operations in forms.items():
        print(f"{name}: {operations:,.0f} multiplications and additions a pair")


if __name__ == "__main__":
    main()
