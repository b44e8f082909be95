"""Time exact ranks against the field's argsort a query, and against one bare float32 product.

    python benchmarks/ranking.py                                      # 5,000 x 25,000 x 1,024
    python benchmarks/ranking.py --images 31000 --captions 155000 --ours-only

Captions are unit vectors around their image's, so that ranks look like a trained model's; with
--noise inf they are independent, which puts the most candidates near a threshold. All sides rank
the same embeddings in both directions, turn by turn. Memory is the growth of the process's peak
while ours runs, beyond the embeddings.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from user_itr.evaluation.cross_modal import CrossModalRanks, cross_modal_ranks
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.relevance import Relevance


def embeddings(
    images: int, captions: int, width: int, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    owner = np.repeat(np.arange(images), -(-captions // images))[:captions]
    sides = [random.standard_normal((n, width), np.float32) for n in (images, captions)]
    for side in sides:
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    if math.isfinite(noise):
        for start in range(0, captions, 4096):
            part = sides[1][start : start + 4096]
            part *= noise
            part += sides[0][owner[start : start + 4096]]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
    return sides[0], sides[1], owner


def ours(images: np.ndarray, captions: np.ndarray, owner: np.ndarray) -> CrossModalRanks:
    relevance = Relevance.from_caption_image(owner, len(images))
    return cross_modal_ranks(EmbeddingScores(images, captions), relevance)


def argsort_way(images: np.ndarray, captions: np.ndarray, owner: np.ndarray) -> list[np.ndarray]:
    """As published scripts do it: the whole matrix, then a sort and a `where` a query."""
    scores = images.astype(np.float64) @ captions.astype(np.float64).T
    i2t = np.empty(len(images), np.int64)
    for image in range(len(images)):
        order = np.argsort(scores[image])[::-1]
        i2t[image] = min(
            np.where(order == caption)[0][0] for caption in np.flatnonzero(owner == image)
        )
    t2i = np.empty(len(captions), np.int64)
    columns = scores.T
    for caption in range(len(captions)):
        order = np.argsort(columns[caption])[::-1]
        t2i[caption] = np.where(order == owner[caption])[0][0]
    return [i2t + 1, t2i + 1]


class Product:
    """One float32 matrix product, into memory that was touched before the clock runs."""

    def __init__(self, images: np.ndarray, captions: np.ndarray) -> None:
        self.sides = torch.from_numpy(images), torch.from_numpy(captions).T
        self.out = torch.zeros(len(images), len(captions))

    def __call__(self) -> None:
        torch.mm(*self.sides, out=self.out)


def peak_mib(reset: bool = False) -> float:
    """The process's peak resident memory since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--captions", type=int, default=25_000)
    parser.add_argument("--width", type=int, default=1_024)
    parser.add_argument(
        "--noise", type=float, default=10.0, help="length of the noise; inf: random"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of ours and of the product")
    parser.add_argument("--ours-only", action="store_true", help="no other side: large sizes")
    options = parser.parse_args()
    sides = embeddings(options.images, options.captions, options.width, options.noise)
    print(
        f"{options.images:,} images x {options.captions:,} captions x {options.width:,} float32, "
        f"noise {options.noise:g}; torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    before = peak_mib(reset=True)
    found: list[CrossModalRanks] = []
    times = {"ours": [seconds(lambda: found.append(ours(*sides)))]}
    print(f"ours, first run: {times['ours'][0]:.1f} s, {peak_mib() - before:.0f} MiB beyond")
    ranks = [found[0].i2t.ranks(), found[0].t2i.ranks()]
    for name, one in zip(("image-to-text", "text-to-image"), ranks, strict=True):
        recalls = " ".join(f"{100 * np.mean(one <= k):.1f}" for k in (1, 5, 10))
        print(f"{name} R@1/5/10 {recalls}")
    if options.ours_only:
        return
    product = Product(*sides[:2])
    times["product"] = []
    for _ in range(options.rounds):
        times["product"].append(seconds(product))
        times["ours"].append(seconds(lambda: ours(*sides)))
    del product
    plain: list[list[np.ndarray]] = []
    times["argsort"] = [seconds(lambda: plain.append(argsort_way(*sides)))]
    same = all(np.array_equal(a, b) for a, b in zip(ranks, plain[0], strict=True))
    for name, each in times.items():
        print(f"{name}: best {min(each):.1f} s, median {statistics.median(each):.1f} s")
    best = {name: min(each) for name, each in times.items()}
    median = {name: statistics.median(each) for name, each in times.items()}
    print(f"ranks identical: {same}")
    for top, bottom in (("argsort", "ours"), ("ours", "product")):
        print(
            f"{top} / {bottom}: best {best[top] / best[bottom]:.2f}, "
            f"median {median[top] / median[bottom]:.2f}"
        )


if __name__ == "__main__":
    main()
