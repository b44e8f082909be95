from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import WORDS, Recorder, assert_same, resume, start, tiny_settings

from user_itr.data.captions import CaptionedImages
from user_itr.evaluation.metrics import evaluate_embeddings
from user_itr.model.tokenizer import TokenizedCaptions
from user_itr.training.evaluation import evaluate_split
from user_itr.training.interruption import Interrupted
from user_itr.training.sentences import SharedSentences


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=20))
def test_shared_sentences_equal_a_plain_search(captions: list[tuple[int, int]]) -> None:
    """A caption is (image, sentence), of a token."""
    owners = np.array([image for image, _ in captions], dtype=np.int64)
    split = CaptionedImages(
        "toy", "train", tuple("abcde"), tuple(str(s) for _, s in captions), owners
    )
    tokens = TokenizedCaptions(
        np.array([sentence for _, sentence in captions], dtype=np.int64),
        np.zeros(len(captions), dtype=np.int64),
        np.arange(len(captions) + 1),
    )
    found = SharedSentences.among(split, tokens)
    images_of = {s: {i for i, other in captions if other == s} for _, s in captions}
    if found is None:
        assert all(len(images) == 1 for images in images_of.values())
        return
    got = found.of(np.arange(len(captions)), np.arange(5))
    has = (got.of_images[:, None] == got.of_captions[None, :, None]).any(dim=2)
    expected = [
        [len(images_of[s]) > 1 and image in images_of[s] for _, s in captions] for image in range(5)
    ]
    assert torch.equal(has, torch.tensor(expected))


@pytest.fixture(scope="module")
def repeating_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of two captions each, of six sentences in all."""
    root = tmp_path_factory.mktemp("scan") / "repeating"
    root.mkdir()
    random = np.random.default_rng(0)
    for split in ("train", "dev"):
        np.save(root / f"{split}_ims.npy", random.normal(size=(12, 4, 8)).astype(np.float32))
        lines = [f"a {WORDS[n % 6]}" for n in range(24)]
        (root / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return root


def test_a_run_keeps_sentences_in_its_queues(repeating_set: Path, tmp_path: Path) -> None:
    common = ("objective.kind=infonce", "training.epochs=2")
    settings = tiny_settings(repeating_set, "objective.mask_equal_captions=true", *common)
    whole = start(settings, tmp_path / "whole", reporter := Recorder())
    whole.fit()
    queued = whole.step.contrast.queued_sentences()
    assert queued is not None
    assert queued.of_images.shape[1] == 2
    shared = whole.prepared.batches.shared
    assert shared is not None
    owners = whole.step.contrast.image_queue.contents()[1]
    assert torch.equal(queued.of_images, torch.from_numpy(shared.of_images)[owners])

    parts = start(settings, tmp_path / "parts", first := Recorder(press_after=2))
    with pytest.raises(Interrupted):
        parts.fit()
    resumed = resume(tmp_path / "parts", second := Recorder())
    resumed.fit()
    assert first.losses + second.losses == reporter.losses
    assert_same(resumed.state(), whole.state())

    counted = start(
        tiny_settings(repeating_set, *common), tmp_path / "counted", other := Recorder()
    )
    counted.fit()
    assert other.losses[0] > reporter.losses[0] + 1e-3


def test_evaluation_encodes_a_sentence_once_and_ranks_every_caption(
    repeating_set: Path, tmp_path: Path
) -> None:
    trainer = start(tiny_settings(repeating_set), tmp_path / "run")
    model, dev = trainer.step.model, trainer.prepared.dev
    encoded: list[int] = []
    hook = model.text.register_forward_pre_hook(lambda _, inputs: encoded.append(len(inputs[0])))
    found = evaluate_split(model, dev, torch.device("cpu"), nullcontext)
    hook.remove()
    assert sum(encoded) == 6
    model.eval()
    with torch.no_grad():
        images = model.image(torch.from_numpy(dev.regions[dev.rows].astype(np.float32)))
        captions = [model.text(*dev.captions.padded(np.array([row]))) for row in range(24)]
    plain = evaluate_embeddings(
        images.numpy(), torch.cat(captions).numpy(), dev.images.caption_image
    )
    assert found.to_dict() == plain.to_dict()
