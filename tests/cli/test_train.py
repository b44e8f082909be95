from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import DEFAULTS, write_bert, write_picture_set, write_scan_set

from user_itr import load
from user_itr.config.loading import load_settings
from user_itr.training.run_folder import RunFolder


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with `things`, a set, and `tiny.yaml`, settings of two epochs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_scan_set(tmp_path / "things")
    sections = load_settings(None, [*DEFAULTS, "training.epochs=2"]).model_dump(
        mode="json", exclude_unset=True
    )
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(sections))
    return tmp_path


def test_train_evaluate_resume(command: Command, workplace: Path) -> None:
    done = command("train", "--config", "tiny.yaml", "--data", "things", "--out", "runs/one")
    assert done.code == 0, done.err
    assert done.out.startswith("trained 2 epochs in 0.")
    assert "epoch 1/2: dev R@1/5/10 image-to-text" in done.err
    run = workplace / "runs" / "one"
    settings = RunFolder(run).open()
    assert settings.data.path == workplace / "things"
    assert settings.training.epochs == 2
    best = load(run).model.metrics["rsum"]
    assert f"best dev rsum {best:.1f} in runs/one/checkpoints/epoch-00" in done.out
    names = {path.name for path in run.iterdir()}
    assert names == {"checkpoints", "config.yaml", "logs", "run.json", "run.lock"}

    again = command("train", "--resume", run)
    assert again.code == 0
    assert again.out.replace(f"{workplace}/", "") == done.out
    assert again.err == ""  # it was over

    # From another folder, with nothing but the run: the set's place is remembered.
    result = workplace / "results" / "dev.json"
    evaluated = command("evaluate", run, "--split", "dev", "--k", "1,5,10", "--json", result)
    assert evaluated.code == 0, evaluated.err
    assert f"rsum {best:.1f}" in evaluated.out
    assert json.loads(result.read_text())["metrics"]["rsum"] == pytest.approx(best)


def test_a_run_goes_on_where_its_set_has_moved(command: Command, workplace: Path) -> None:
    done = command("train", "--config", "tiny.yaml", "--data", "things", "--out", "run")
    assert done.code == 0, done.err
    config = workplace / "run" / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 2", "epochs: 3"))
    (workplace / "things").rename(workplace / "moved")
    sentence = command.mistake("train", "--resume", "run")
    assert "the run's captioned set is not there; if it has moved, add --data PATH" in sentence
    write_scan_set(workplace / "other", train=13)
    before = (workplace / "run" / "run.json").read_text()
    sentence = command.mistake("train", "--resume", "run", "--data", "other")
    assert "captions of the train split are not those that run began with" in sentence
    assert (workplace / "run" / "run.json").read_text() == before
    done = command("train", "--resume", "run", "--data", "moved")
    assert done.code == 0, done.err
    assert done.out.startswith("trained 3 epochs")
    evaluated = command("evaluate", "run", "--data", "moved", "--split", "dev", "--k", "1")
    assert evaluated.code == 0, evaluated.err


def test_the_default_set_and_settings_can_be_overridden(command: Command, workplace: Path) -> None:
    done = command(
        *("train", "--config", "tiny.yaml", "--data", "things", "--out", "run"),
        *("--set", "training.epochs=1", "--set", "training.accumulate=3"),
        *("--set", "model.image.enhancement=none", "--set", "training.precision=bf16-mixed"),
    )
    assert done.code == 0, done.err
    settings = RunFolder(workplace / "run").open()
    assert settings.training.accumulate == 3
    assert settings.model.image.enhancement == "none"
    assert load(workplace / "run").model.settings == settings
    assert load(workplace / "run").encoder.image.guide is None


def test_a_short_run_and_a_folder_named_like_a_hub_model_are_noticed(
    command: Command, workplace: Path
) -> None:
    write_bert(workplace / "bert-base-uncased")
    words = ("train", "--config", "tiny.yaml", "--data", "things")
    changed = (
        "training.epochs=1",
        "optimizer.decay_epochs=[10]",
        "model.text.encoder=bert-base-uncased",
        "model.text.trainable_layers=1",
    )
    done = command(*words, "--out", "run", *(w for one in changed for w in ("--set", one)))
    assert done.code == 0, done.err
    printed = " ".join(done.err.split())
    assert "the run ends after 1 epoch, so its rate does not drop after epoch 10" in printed
    assert f"bert-base-uncased is the folder {workplace / 'bert-base-uncased'}" in printed
    again = command("train", "--resume", "run")
    assert again.code == 0, again.err
    assert "is the folder" not in again.err


def test_photographs_from_file_to_evaluation(command: Command, workplace: Path) -> None:
    write_picture_set(workplace / "pictures")
    (workplace / "images.yaml").write_text(
        "features: {grid: 2, width: 8}\n"
        "model: {embedding: 16, text: {encoder: bigru, gru_width: 16, min_word_count: 1}}\n"
        "training: {epochs: 2, batch_size: 4, captions_per_image: 2}\n"
    )
    words = ("train", "--config", "images.yaml", "--data", "pictures", "--out", "run")
    done = command(*words, "--features", "store")
    assert done.code == 0, done.err
    assert "extracting features" in done.err
    assert (workplace / "store" / "manifest.json").is_file()
    assert RunFolder(workplace / "run").open().features.store == workplace / "store"

    # The store holds train and dev; the test split gets one of its own in the cache.
    evaluated = command("evaluate", "run", "--split", "test")
    assert evaluated.code == 0, evaluated.err
    assert "extracting features" in evaluated.err
    assert "pictures, test" in evaluated.out
    assert "extracting" not in command("evaluate", "run", "--split", "dev").err

    indexed = command("index", "pictures/images", "--model", "run", "--index", "index")
    assert indexed.code == 0, indexed.err
    found = command("search", "red over blue", "--index", "index", "--json")
    assert len(json.loads(found.out)["results"]) == 10


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give --preset NAME or --config FILE (or --resume RUN)."),
        (["--preset", "flickr9k"], "flickr9k: neither a preset (coco, demo, flickr30k"),
        (["--config", "lost.yaml"], "lost.yaml: neither a preset"),
        (["--preset", "demo", "--config", "tiny.yaml"], "exclude each other"),
        (["--config", "tiny.yaml"], "data.path is not set; give the captioned set with --data"),
        (["--config", "tiny.yaml", "--data", "nowhere"], "nowhere: no such folder"),
        (["--preset", "demo", "--data", "things", "--set", "epochs=3"], "unknown key epochs"),
        (
            ["--preset", "demo", "--data", "things", "--set", "training.epoch=3"],
            "unknown key training.epoch; did you mean epochs?",
        ),
        (
            ["--config", "tiny.yaml", "--data", "things", "--set", "training.epochs=none"],
            "training.epochs = 'none'",
        ),
        (["--config", "tiny.yaml", "--data", "things", "--set", "x"], "--set 'x': write it as"),
        (
            ["--config", "tiny.yaml", "--data", "things", "--set", "training.accelerator=tpu"],
            "training.accelerator = 'tpu': cannot be used",
        ),
        (
            ["--config", "tiny.yaml", "--data", "things", "--set", "model.text.encoder=./bert"],
            "model.text.encoder: ",
        ),
        (["--preset", "demo", "--data", "things"], "features.grid: 6 regions are no square"),
        (["--resume", "nowhere"], "nowhere: is no run (run.json: No such file or directory)"),
        (["--resume", "things"], "things: is no run"),
        (["--resume", "things", "--preset", "demo"], "--resume takes its settings from the run"),
        (
            ["--resume", "things", "--set", "training.devices=2", "--set", "optimizer.rate=1"],
            "and --set of anything but training.devices, training.nodes, training.accelerator.",
        ),
        (
            ["--config", "tiny.yaml", "--data", "things", "--set", "training.devices=0"],
            "training.devices = 0: ",
        ),
        (
            ["--config", "tiny.yaml", "--data", "things", "--set", "training.nodes=2"],
            "training.nodes = 2: NODE_RANK is not set; give each machine NODE_RANK (0 to 1)",
        ),
        (["--config", "tiny.yaml", "--data", "things", "--out", "things"], "things: is not empty"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    command: Command, workplace: Path, words: list[str], sentence: str
) -> None:
    before = sorted(workplace.iterdir())
    assert sentence in command.mistake("train", *words)
    assert [path for path in sorted(workplace.iterdir()) if path.name != "cache"] == before


def test_unknown_options_and_help(command: Command) -> None:
    unknown = command("train", "--presett", "demo")
    assert unknown.code == 2
    assert "No such option: --presett" in unknown.err
    assert "Traceback" not in unknown.err
    shown = command("train", "--help")
    assert shown.code == 0
    for option in ("--preset", "--config", "--data", "--features", "--out", "--set", "--resume"):
        assert option in shown.out
