from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from user_itr.config.loading import (
    dump_settings,
    load_settings,
    preset_names,
    validate_settings,
)
from user_itr.config.settings import Settings
from user_itr.errors import ConfigError


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize("name", preset_names())
def test_presets_load(name: str) -> None:
    assert load_settings(name) != Settings()


def test_the_presets_for_a_cpu_and_a_gpu_differ_in_the_text_encoder_alone() -> None:
    cpu, gpu = (load_settings(name).model_dump() for name in ("flickr8k", "flickr8k-gpu"))
    text, tuned = cpu["model"].pop("text"), gpu["model"].pop("text")
    assert cpu == gpu
    assert (tuned["trainable_layers"], tuned["cache"]) == ("all", False)
    assert text | {"trainable_layers": "all", "cache": False} == tuned


def test_presets_hold_the_published_settings() -> None:
    flickr, coco = load_settings("flickr30k"), load_settings("coco")
    for preset in (flickr, coco):
        assert preset.model.embedding == 1024
        assert preset.model.text.encoder == "bert-base-uncased"
        assert preset.model.text.trainable_layers == "all"
        assert preset.model.text.mask_probability == 0.2
        assert preset.model.image.guide_dropout == 0.4
        assert (preset.objective.sharpness, preset.objective.threshold) == (90, 0.5)
        assert (preset.optimizer.rate, preset.optimizer.text_rate) == (5e-4, 5e-5)
        assert (preset.optimizer.weight_decay, preset.optimizer.clip_norm) == (1e-4, 2.0)
        assert preset.training.batch_size == 128
        assert preset.momentum.momentum == 0.999
        # What the paper leaves open is the authors' code's.
        assert (preset.momentum.policy, preset.momentum.queue_begins) == ("published", "random")
        assert preset.model.image.guide_norm_regions == 36
        assert preset.model.image.guide_init == "xavier"
        assert preset.model.text.max_tokens is None
        assert not preset.objective.mask_siblings
        assert not preset.objective.mask_equal_captions
        assert (preset.training.order, preset.training.drop_last) == ("pairs", True)
        assert preset.data.dev_captions == 5000
    assert (flickr.momentum.queue_length, coco.momentum.queue_length) == (2048, 4096)
    assert (flickr.objective.batch_weight, coco.objective.batch_weight) == (20, 1)
    assert (flickr.training.epochs, flickr.optimizer.decay_epochs) == (20, (10,))
    assert (coco.training.epochs, coco.optimizer.decay_epochs) == (25, (15,))


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("optimizer.rate=5e-4", "optimizer", "rate", 5e-4),
        ("optimizer.rate=1", "optimizer", "rate", 1.0),
        ("optimizer.decay_epochs=[3, 5]", "optimizer", "decay_epochs", (3, 5)),
        ("features.grid=null", "features", "grid", None),
        ("features.grid=", "features", "grid", None),
        (" training.patience = 4", "training", "patience", 4),
        ("data.train_split=a=b", "data", "train_split", "a=b"),
        ("data.train_split=2017", "data", "train_split", "2017"),
        ("data.train_split='5e4'", "data", "train_split", "5e4"),
        ("data.path=photos/2012", "data", "path", Path("photos/2012")),
        ("training.precision=bf16-mixed", "training", "precision", "bf16-mixed"),
        ("momentum={queue_length: 7}", "momentum", "queue_length", 7),
    ],
)
def test_overrides(override: str, section: str, key: str, value: object) -> None:
    assert getattr(getattr(load_settings(None, [override]), section), key) == value


def test_nested_overrides_and_their_order() -> None:
    settings = load_settings(
        "flickr30k",
        [
            "model.text.trainable_layers=2",
            "model.text.trainable_layers=all",
            "model.text.cache=false",
            "model.image.enhancement=none",
        ],
        training={"epochs": 11},
    )
    assert settings.model.text.trainable_layers == "all"
    assert settings.model.text.cache is False
    assert settings.model.image.enhancement == "none"
    assert settings.model.image.guide_dropout == 0.4
    assert settings.training.epochs == 11


def test_fixed_values_win_over_overrides() -> None:
    settings = load_settings(None, ["data.path=a"], data={"path": Path("b")})
    assert settings.data.path == Path("b")


@pytest.mark.parametrize("text", ["training", "training.epochs", "=3", " = 3", ""])
def test_malformed_overrides(text: str) -> None:
    message = refusal(text)
    assert message == f"--set {text!r}: write it as section.key=value."


@pytest.mark.parametrize(
    "text", ["training.epochs=[1", "data.format=2020-13-45", "data.format=\x00"]
)
def test_override_values_that_are_no_yaml(text: str) -> None:
    assert refusal(text) == f"--set {text!r}: the value is not valid YAML."


def test_an_override_below_a_value() -> None:
    with pytest.raises(ConfigError, match=r"^training\.epochs\.x: training\.epochs is a value"):
        load_settings("demo", ["training.epochs.x=3"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.epochs=3", "settings: unknown key trainer; did you mean training?"),
        ("training.epoch=3", "settings: unknown key training.epoch; did you mean epochs?"),
        ("model.text.encode=x", "settings: unknown key model.text.encode; did you mean encoder?"),
        (
            "momentum.zz=1",
            "settings: unknown key momentum.zz; known keys: momentum, policy, queue_length, "
            "queue_begins, evaluate.",
        ),
    ],
)
def test_unknown_keys_are_named_with_a_suggestion(override: str, message: str) -> None:
    assert refusal(override) == message


@pytest.mark.parametrize(
    ("override", "start"),
    [
        (
            "optimizer.rate=fast",
            "settings: optimizer.rate = 'fast': Input should be a valid number",
        ),
        ("optimizer.rate=.nan", "settings: optimizer.rate = nan: Input should be a finite number."),
        ("training.epochs=0", "settings: training.epochs = 0: Input should be greater than"),
        ("training.epochs=2.5", "settings: training.epochs = 2.5: Input should be a valid integer"),
        ("training.batch_size=1", "settings: training.batch_size = 1: Input should be greater"),
        ("momentum.momentum=1.5", "settings: momentum.momentum = 1.5: Input should be less"),
        ("momentum.queue_length=-1", "settings: momentum.queue_length = -1: Input should be"),
        ("model.image.guide_dropout=1", "settings: model.image.guide_dropout = 1: Input should"),
        ("training.precision=16", "settings: training.precision = 16: Input should be '32-true'"),
        ("model.text.cache=perhaps", "settings: model.text.cache = 'perhaps': Input should be a "),
        ("optimizer.decay_epochs=[4, 0]", "settings: optimizer.decay_epochs.1 = 0: Input should"),
        ("training=3", "settings: training = 3: Input should be a valid dictionary"),
        (
            "model.text.trainable_layers=some",
            "settings: model.text.trainable_layers = 'some': Input should be a valid integer, "
            "unable to parse string as an integer, or input should be 'all'.",
        ),
    ],
)
def test_bad_values_are_named(override: str, start: str) -> None:
    assert refusal(override).startswith(start)
    assert "Also bad" not in refusal(override)


def test_several_mistakes_are_all_named() -> None:
    message = refusal("training.epochs=0", "optimizer.rate=-1", "data.pth=x")
    assert message.startswith("settings: unknown key data.pth; did you mean path?")
    assert message.endswith(" Also bad: optimizer.rate, training.epochs.")


def test_settings_that_contradict_each_other() -> None:
    assert refusal("model.text.encoder=bigru", "model.text.trainable_layers=2") == (
        "settings: model.text.trainable_layers is a number of transformer layers; with "
        "model.text.encoder=bigru leave it out, a BiGRU always trains in full."
    )
    fixed = ["model.image.guide_norm_regions=36", "model.image.region_dropout=0.2"]
    assert refusal(*fixed).startswith("settings: model.image.guide_norm_regions fixes the number")
    load_settings(None, [*fixed, "model.image.enhancement=none"])  # without SGE it says nothing
    for layers in ("0", "all"):
        load_settings(None, ["model.text.encoder=bigru", f"model.text.trainable_layers={layers}"])


@pytest.mark.parametrize(
    ("overrides", "notices"),
    [
        (["training.epochs=6", "optimizer.decay_epochs=[3, 5]"], []),
        (["training.epochs=5", "optimizer.decay_epochs=[9]", "optimizer.schedule=cosine"], []),
        (
            ["training.epochs=5", "optimizer.decay_epochs=[3, 5]"],
            [
                "the run ends after 5 epochs, so its rate does not drop after epoch 5 "
                "(optimizer.decay_epochs)."
            ],
        ),
        (
            ["training.epochs=1", "optimizer.decay_epochs=[10, 15]"],
            [
                "the run ends after 1 epoch, so its rate does not drop after epoch 10 and 15 "
                "(optimizer.decay_epochs)."
            ],
        ),
    ],
)
def test_a_run_shorter_than_its_schedule_is_noticed(
    overrides: list[str], notices: list[str]
) -> None:
    assert load_settings(None, overrides).notices == notices


def test_a_file_is_read_and_named_in_errors(tmp_path: Path) -> None:
    file = write(tmp_path, "training: {epochs: 3}\noptimizer:\n  rate: 5e-4\n")
    settings = load_settings(file)
    assert (settings.training.epochs, settings.optimizer.rate) == (3, 5e-4)
    file = write(tmp_path, "training: {epochs: none}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(str(file))
    assert str(caught.value).startswith(f"{file}: training.epochs = 'none': Input should be")


@pytest.mark.parametrize("text", ["training: [1", "a: 2020-13-45", "a: &x [*y]"])
def test_a_file_that_is_no_yaml(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match="not valid YAML") as caught:
        load_settings(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_no_sections(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds list, not sections"):
        load_settings(write(tmp_path, "- training\n"))
    assert load_settings(write(tmp_path, "# nothing yet\n")) == Settings()
    empty = write(tmp_path, "training:\n")
    assert load_settings(empty, ["training.epochs=3"]).training.epochs == 3
    with pytest.raises(ConfigError, match=r"training = None: Input should be a valid dictionary"):
        load_settings(empty)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_settings(file)


def test_neither_a_preset_nor_a_file(tmp_path: Path) -> None:
    for name in ("flickr31k", tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match=r"neither a preset \(.*flickr30k.*\) nor a file"):
            load_settings(name)


@pytest.mark.parametrize("name", [None, *preset_names()])
def test_dump_is_read_back(tmp_path: Path, name: str | None) -> None:
    settings = load_settings(
        name,
        [
            "data.path=/photos/Größe",
            "data.train_split='2017'",
            "optimizer.rate=3e-7",
            "optimizer.decay_epochs=[1, 2]",
            "training.epochs=30",
            "model.text.trainable_layers=all",
            "training.patience=3",
        ],
    )
    text = dump_settings(settings)
    assert load_settings(write(tmp_path, text)) == settings
    assert validate_settings(yaml.safe_load(text), "run") == settings
    assert list(yaml.safe_load(text)) == list(Settings.model_fields)
