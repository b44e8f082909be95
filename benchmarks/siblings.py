"""Count how many queries meet their own image's items among the negatives of a queue.

    python benchmarks/siblings.py FLICKR8K

No model and no training: the batches of two epochs are drawn and queues of image ids are filled
with them. "shuffled pairs" is the order of the published code, every (image, caption) pair at a
random place of the epoch; "rounds" is ours, which keeps an image's turns far apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from user_itr.data.captions import CaptionedImages
from user_itr.data.readers import load_captions
from user_itr.model.tokenizer import CaptionTokenizer
from user_itr.objective.queue import EmbeddingQueue
from user_itr.training.batches import BatchSource, CaptionAugmentation

EPOCHS = 2


def shuffled_pairs(images: CaptionedImages, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(images.caption_image)
        for start in range(0, len(order), batch):
            owners = order[start : start + batch]
            yield owners, owners


def rounds(
    images: CaptionedImages, batch: int, share: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    source = BatchSource(
        images,
        lambda rows, rng: torch.zeros(len(rows), 1, 1),
        CaptionTokenizer.from_words(images.captions, 8, 1)(images.captions),
        CaptionAugmentation(0.0, 0, 1),
        batch_size=batch,
        captions_per_image=share,
    )
    for epoch in range(EPOCHS):
        for one in source.epoch(epoch):
            owners = one.image_owner.numpy()
            yield owners, owners[one.caption_image.numpy()]


def shares(batches: Iterator[tuple[np.ndarray, np.ndarray]], length: int) -> tuple[float, float]:
    """Percent of image queries, and of caption queries, with a sibling in the other queue."""
    queues = EmbeddingQueue(length, 1), EmbeddingQueue(length, 1)
    met, asked = np.zeros(2), np.zeros(2)
    for image_owner, caption_owner in batches:
        sides = (image_owner, queues[1]), (caption_owner, queues[0])
        for side, (owners, queue) in enumerate(sides):
            met[side] += np.isin(owners, queue.contents()[1].numpy()).sum()
            asked[side] += len(owners)
        for queue, owners in zip(queues, (image_owner, caption_owner), strict=True):
            queue.enqueue(torch.zeros(len(owners), 1), torch.from_numpy(owners))
    image_share, caption_share = 100 * met / asked
    return float(image_share), float(caption_share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    images = load_captions(parser.parse_args().data, "train")
    print(f"{len(images)} images, {len(images.captions)} captions; percent of image queries and of")
    print("caption queries that meet an item of their own image in the queue")
    for name, draw in (
        ("shuffled pairs, batch 128", lambda: shuffled_pairs(images, 128)),
        ("rounds, batch 128, 1 caption an image", lambda: rounds(images, 128, 1)),
        ("rounds, batch 64, 5 captions an image", lambda: rounds(images, 64, 5)),
    ):
        for length in (2048, 16384):
            of_images, of_captions = shares(draw(), length)
            print(f"{name}, queue {length}: {of_images:.1f} %, {of_captions:.1f} %")


if __name__ == "__main__":
    main()
