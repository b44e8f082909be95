"""Embeddings and matrices as other people write them, and what is right for them, by plain code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from shell import Command

IMAGES, PER_IMAGE, WIDTH = 40, 5, 32
OWNER = np.repeat(np.arange(IMAGES), PER_IMAGE)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vectors(noise: float = 1.2) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Images and captions, not of unit length; with noise 1.2 those of case `18-evaluate.py`."""
    random = np.random.default_rng(0)
    images = random.normal(size=(IMAGES, WIDTH)).astype(np.float32)
    around = noise * random.normal(size=(IMAGES * PER_IMAGE, WIDTH)).astype(np.float32)
    return images, (images[OWNER] + around).astype(np.float32), random


def plain_rsum(scores: np.ndarray, owner: np.ndarray) -> float:
    """Recall at 1, 5 and 10 both ways of (images, captions), by sorting; ties count against."""
    total = 0.0
    for table, right in (
        (scores, [np.flatnonzero(owner == row) for row in range(len(scores))]),
        (scores.T, [np.array([one]) for one in owner]),
    ):
        ranks = []
        for row, positives in zip(table.astype(np.float64), right, strict=True):
            if len(positives) == 0:
                continue
            wrong = np.ones(len(row), bool)
            wrong[positives] = False
            ranks.append(1 + int((row[wrong] >= row[positives].max()).sum()))
        total += sum(100 * np.mean(np.array(ranks) <= k) for k in (1, 5, 10))
    return float(total)


def cosines(images: np.ndarray, captions: np.ndarray) -> np.ndarray:
    return unit(images.astype(np.float64)) @ unit(captions.astype(np.float64)).T


class Bench:
    """A folder of files, and `user-itr evaluate` of them."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command, self.folder = command, folder
        np.save(folder / "owner.npy", OWNER)
        self.owner: tuple[object, ...] = ("--caption-image", folder / "owner.npy")

    def embeddings(self, images: np.ndarray, captions: np.ndarray) -> Path:
        folder = self.folder / "vectors"
        folder.mkdir(exist_ok=True)
        np.save(folder / "images.npy", images)
        np.save(folder / "captions.npy", captions)
        return folder

    def matrix(self, scores: np.ndarray, name: str = "s.npy") -> Path:
        np.save(self.folder / name, scores)
        return self.folder / name

    def __call__(self, path: Path, *words: object) -> tuple[float, list[str], dict[str, Any]]:
        """rsum, notes, and the document."""
        out = self.folder / "out.json"
        owner = () if "--data" in words else self.owner
        done = self.command("evaluate", path, *owner, "--resamples", "0", "--json", out, *words)
        assert done.code == 0, done.err
        document = json.loads(out.read_text())
        said = [line for line in done.err.splitlines() if line.startswith("note: ")]
        assert len(said) == len(document["notes"])
        return document["metrics"]["rsum"], document["notes"], document

    def refused(self, path: Path, *words: object) -> str:
        return self.command.mistake("evaluate", path, *self.owner, "--resamples", "0", *words)
