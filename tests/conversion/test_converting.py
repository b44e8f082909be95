from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import (
    EMBEDDING,
    POSITIONS,
    REGIONS,
    WIDTH,
    ids_of,
    official,
    plain_image,
    plain_text,
    write_vocabulary,
)

from user_itr import load
from user_itr.config.loading import validate_settings
from user_itr.conversion.converting import convert_checkpoint
from user_itr.errors import CheckpointError, ConfigError, FeatureError, UserItrError
from user_itr.model.checkpoint import save_model

CAPTIONS = ["the dog runs", "a cat sleeps on the red mat", "cat", "a dog on a mat"]
METHODS = pytest.mark.parametrize("method", ["USER", "VSE-infinity"])


def written(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(content, folder / "official.pth")
    return folder / "official.pth"


def regions(seed: int = 0, count: int = REGIONS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, count, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("scale", [1, 4])
@METHODS
def test_both_branches_compute_what_the_papers_say(
    tmp_path: Path, tokenizer: Path, method: str, scale: int
) -> None:
    content = official(method, attention_lamda=scale)
    image, text = content["model"]
    conversion = convert_checkpoint(written(tmp_path, content), tokenizer)
    assert conversion.method == method
    save_model(tmp_path / "out", conversion.model)
    model = load(tmp_path / "out")

    images = model.encode_regions(regions())
    expected = plain_image(image, torch.from_numpy(regions()), scale)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, expected.numpy(), rtol=0, atol=1e-5)
    captions = model.encode_text(CAPTIONS)
    for caption, embedding in zip(CAPTIONS, captions, strict=True):
        expected = plain_text(text, ids_of(caption))
        np.testing.assert_allclose(embedding, expected.numpy(), rtol=0, atol=1e-5)
    # Neither branch says the same of everything.
    assert np.ptp(images, axis=0).max() > 0.1
    assert np.ptp(captions, axis=0).max() > 0.1


def test_the_oracle_hears_every_tensor_of_the_image_branch() -> None:
    """Else a swapped or forgotten tensor could pass the comparison above."""
    state = official("USER")["model"][0]
    v = torch.from_numpy(regions())
    expected = plain_image(state, v)
    silent = {"v_sa.embedding_common.0.bias"}  # a softmax is blind to a shift
    for key in state:
        changed = {**state, key: state[key] + 1}
        same = torch.allclose(plain_image(changed, v), expected, atol=1e-5)
        unread = key.startswith("mlp.bns.1.") or key.endswith("num_batches_tracked")
        assert same == (unread or key in silent), key


def test_half_precision_weights_are_widened(tmp_path: Path, tokenizer: Path) -> None:
    content = official("USER")
    halves = [
        {k: t.half() if t.is_floating_point() else t for k, t in state.items()}
        for state in content["model"]
    ]
    file = written(tmp_path, content | {"model": halves})
    encoder = convert_checkpoint(file, tokenizer).model.encoder
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    widened = {key: tensor.float() for key, tensor in halves[0].items()}
    v = torch.from_numpy(regions())
    with torch.no_grad():
        torch.testing.assert_close(encoder.image(v), plain_image(widened, v), rtol=0, atol=1e-5)


def test_what_is_known_of_the_training_is_kept(user_file: Path, tokenizer: Path) -> None:
    conversion = convert_checkpoint(user_file, tokenizer)
    model = conversion.model
    assert model.metrics == {
        "source": "user.pth",
        "source_sha256": hashlib.sha256(user_file.read_bytes()).hexdigest(),
        "data_name": "f30k_precomp",
        "epoch": 9,
        "rsum": 512.25,
    }
    assert model.features["backbone"] == "precomputed"
    assert (model.features["regions"], model.features["width"]) == (REGIONS, WIDTH)
    assert model.settings.model.embedding == EMBEDDING
    assert model.settings.model.text.max_tokens == POSITIONS
    assert set(conversion.unused) == {
        *(f"mlp.bns.1.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
        "mlp.bns.1.num_batches_tracked",
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "bert.embeddings.position_ids",
    }


def test_unused_tensors_may_be_absent(tmp_path: Path, tokenizer: Path) -> None:
    content = official("USER")
    image, text = content["model"]
    kept = [
        {k: t for k, t in image.items() if not k.startswith("mlp.bns.1.")},
        {k: t for k, t in text.items() if "pooler" not in k and "position_ids" not in k},
    ]
    conversion = convert_checkpoint(written(tmp_path, content | {"model": kept}), tokenizer)
    assert conversion.unused == ()


@METHODS
@pytest.mark.parametrize("branch", [0, 1])
def test_a_missing_key_is_named(tmp_path: Path, tokenizer: Path, method: str, branch: int) -> None:
    content = official(method)
    for key in content["model"][branch]:
        if key.startswith("mlp.bns.1.") or "pooler" in key or "position_ids" in key:
            continue
        states = list(content["model"])
        states[branch] = {k: t for k, t in states[branch].items() if k != key}
        file = written(tmp_path, content | {"model": states})
        name = ("image", "text")[branch]
        with pytest.raises(CheckpointError) as error:
            convert_checkpoint(file, tokenizer)
        assert str(error.value).endswith(f"regions; missing in the {name} branch: {key}.")


def test_every_unknown_and_every_missing_key_is_named_at_once(
    tmp_path: Path, tokenizer: Path
) -> None:
    content = official("USER")
    image, text = content["model"]
    image["cnn.conv.weight"], image["v_sa.extra"] = torch.ones(2), torch.ones(1)
    text["bert.encoder.layer.07.output.dense.bias"] = torch.ones(3)
    text["rnn.weight_ih_l0\x1b[2J"] = torch.ones(3)
    del image["fc.bias"], image["gpool.gru.bias_hh_l0_reverse"], text["linear.bias"]
    with pytest.raises(CheckpointError) as error:
        convert_checkpoint(written(tmp_path, content), tokenizer)
    assert str(error.value).endswith(
        "unknown in the image branch: cnn.conv.weight, v_sa.extra; "
        "missing in the image branch: fc.bias, gpool.gru.bias_hh_l0_reverse; "
        "unknown in the text branch: bert.encoder.layer.07.output.dense.bias, "
        "'rnn.weight_ih_l0\\x1b[2J'; missing in the text branch: linear.bias."
    )


def test_a_layer_that_is_missing_whole(tmp_path: Path, tokenizer: Path) -> None:
    content = official("USER")
    content["model"][1] = {k: t for k, t in content["model"][1].items() if "layer.1." not in k}
    with pytest.raises(CheckpointError) as error:
        convert_checkpoint(written(tmp_path, content), tokenizer)
    assert str(error.value).count("bert.encoder.layer.1.") == 16


@pytest.mark.parametrize(
    ("branch", "key", "shape", "sentence"),
    [
        (0, "fc.weight", (9,), "fc.weight has shape (9,); a tensor of 2 axes"),
        (0, "fc.weight", (0, 16), "fc.weight has shape (0, 16); a tensor of 2 axes, none empty"),
        (0, "fc.bias", (9,), "fc.bias has shape (9,), but the other tensors ask for (10,)"),
        (0, "mlp.bns.0.weight", (6,), "mlp.bns.0.weight has shape (6,), but the other"),
        (0, "mlp.bns.1.bias", (3,), "mlp.bns.1.bias has shape (3,), but the other"),
        (0, "gpool.linear.weight", (1, 31), "gpool.linear.weight has shape (1, 31)"),
        (0, "v_sa.embedding_local.1.bias", (16,), "ask for (36,)"),
        (0, "v_sa.embedding_common.0.weight", (2, 16), "ask for (1, 16)"),
        (1, "linear.weight", (12, 128), "linear.weight has shape (12, 128), but the other"),
        (1, "bert.encoder.layer.2.output.dense.weight", (128, 41), "ask for (128, 40)"),
        (1, "bert.embeddings.word_embeddings.weight", (14, 100), "its BERT is 100 wide"),
    ],
)
def test_wrong_shapes(
    tmp_path: Path, tokenizer: Path, branch: int, key: str, shape: tuple[int, ...], sentence: str
) -> None:
    content = official("USER")
    content["model"][branch][key] = torch.ones(shape)
    with pytest.raises(CheckpointError) as error:
        convert_checkpoint(written(tmp_path, content), tokenizer)
    assert sentence in str(error.value)


@pytest.mark.parametrize("option", ["no_imgnorm", "no_txtnorm"])
def test_scores_that_are_no_cosines_are_refused(
    tmp_path: Path, tokenizer: Path, option: str
) -> None:
    content = official("USER")
    setattr(content["opt"], option, True)
    with pytest.raises(CheckpointError, match=f"was trained with {option}"):
        convert_checkpoint(written(tmp_path, content), tokenizer)


def test_an_option_that_is_no_number(tmp_path: Path, tokenizer: Path) -> None:
    file = written(tmp_path, official("USER", attention_lamda="steep"))
    with pytest.raises(UserItrError, match="attention_scale"):
        convert_checkpoint(file, tokenizer)


def test_regions_of_another_number_are_refused(user_file: Path, tokenizer: Path) -> None:
    image = convert_checkpoint(user_file, tokenizer).model.encoder.image
    with pytest.raises(FeatureError, match=r"an image has 35 regions, .* exactly 36"):
        image(torch.from_numpy(regions(count=35)))
    mask = torch.ones(5, REGIONS, dtype=torch.bool)
    v = torch.from_numpy(regions())
    with torch.no_grad():
        torch.testing.assert_close(image(v, mask), image(v))
    mask[2, -1] = False
    with pytest.raises(FeatureError, match="a mask hides some of the 36 regions"):
        image(v, mask)


def test_vse_infinity_takes_any_number_of_regions(tmp_path: Path, tokenizer: Path) -> None:
    content = official("VSE-infinity")
    image = convert_checkpoint(written(tmp_path, content), tokenizer).model.encoder.image
    for count in (1, 50):
        v = torch.from_numpy(regions(count=count))
        with torch.no_grad():
            got = image(v)
        torch.testing.assert_close(got, plain_image(content["model"][0], v), rtol=0, atol=1e-5)


def test_uncased_bert_brings_its_vocabulary(tmp_path: Path) -> None:
    content = official("USER", vocabulary=30522)
    conversion = convert_checkpoint(written(tmp_path, content))
    save_model(tmp_path / "out", conversion.model)
    # [CLS] two dogs, playing. [SEP] in uncased BERT's vocabulary
    ids = [101, 2048, 6077, 1010, 2652, 1012, 102]
    expected = plain_text(content["model"][1], ids)
    got = load(tmp_path / "out").encode_text(["Two dogs, PLAYING."])[0]
    np.testing.assert_allclose(got, expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("lower", [True, False])
def test_a_vocabulary_as_bert_ships_it(user_file: Path, tmp_path: Path, lower: bool) -> None:
    folder = write_vocabulary(tmp_path / "words", do_lower_case=lower)
    captions = convert_checkpoint(user_file, folder).model.tokenizer(["The dog"])
    assert captions.ids.tolist() == (ids_of("the dog") if lower else [2, 1, *ids_of("dog")[1:]])


def test_tokenizers_that_do_not_serve(user_file: Path, tokenizer: Path, tmp_path: Path) -> None:
    def mistake(folder: Path | None) -> str:
        with pytest.raises(CheckpointError) as error:
            convert_checkpoint(user_file, folder)
        return str(error.value)

    assert "its BERT knows 14 tokens, uncased BERT's packaged vocabulary has 30,522; give" in (
        mistake(None)
    )
    assert "holds no tokenizer.json and no vocab.txt" in mistake(tmp_path / "nowhere")
    other = shutil.copytree(tokenizer, tmp_path / "other")
    text = (other / "tokenizer.json").read_text()
    larger = json.loads(text)
    larger["model"]["vocab"]["hat"] = 14
    (other / "tokenizer.json").write_text(json.dumps(larger))
    assert "has 15 tokens, the BERT of" in mistake(other)
    (other / "tokenizer.json").write_text(text[:-9])
    assert f"{other}: is no tokenizer" in mistake(other)


def test_a_fixed_number_of_regions_excludes_dropping_some() -> None:
    image = {"guide_norm_regions": 36, "region_dropout": 0.2}
    with pytest.raises(ConfigError, match=r"guide_norm_regions fixes the number of regions; set"):
        validate_settings({"model": {"image": image}}, "settings.yaml")
