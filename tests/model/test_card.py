from __future__ import annotations

import numpy as np
import pytest
from huggingface_hub import ModelCard

from user_itr.errors import ConfigError
from user_itr.evaluation.metrics import evaluate_embeddings
from user_itr.model.card import Figures, check_licence, model_card
from user_itr.model.embedder import _without_folders
from user_itr.pretrained import DEFAULT, shipped_model
from user_itr.runtime.exported import read_exported


@pytest.fixture(scope="module")
def figures() -> Figures:
    rng = np.random.default_rng(0)
    images, captions = (rng.normal(size=(n, 4)).astype(np.float32) for n in (12, 24))
    owner = np.arange(24) // 2
    return Figures("dev", 12, 24, evaluate_embeddings(images, captions, owner))


@pytest.mark.parametrize("title", ["my-model", "a: 'b' \"c\" # d\n- e", "日本語 {x}"])
def test_the_hub_reads_the_card(title, figures):
    exported = read_exported(shipped_model(DEFAULT))
    text = model_card(title, exported, figures, "cc-by-nc-4.0")
    data = ModelCard(text).data
    assert (data.license, data.library_name) == ("cc-by-nc-4.0", "user-itr")
    assert "image-text-retrieval" in data.tags
    assert data.model_name == " ".join(title.split())
    found = {one.metric_name: one.metric_value for one in data.eval_results}
    recall = figures.metrics.t2i.recall
    assert {k: found[f"text to image R@{k}"] for k in recall} == {
        k: pytest.approx(value, abs=0.005) for k, value in recall.items()
    }
    assert found["rsum"] == pytest.approx(figures.metrics.rsum, abs=0.005)
    assert {one.dataset_name for one in data.eval_results} == {"dev, 12 images"}
    assert f"{exported.dim:,} numbers" in text
    assert exported.description in text


def test_a_model_that_was_not_measured_has_no_figures():
    text = model_card("mine", read_exported(shipped_model(DEFAULT)), None)
    data = ModelCard(text).data
    assert data.license == "unknown"
    assert data.eval_results is None
    assert "## Figures" not in text


@pytest.mark.parametrize("licence", ["", "MIT or so", "x\ny: z", "[a]", "-"])
def test_a_licence_that_the_hub_cannot_know_is_refused(licence):
    with pytest.raises(ConfigError, match="give the hub's name"):
        check_licence(licence)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("minilm", "minilm"),
        ("efficientnet-lite0", "efficientnet-lite0"),
        ("/home/me/bert/", "bert"),
        ("transformers:/home/me/clip", "transformers:clip"),
        ("transformers:OWNER/NAME", "transformers:OWNER/NAME"),
        ("timm:resnet18@/home/me/w.safetensors", "timm:resnet18@w.safetensors"),
        ("C:\\models\\bert", "bert"),
    ],
)
def test_a_description_names_no_place(name, shown):
    assert _without_folders(name) == shown
