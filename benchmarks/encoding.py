"""Time encoding against plain eager PyTorch float32, turn by turn, and how well they agree.

    python benchmarks/encoding.py ~/Pictures                # or no folder: the demo's photos
    python benchmarks/encoding.py ~/Pictures --parts network,photos,text --rounds 3

The plain side is what a script of the field does: each network as its package gives it (contiguous
NCHW, BatchNorm and padding apart), Pillow decoding each photo in full in the same thread, batches
of 32. Ours is `user_itr.load()`, by ONNX Runtime or with `--runtime torch` by PyTorch. Both end in
the same head of the shipped model, in float32.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from user_itr import Embedder, load
from user_itr.data.images import find_images, load_image
from user_itr.demo.sample_photos import copy_sample_photos
from user_itr.features.backbones.efficientnet_lite import (
    INPUT_SIZES,
    EfficientNetLite,
    weights_file,
)
from user_itr.features.guides.pooled import pooled_embedding
from user_itr.features.runtime import with_runtime

BATCH = 32
REGIONS, GUIDE = "efficientnet-lite2", "efficientnet-lite0"
QUERY = "a man in a red shirt climbs up a steep rock near the sea"


class Plain:
    """The shipped model as a researcher would type it."""

    def __init__(self, embedder: Embedder) -> None:
        from efficientnet_lite_pytorch import EfficientNet

        self.embedder = embedder
        self.networks = {}
        for name in (REGIONS, GUIDE):
            network = EfficientNet.from_name(name)
            network.load_state_dict(torch.load(weights_file(name), weights_only=True))
            self.networks[name] = network.eval()

    def decode(self, paths: list[Path]) -> list[Image.Image]:
        return [Image.open(path).convert("RGB") for path in paths]

    def views(self, images: list[Image.Image]) -> list[list[Image.Image]]:
        return [[view(image) for image in images] for view in self.embedder.views]

    def pixels(self, images: list[Image.Image], name: str) -> np.ndarray:
        size = (INPUT_SIZES[name],) * 2
        return np.stack([np.asarray(image.resize(size, Image.BICUBIC)) for image in images])

    @torch.no_grad()
    def features(self, pixels: np.ndarray, name: str) -> Tensor:
        images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() - 127) / 128
        return self.networks[name].extract_features(images).flatten(2).transpose(1, 2)

    def encode(self, paths: list[Path]) -> np.ndarray:
        found = []
        for start in range(0, len(paths), BATCH):
            images = self.decode(paths[start : start + BATCH])
            guides = pooled_embedding(self.features(self.pixels(images, GUIDE), GUIDE)).numpy()
            seen = [self.pixels(views, REGIONS) for views in self.views(images)]
            regions = [self.features(pixels, REGIONS).numpy() for pixels in seen]
            views = [(one, np.arange(len(images))) for one in regions]
            found.append(self.embedder.encode_views(views, guides=guides))
        return np.concatenate(found)

    @torch.inference_mode()
    def encode_text(self, captions: list[str]) -> np.ndarray:
        ids, mask = self.embedder.model.tokenizer(captions).padded(np.arange(len(captions)))
        return self.embedder.encoder.text(ids, mask).numpy()


def compare(
    title: str, sides: dict[str, Callable[[], object]], count: int, rounds: int, unit: str = "image"
) -> dict[str, float]:
    """Run all sides in turn; print how many a second, and each side's ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for work in sides.values():
        work()
    for _ in range(rounds):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    print(title)
    best = {name: min(each) for name, each in times.items()}
    first = next(iter(sides))
    for name, each in times.items():
        median = statistics.median(each)
        ratio = f"{best[first] / best[name]:.2f} / {statistics.median(times[first]) / median:.2f}"
        print(
            f"  {name:<22} best {count / best[name]:7.1f}, median {count / median:7.1f} "
            f"{unit}s/s; {ratio} times {first}"
        )
    return best


def agreement(found: np.ndarray, expected: np.ndarray) -> str:
    cosines = np.einsum("nd,nd->n", found, expected) / (
        np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    )
    return f"cosine min {cosines.min():.6f}, mean {cosines.mean():.6f}"


def product_rate() -> float:
    """Operations a second of one large float32 matrix product."""
    a = torch.rand(2048, 2048)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


def networks(plain: Plain, paths: list[Path], rounds: int) -> None:
    rate = product_rate()
    print(f"one float32 matrix product: {rate / 1e9:.0f} GFLOP/s")
    images = plain.decode(paths[:BATCH])
    for name in (REGIONS, GUIDE):
        backbone = EfficientNetLite(name)
        pixels = plain.pixels(images, name)
        sides = {"plain": lambda p=pixels, n=name: plain.features(p, n)}
        for one in (backbone, with_runtime(backbone, "auto")):
            sides[one.runtime] = lambda b=one, p=pixels: b.encode(p)
        expected = sides["plain"]().mean(1).numpy()
        best = compare(f"{name}, batches of {len(pixels)}", sides, len(pixels), rounds)
        with FlopCounterMode(display=False) as counter:
            plain.features(pixels[:1], name)
        operations = counter.get_total_flops()
        for side, work in sides.items():
            limit = best[side] / len(pixels) / (operations / rate)
            pooled = agreement(work().mean(1).numpy(), expected)
            print(f"  {side:<22} {limit:.1f} times the products' time; pooled {pooled}")
        print(f"  {operations / 1e9:.2f} GFLOP an image")


def photos(title: str, plain: Plain, ours: Embedder, paths: list[Path], rounds: int) -> None:
    def ours_decoded() -> list[np.ndarray]:
        return [ours.preprocess(load_image(path, draft=ours.draft)) for path in paths]

    def plain_decoded() -> list[np.ndarray]:
        images = plain.decode(paths)
        seen = [plain.pixels(views, REGIONS) for views in plain.views(images)]
        return [*seen, plain.pixels(images, GUIDE)]

    compare(
        f"{title}: decode and scale alone (draft {ours.draft})",
        {"plain": plain_decoded, "ours": ours_decoded},
        len(paths),
        rounds,
    )
    sides = {"plain": lambda: plain.encode(paths), "ours": lambda: ours.encode_images(paths)}
    compare(f"{title}: file to embedding", sides, len(paths), rounds)
    print(f"  {agreement(ours.encode_images(paths), plain.encode(paths))} of embeddings")


def texts(plain: Plain, ours: Embedder, rounds: int) -> None:
    words = QUERY.split()
    queries = [" ".join(words[: 4 + number % (len(words) - 3)]) for number in range(256)]
    for count in (1, 32, 256):
        some = queries[-count:]
        sides = {
            "plain": lambda s=some: plain.encode_text(s),
            "ours": lambda s=some: ours.encode_text(s),
        }
        compare(f"text, {count} at once", sides, count, 40 if count == 1 else rounds, "query")
    for name, encode in (("plain", plain.encode_text), ("ours", ours.encode_text)):
        taken = []
        for query in queries:
            start = time.perf_counter()
            encode([query])
            taken.append(1e3 * (time.perf_counter() - start))
        p50, p99 = np.quantile(taken, (0.5, 0.99))
        print(f"  one query, {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(taken)}")
    print(f"  {agreement(ours.encode_text(queries), plain.encode_text(queries))}")


def enlarged(paths: list[Path], folder: Path) -> list[Path]:
    """JPEGs of 12 megapixels, made of smaller photos."""
    made = []
    for number, path in enumerate(paths):
        image = Image.open(path).convert("RGB").resize((4000, 3000), Image.BICUBIC)
        image.save(folder / f"{number}.jpg", quality=92)
        made.append(folder / f"{number}.jpg")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of photos")
    parser.add_argument("--count", type=int, default=64, help="photos that are taken of it")
    parser.add_argument("--large", type=int, default=12, help="photos of 12 megapixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="network,photos,large,text", help="with commas")
    parser.add_argument("--runtime", choices=("auto", "torch", "onnxruntime"), default="auto")
    options = parser.parse_args()
    parts = options.parts.split(",")
    ours = load(device="cpu", runtime=options.runtime)
    plain = Plain(load(runtime="torch", device="cpu"))
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; runtime {options.runtime}"
    )
    with tempfile.TemporaryDirectory() as made:
        if options.photos is None:
            paths = copy_sample_photos(Path(made))
        else:
            paths = list(find_images(options.photos))
        paths = paths[: options.count]
        if "network" in parts:
            networks(plain, paths, options.rounds)
        if "photos" in parts:
            photos(f"{len(paths)} photos", plain, ours, paths, options.rounds)
        if "large" in parts:
            large = enlarged(paths[: options.large], Path(tempfile.mkdtemp(dir=made)))
            photos(f"{len(large)} photos of 12 megapixels", plain, ours, large, options.rounds)
    if "text" in parts:
        texts(plain, ours, options.rounds)


if __name__ == "__main__":
    main()
