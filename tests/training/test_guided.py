"""CGE from pictures to search: guide embeddings in store, batches, checkpoint and embedder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_runs import Recorder, assert_same, resume, silent, start, write_picture_set
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.errors import ConfigError, FeatureError
from user_itr.evaluation.metrics import evaluate_embeddings
from user_itr.features.store import FeatureStore
from user_itr.model.embedder import Embedder, load
from user_itr.model.split_embeddings import embed_split
from user_itr.search.index import ImageIndex
from user_itr.training.interruption import Interrupted
from user_itr.training.preparation import prepare

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))
from tiny_vision import SQUARE, TINY, save

BACKBONE_WIDTH, GUIDE_WIDTH = 16, 12


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Backbone and guide: a small CLIP tower each, with other weights."""
    folder = tmp_path_factory.mktemp("towers")
    names = []
    for seed, name in enumerate(("backbone", "guide")):
        torch.manual_seed(seed)
        config = transformers.CLIPVisionConfig(**TINY, projection_dim=GUIDE_WIDTH)
        model = transformers.CLIPVisionModelWithProjection(config)
        processor = CLIPImageProcessorPil(size=SQUARE, crop_size=SQUARE)
        names.append(f"transformers:{save(folder / name, model, processor)}")
    return names[0], names[1]


def guided_settings(data: Path, store: Path, backbone: str, guide: str, *more: str) -> Settings:
    return load_settings(
        None,
        [
            "model.embedding=24",
            "model.text.encoder=bigru",
            "model.text.gru_width=16",
            "model.text.word_width=8",
            "model.text.min_word_count=1",
            "momentum.momentum=0.9",
            "momentum.queue_length=7",
            "training.epochs=2",
            "training.batch_size=4",
            "optimizer.rate=0.005",
            *more,
        ],
        data={"path": str(data)},
        features={"store": str(store), "backbone": backbone, "guide": guide},
    )


@pytest.mark.parametrize(
    ("enhancement", "own", "more"),
    [
        ("clip", False, ()),
        ("both", True, ("features.guide_width=6", "features.width=8", "features.grid=2")),
    ],
)
def test_from_pictures_to_search(
    towers: tuple[str, str], tmp_path: Path, enhancement: str, own: bool, more: tuple[str, ...]
) -> None:
    backbone, guide = towers
    if own:
        guide = f"pooled:{backbone}"
    data = write_picture_set(tmp_path / "data")
    settings = guided_settings(
        data,
        tmp_path / "store",
        backbone,
        guide,
        f"model.image.enhancement={enhancement}",
        *more,
    )
    trainer = start(settings, tmp_path / "run")
    assert trainer.prepared.train.guides is not None
    width = 6 if own else GUIDE_WIDTH
    assert trainer.prepared.train.guides.shape == (8, width)
    metrics = trainer.fit()
    assert metrics is not None

    embedder = load(tmp_path / "run", "cpu")
    assert embedder.needs_guides != own
    both = embed_split(embedder, "dev", silent)
    found = evaluate_embeddings(both.images, both.captions, both.split.caption_image)
    best = max(h["rsum"] for h in trainer.place.history)
    assert found.rsum == pytest.approx(best)

    # The same images from their files, and through an index.
    paths = both.split.image_paths
    assert paths is not None
    files = embedder.encode_images(paths)
    np.testing.assert_allclose(files, both.images, atol=2e-3)  # float16 rounding of a batch's sums
    index = ImageIndex.create_or_open(tmp_path / "index", embedder, "model")
    index.update(paths[0].parent, embedder)
    hit = index.search(files[0], 1)[0]
    assert hit.path == paths[0]
    assert hit.score == pytest.approx(1, abs=1e-3)


def test_the_guide_reaches_the_model(towers: tuple[str, str], tmp_path: Path) -> None:
    """Batches bring each image its own row, and another guide embedding is another image."""
    data = write_picture_set(tmp_path / "data")
    settings = guided_settings(
        data, tmp_path / "store", *towers, "model.image.enhancement=clip", "features.width=8"
    )
    prepared = prepare(settings, silent)
    assert prepared.train.guides is not None
    for batch in prepared.batches.epoch(0):
        assert batch.guides is not None
        expected = prepared.train.guides[batch.image_owner.numpy()]
        assert np.array_equal(batch.guides.numpy(), expected.astype(np.float32))
        assert batch.to(torch.device("cpu")).guides is not None
    embedder = Embedder(prepared.model, "cpu")
    regions = prepared.train
    store = FeatureStore.open(tmp_path / "store")
    raw = store.array[:3]
    with pytest.raises(FeatureError, match="guided by"):
        embedder.encode_regions(raw)
    here = embedder.encode_regions(raw, guides=regions.guides[:3])
    there = embedder.encode_regions(raw, guides=regions.guides[3:6])
    assert np.abs(here - there).max() > 1e-3


def test_a_guided_run_resumes_to_the_same_end(towers: tuple[str, str], tmp_path: Path) -> None:
    """With what else a run may carry: momentum encoders that are kept, a learned temperature."""
    data = write_picture_set(tmp_path / "data")
    settings = guided_settings(
        data,
        tmp_path / "store",
        *towers,
        "model.image.enhancement=both",
        "momentum.evaluate=true",
        "objective.kind=infonce",
        "objective.learned_temperature=true",
        "objective.queue_start=1",
    )
    whole = start(settings, tmp_path / "whole")
    whole.fit()
    first = start(settings.model_copy(), tmp_path / "parts", Recorder(press_after=2))
    with pytest.raises(Interrupted):
        first.fit()
    second = resume(tmp_path / "parts")
    second.fit()
    assert_same(second.state(), whole.state())
    scale = whole.step.objective.state_dict()["log_scale"]
    assert scale != torch.tensor(1 / 0.07).log()

    # What is kept for use is the momentum encoder, and it is what was evaluated.
    kept = load(tmp_path / "whole", "cpu")
    averaged = whole.step.contrast.encoder.state_dict()
    if whole.folder.index.best == whole.folder.index.last:
        for name, tensor in kept.encoder.state_dict().items():
            assert torch.equal(tensor, averaged[name]), name
    both = embed_split(kept, "dev", silent)
    found = evaluate_embeddings(both.images, both.captions, both.split.caption_image)
    assert found.rsum == pytest.approx(max(h["rsum"] for h in whole.place.history))


def test_a_guide_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"features\.guide names no frozen image encoder"):
        load_settings(None, ["model.image.enhancement=clip"])


def test_a_wrong_guide_is_told_before_anything_is_extracted(tmp_path: Path) -> None:
    data = write_picture_set(tmp_path / "data")
    settings = guided_settings(
        data, tmp_path / "store", "efficientnet-lite0", "lite2", "model.image.enhancement=clip"
    )
    with pytest.raises(FeatureError, match=r"guide 'lite2' is unknown.*efficientnet-lite2"):
        prepare(settings, silent)
    assert not (tmp_path / "store").exists()
