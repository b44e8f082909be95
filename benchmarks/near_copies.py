"""Choose the cosine from which on two photos count as near copies, on real photos.

    python benchmarks/near_copies.py FLICKR8K --photos 300

Of photos of the dev split, copies are made as programs make them: smaller, saved worse, cropped,
brighter. The table has, by cosine, the share of them that are found, and how many photos of the
split look like copies of a different photo (several were taken of one scene, seconds apart).
Both have to have about the same shape; see `search/duplicates.py`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

import user_itr
from user_itr.search.duplicates import NEAR_COSINE, same_shape

BATCH = 32
THRESHOLDS = (0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


def resaved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without this share of its width and height, more of it on the left and at the top."""
    width, height = image.size
    left, top = round(width * share * 0.7), round(height * share * 0.7)
    right, bottom = round(width * (1 - share * 0.3)), round(height * (1 - share * 0.3))
    return image.crop((left, top, right, bottom))


def shrunk(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)))


VARIANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half as wide": lambda image: shrunk(image, 0.5),
    "a quarter as wide": lambda image: shrunk(image, 0.25),
    "JPEG, quality 50": lambda image: resaved(image, 50),
    "JPEG, quality 20": lambda image: resaved(image, 20),
    "cropped by 2 %": lambda image: cropped(image, 0.02),
    "cropped by 5 %": lambda image: cropped(image, 0.05),
    "cropped by 10 %": lambda image: cropped(image, 0.10),
    "20 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--photos", type=int, default=300, help="of which copies are made")
    parser.add_argument("--model", default="shipped:flickr8k")
    asked = parser.parse_args()
    names = (asked.corpus / "Flickr_8k.devImages.txt").read_text().split()
    paths = [asked.corpus / "Images" / name for name in names]
    encoder = user_itr.load(asked.model)

    def embedded(images: list[Image.Image]) -> np.ndarray:
        pixels = [encoder.preprocess(image) for image in images]
        parts = [
            encoder.encode_pixels(np.stack(pixels[start : start + BATCH]))
            for start in range(0, len(pixels), BATCH)
        ]
        return np.concatenate(parts)

    def opened(path: Path) -> Image.Image:
        with Image.open(path) as image:
            return image.convert("RGB")

    shapes = [Image.open(path).size for path in paths]
    originals = np.concatenate(
        [
            embedded([opened(path) for path in paths[start : start + BATCH]])
            for start in range(0, len(paths), BATCH)
        ]
    )
    found: dict[str, np.ndarray] = {}
    for name, change in VARIANTS.items():
        cosines = []
        for start in range(0, asked.photos, BATCH):
            chosen = range(start, min(start + BATCH, asked.photos))
            copies = [change(opened(paths[place])) for place in chosen]
            vectors = embedded(copies)
            for place, copy, vector in zip(chosen, copies, vectors, strict=True):
                alike = same_shape(shapes[place], copy.size)
                cosines.append(float(vector @ originals[place]) if alike else -1.0)
        found[name] = np.array(cosines)
    others = originals @ originals.T
    np.fill_diagonal(others, -1)
    for row, shape in enumerate(shapes):
        for column, other in enumerate(shapes):
            if not same_shape(shape, other):
                others[row, column] = -1
    nearest = others.max(axis=1)
    print(f"{asked.model}: copies of {asked.photos} photos, found by cosine, in percent;")
    print(f"different: of {len(paths)} photos, those with another one as near\n")
    print("| copies | " + " | ".join(f"{one:.2f}" for one in THRESHOLDS) + " |")
    print("| --- |" + " ---: |" * len(THRESHOLDS))
    for name, cosines in found.items():
        shares = (f"{100 * np.mean(cosines >= one):.0f}" for one in THRESHOLDS)
        print(f"| {name} | " + " | ".join(shares) + " |")
    counts = (f"{np.count_nonzero(nearest >= one)}" for one in THRESHOLDS)
    print("| different photos | " + " | ".join(counts) + " |")
    print(f"\nchosen: {NEAR_COSINE:.2f}")


if __name__ == "__main__":
    main()
