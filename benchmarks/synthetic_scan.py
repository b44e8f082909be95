"""What stands in for the real files of the presets `flickr30k` and `coco`: SCAN's folder, and BERT.

The shapes are the real ones, the contents are made up. An image shows a few concepts: each of its
regions carries the vector of one of them, non-negative as bottom-up-attention features are, with
noise; its captions name them. So there is something to learn, and a training that works lowers the
loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

REGIONS, WIDTH, CAPTIONS = 36, 2048, 5
SHOWN = 3
CONCEPTS = (
    "man", "woman", "boy", "girl", "dog", "cat", "horse", "bird", "car", "bus", "train", "boat",
    "table", "chair", "bench", "tree", "flower", "beach", "river", "mountain", "snow", "road",
    "bridge", "house", "kitchen", "street", "park", "field", "ball", "kite", "hat", "shirt", "bag",
    "book", "phone", "cup", "plate", "cake", "pizza", "apple",
)  # fmt: skip
OPENINGS = ("a picture of a", "there is a", "we see one", "a")


def write_scan_folder(
    root: Path, splits: Mapping[str, int], copies: Mapping[str, int] | None = None, seed: int = 0
) -> Path:
    """Write a folder in SCAN's layout: `{split}_ims.npy`, `{split}_caps.txt`, `{split}_ids.txt`.

    Each array is written on disk image by image, so its size costs no memory.

    Args:
        root: the folder, made where it is missing.
        splits: number of images of each split. With a "testall", "test" has its first images, as
            in SCAN's files of MSCOCO; no other splits share images.
        copies: equal rows an image, 1 by default; published files have also 5.
        seed: of concepts and images.
    """
    root.mkdir(parents=True, exist_ok=True)
    vectors = np.abs(np.random.default_rng(seed).normal(size=(len(CONCEPTS), WIDTH)))
    for split, images in splits.items():
        source = "testall" if split == "test" and "testall" in splits else split
        place = list(splits).index(source)
        random = np.random.default_rng([seed, place])
        each = (copies or {}).get(split, 1)
        shape = (images * each, REGIONS, WIDTH)
        array = np.lib.format.open_memmap(root / f"{split}_ims.npy", "w+", np.float32, shape)
        captions: list[str] = []
        for image in range(images):
            shown = random.choice(len(CONCEPTS), SHOWN, replace=False)
            regions = vectors[random.permutation(np.resize(shown, REGIONS))]
            noisy = regions + 0.3 * random.standard_normal(regions.shape, np.float32)
            array[image * each : (image + 1) * each] = np.maximum(noisy, 0)
            captions += [_caption(random, shown) for _ in range(CAPTIONS)]
        array.flush()
        ids = (str(1_000_000 * place + image) for image in range(images))
        (root / f"{split}_caps.txt").write_text("\n".join(captions) + "\n", "utf-8")
        (root / f"{split}_ids.txt").write_text("\n".join(ids) + "\n", "utf-8")
    return root


def _caption(random: np.random.Generator, shown: np.ndarray) -> str:
    one, two, three = (CONCEPTS[concept] for concept in random.permutation(shown))
    return f"{random.choice(OPENINGS)} {one} near the {two} and a {three}."


def write_bert_base(folder: Path, layers: int = 12, seed: int = 0) -> Path:
    """Write a BERT of bert-base-uncased's shape with random weights, and an uncased tokenizer.

    The tokenizer is the packaged MiniLM's, which has bert-base-uncased's 30,522 word pieces.

    Args:
        folder: for the files of `save_pretrained`, 440 MB with all layers.
        layers: of the stack; 12 in bert-base-uncased.
        seed: of the weights.
    """
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from user_itr.model.pretrained_text import MINILM, pretrained_path, quiet_transformers

    quiet_transformers()
    AutoTokenizer.from_pretrained(pretrained_path(MINILM)).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(num_hidden_layers=layers)  # the other defaults are bert-base-uncased's
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
