"""Tiny captioned sets, models and runs that train in a second."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.model.checkpoint import load_model
from user_itr.training.preparation import Preparation, prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

WORDS = ("dog", "cat", "ball", "tree", "car", "boat", "bird", "hat", "fish", "cake", "drum", "kite")
FILLER = ("a", "the", "some", "small", "old")
REGIONS, WIDTH, CAPTIONS = 6, 16, 3


def write_scan_set(root: Path, train: int = 24, dev: int = 12, seed: int = 0) -> Path:
    """Images of two things each: half of the regions show one, half the other, captions name both.

    The things' vectors are fixed, so whoever learns them on train knows them on dev and test.
    """
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    things = random.normal(size=(len(WORDS), WIDTH))
    for split, count in (("train", train), ("dev", dev), ("test", dev)):
        regions = np.empty((count, REGIONS, WIDTH), np.float32)
        lines: list[str] = []
        for image in range(count):
            shown = random.choice(len(WORDS), 2, replace=False)
            regions[image] = things[random.permutation(np.repeat(shown, REGIONS // 2))]
            for _ in range(CAPTIONS):
                words = list(random.choice(FILLER, random.integers(1, 5)))
                names = [WORDS[thing] for thing in random.permutation(shown)]
                lines.append(" ".join([*words, names[0], "and", names[1]]))
        regions += 0.1 * random.normal(size=regions.shape)
        np.save(root / f"{split}_ims.npy", regions)
        (root / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return root


def write_picture_set(root: Path, train: int = 8, dev: int = 4) -> Path:
    """PNG files of two colours with `captions.csv`: train, dev and test."""
    colours = {
        "red": (210, 30, 30),
        "green": (30, 160, 40),
        "blue": (30, 60, 200),
        "black": (0,) * 3,
    }
    pairs = [(a, b) for a in colours for b in colours if a != b]
    random = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for number in range(train + 2 * dev):
        split = "train" if number < train else ("dev", "test")[number % 2]
        above, below = pairs[number % len(pairs)]
        pixels = np.empty((40, 50, 3))
        pixels[:20], pixels[20:] = colours[above], colours[below]
        noisy = (pixels + random.normal(0, 8, pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(root / "images" / f"{number:02}.png")
        for caption in (f"{above} over {below}", f"the lower half is {below}"):
            rows.append(f"{number:02}.png,{caption},{split}")
    (root / "captions.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return root


def write_bert(folder: Path, layers: int = 2, width: int = 32) -> Path:
    """A BERT with random weights and a word tokenizer, as `save_pretrained` writes them."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "and", *WORDS, *FILLER]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {
        f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")
    }
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, **special
    ).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


DEFAULTS = (
    "features.backbone=precomputed",
    "model.embedding=24",
    "model.image.guide_dropout=0.3",
    "model.text.encoder=bigru",
    "model.text.gru_width=24",
    "model.text.word_width=12",
    "model.text.min_word_count=1",
    "momentum.momentum=0.9",
    "momentum.queue_length=37",
    "optimizer.rate=0.01",
    "training.epochs=3",
    "training.batch_size=8",
)


def tiny_settings(data: Path, *overrides: str) -> Settings:
    """A small BiGRU on precomputed features: nine batches an epoch, a queue they do not divide."""
    return load_settings(None, [*DEFAULTS, *overrides], data={"path": str(data)})


class Recorder:
    """A reporter that keeps what it is told, and presses Ctrl-C after a number of batches."""

    def __init__(self, press_after: int | None = None) -> None:
        self.losses: list[float] = []
        self.metrics: list[CrossModalMetrics] = []
        self.press_after = press_after

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        self.losses.append(values["loss"])
        if len(self.losses) == self.press_after:
            signal.raise_signal(signal.SIGINT)

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        self.metrics.append(metrics)


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def start(settings: Settings, out: Path, reporter: Recorder | None = None) -> Trainer:
    """A trainer of a new run."""
    folder = RunFolder(out)
    folder.create(settings)
    return Trainer(settings, prepare(settings, silent), folder, reporter or Recorder())


def resume(
    out: Path,
    reporter: Recorder | None = None,
    change: Callable[[Preparation], None] = lambda prepared: None,
) -> Trainer:
    """A trainer that has nothing but the run's folder to go on from, and what `change` does."""
    folder = RunFolder(out)
    settings = folder.open()
    last = folder.last_state()
    assert last is not None
    torch.manual_seed(99)
    prepared = prepare(settings, silent, load_model(last[0]))
    change(prepared)
    trainer = Trainer(settings, prepared, folder, reporter or Recorder())
    trainer.restore(last[1])
    return trainer


def assert_same(left: Any, right: Any, where: str = "state") -> None:
    """Equal to the bit, wherever a tensor lies; the clock of the run alone may differ."""
    if isinstance(left, Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left.keys() - {"seconds"}:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for number, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    else:
        assert left == right, where
