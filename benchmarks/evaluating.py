"""CPU seconds of one `user-itr evaluate` of MSCOCO's size: ids, folds, ECCV Caption and CxC.

    python benchmarks/evaluating.py                       # 5,000 x 25,000 x 1,024
    python benchmarks/evaluating.py --in-order            # without ids, rows in the set's order
    python benchmarks/evaluating.py --bare                # recall alone, to see what protocols add

The items are those of MSCOCO's Karpathy test by the ids that the package `eccv-caption` has; their
embeddings are synthetic, and so are the ratings of CxC, as many as in its test files. The command
runs in a process of its own, so that its CPU seconds (user and system, all threads) are all that it
took from start to end: Python, reading the files, ranking, figures, JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

RATED = {"sits": 44_045, "sis": 44_540, "sts": 44_009}
"""Pairs of CxC's test files."""


def write_set(folder: Path) -> tuple[list[int], list[int], np.ndarray]:
    """A Karpathy file of the test's items without pictures: image ids, caption ids, owners."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from eccv_caption import Metrics

        metrics = Metrics()
    coco = metrics.coco_gts["i2t"]
    entries, captions, owner = [], [], []
    (folder / "images").mkdir(parents=True)
    for row, (image, found) in enumerate(coco.items()):
        name = f"COCO_val2014_{image:012}.jpg"
        (folder / "images" / name).touch()
        sentences = [{"raw": f"caption {one}", "sentid": int(one)} for one in found]
        entries.append(
            {"filename": name, "cocoid": int(image), "split": "test", "sentences": sentences}
        )
        captions += [int(one) for one in found]
        owner += [row] * len(found)
    (folder / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": entries}))
    return [int(one) for one in coco], captions, np.array(owner)


def write_embeddings(
    folder: Path, ids: tuple[list[int], list[int]], owner: np.ndarray, width: int, in_order: bool
) -> None:
    random = np.random.default_rng(0)
    # 48 directions carry what trained models tell apart: true pairs near a cosine of 0.6, siblings
    # below, others around 0 with a deviation of 0.14.
    directions = random.standard_normal((48, width)) / width**0.5
    latent = random.standard_normal((len(ids[0]), 48))
    noisy = latent[owner] + 1.3 * random.standard_normal((len(owner), 48))
    images, captions = ((side @ directions).astype(np.float32) for side in (latent, noisy))
    folder.mkdir()
    for name, rows, keys in (("image", images, ids[0]), ("caption", captions, ids[1])):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        order = np.arange(len(rows)) if in_order else random.permutation(len(rows))
        np.save(folder / f"{name}s.npy", rows[order])
        if not in_order:
            np.save(folder / f"{name}_ids.npy", np.array(keys)[order])


def write_cxc(folder: Path, images: list[int], captions: list[int]) -> None:
    random = np.random.default_rng(1)
    folder.mkdir()

    def image(row: int) -> str:
        return f"COCO_val2014_{images[row]:012}.jpg"

    def caption(row: int) -> str:
        return f"COCO_val2014:sentid:{captions[row]}"

    for task, heads, sides in (
        ("sits", "caption,image", (caption, image)),
        ("sis", "image1,image2", (image, image)),
        ("sts", "caption1,caption2", (caption, caption)),
    ):
        lines = [f"{heads},agg_score,sampling_method"]
        for _ in range(RATED[task]):
            pair = [
                side(int(random.integers(len(images if side is image else captions))))
                for side in sides
            ]
            lines.append(f"{pair[0]},{pair[1]},{random.uniform(0, 5):.4f},made")
        (folder / f"{task}_test.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--in-order", action="store_true", help="no ids")
    parser.add_argument("--bare", action="store_true", help="neither folds nor protocols")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images, captions, owner = write_set(folder / "set")
        write_embeddings(
            folder / "vectors", (images, captions), owner, options.width, options.in_order
        )
        write_cxc(folder / "cxc", images, captions)
        words = ["evaluate", folder / "vectors", "--data", folder / "set", "--json"]
        words.append(folder / "out.json")
        if not options.bare:
            words += ["--folds", "5", "--eccv", "--cxc", folder / "cxc"]
        command = [sys.executable, "-m", "user_itr", *map(str, words)]
        print(f"5,000 x 25,000 x {options.width:,} float32; {' '.join(map(str, words[3:]))}")
        for _ in range(options.rounds):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"{used:.1f} CPU seconds, {time.perf_counter() - start:.1f} seconds, "
                f"peak {after.ru_maxrss / 1024:.0f} MiB"
            )


if __name__ == "__main__":
    main()
