from __future__ import annotations

import csv
import json
import math
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import yaml
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import CAPTIONS, DEFAULTS, write_scan_set

from user_itr import load
from user_itr.cli.progress import TrainingDisplay
from user_itr.config.loading import load_settings

TABLES = {"table.csv", "summary.csv", "summary.md", "plot.png", "plot.svg"}


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `things`, a set, `tiny.yaml`, and `grid.yaml`: two rows and their ensemble."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_scan_set(tmp_path / "things")
    sections = load_settings(None, [*DEFAULTS, "training.epochs=2"]).model_dump(
        mode="json", exclude_unset=True
    )
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(sections))
    write_grid(tmp_path)
    return tmp_path


def write_grid(folder: Path, sge: dict[str, Any] | None = None) -> None:
    rows = {
        "none": {"label": "None", "set": {"model": {"image": {"enhancement": "none"}}}},
        "sge": {"label": "SGE", "set": sge or {"optimizer": {"rate": 0.02}}},
        "both": {"label": "Both", "members": ["none", "sge"]},
    }
    grid = {
        "description": "What SGE adds.",
        "base": "tiny.yaml",
        "seeds": [0, 1],
        "reference": "none",
        "rows": rows,
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))


WORDS = ("ablate", "grid.yaml", "--data", "things", "--out", "out")


def table(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (folder / "out" / "table.csv").open(newline="") as lines:
        return {(line["row"], line["seed"]): line for line in csv.DictReader(lines)}


def trained(folder: Path) -> dict[Path, int]:
    """Files of checkpoints with their time of change."""
    files = (folder / "out" / "runs").rglob("checkpoints/*/*")
    return {file: file.stat().st_mtime_ns for file in files}


def plain_figures(images: np.ndarray, captions: np.ndarray) -> list[float]:
    """R@1, 5, 10 both ways and their sum, from similarities, slowly."""
    scores = images @ captions.T
    owner = np.arange(len(captions)) // CAPTIONS
    right = owner == np.arange(len(images))[:, None]
    found = []
    for values, positive in ((scores, right), (scores.T, right.T)):
        best = np.where(positive, values, -2).max(axis=1, keepdims=True)
        ranks = 1 + ((values >= best) & ~positive).sum(axis=1)
        found += [100 * float(np.mean(ranks <= k)) for k in (1, 5, 10)]
    return [*found, sum(found)]


def test_a_grid_from_the_first_run_to_the_table(command: Command, workplace: Path) -> None:
    done = command(*WORDS)
    assert done.code == 0, done.err
    assert "0 of 4 runs are done" in done.err
    for number, run in enumerate(["none, seed 0", "sge, seed 0", "none, seed 1", "sge, seed 1"]):
        assert f"run {number + 1} of 4: starting row {run}" in done.err
    assert "epoch 2/2: dev R@1/5/10" in done.err
    assert {path.name for path in (workplace / "out").iterdir()} > TABLES

    lines = table(workplace)
    rows = [(row, seed) for row in ("none", "sge", "both") for seed in "01"]
    assert list(lines) == rows
    dev = np.load(workplace / "things" / "dev_ims.npy")
    texts = (workplace / "things" / "dev_caps.txt").read_text().splitlines()
    embedded: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    for row, seed in rows[:4]:
        model = load(workplace / "out" / "runs" / row / f"seed-{seed}")
        assert model.model.settings.training.seed == int(seed)
        assert lines[row, seed]["best epoch"] == str(model.model.metrics["epoch"])
        count = sum(p.numel() for p in model.encoder.parameters() if p.requires_grad)
        assert int(lines[row, seed]["parameters"]) == count
        embedded[row, seed] = (model.encode_regions(dev), model.encode_text(texts))
        assert figures(lines[row, seed]) == pytest.approx(
            plain_figures(*embedded[row, seed]), abs=1e-3
        )
    for seed in "01":  # an ensemble averages similarities
        none, sge = embedded["none", seed], embedded["sge", seed]
        sides = (np.hstack(pair) / math.sqrt(2) for pair in zip(none, sge, strict=True))
        images, captions = sides
        mean = (none[0] @ none[1].T + sge[0] @ sge[1].T) / 2
        np.testing.assert_allclose(images @ captions.T, mean, atol=1e-6)
        assert figures(lines["both", seed]) == pytest.approx(
            plain_figures(images, captions), abs=1e-3
        )
        assert lines["both", seed]["best epoch"] == ""

    # Again: nothing is trained, the tables are the same, and a table that was lost comes back.
    before = trained(workplace)
    kept = {name: (workplace / "out" / name).read_bytes() for name in TABLES}
    (workplace / "out" / "table.csv").unlink()
    again = command(*WORDS)
    assert again.code == 0, again.err
    assert "4 of 4 runs are done" in again.err
    assert "starting" not in again.err
    assert trained(workplace) == before
    assert {name: (workplace / "out" / name).read_bytes() for name in TABLES} == kept
    assert "Both" in again.out
    assert "reference" in again.out

    # One run lost is one run done again, to the same figures.
    shutil.rmtree(workplace / "out" / "runs" / "sge" / "seed-1")
    assert "3 of 4 runs are done" in command(*WORDS).err
    assert figures(table(workplace)["sge", "1"]) == figures(lines["sge", "1"])
    kept_times = {file: time for file, time in before.items() if "sge/seed-1" not in str(file)}
    assert kept_times.items() <= trained(workplace).items()

    against = command(*WORDS, "--against", "sge")
    assert against.code == 0
    assert "SGE | 2 " in (workplace / "out" / "summary.md").read_text()
    assert "are to SGE," in (workplace / "out" / "summary.md").read_text()


def figures(line: dict[str, str]) -> list[float]:
    keys = [f"{way} R@{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)]
    return [float(line[key]) for key in (*keys, "rsum")]


def test_a_run_is_what_train_gives(command: Command, workplace: Path) -> None:
    """And rows and seeds can be chosen; what is chosen later joins what is there."""
    chosen = command(*WORDS, "--rows", "sge", "--seeds", "5")
    assert chosen.code == 0, chosen.err
    assert list(table(workplace)) == [("sge", "5")]
    words = ("--set", "optimizer.rate=0.02", "--set", "training.seed=5")
    alone = command("train", "--config", "tiny.yaml", "--data", "things", "--out", "run", *words)
    assert alone.code == 0, alone.err
    grid_run, run = load(workplace / "out/runs/sge/seed-5"), load(workplace / "run")
    assert grid_run.model.settings == run.model.settings
    assert grid_run.fingerprint == run.fingerprint

    more = command(*WORDS, "--rows", "both", "--seeds", "0")
    assert more.code == 0, more.err
    assert list(table(workplace)) == [("none", "0"), ("sge", "0"), ("sge", "5"), ("both", "0")]


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, name: str, call: int) -> None:
    """Ctrl-C in the given call of a method of the training display."""
    calls = 0
    method: Callable[..., None] = getattr(TrainingDisplay, name)

    def pressed(display: TrainingDisplay, *words: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            signal.raise_signal(signal.SIGINT)
        method(display, *words)

    monkeypatch.setattr(TrainingDisplay, name, pressed)


@pytest.mark.parametrize(
    ("call", "resumed"),
    [(13, True), (18, False)],  # batches: amid the last epoch, and its last one
)
def test_ctrl_c_and_the_same_command_again(
    command: Command,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
    resumed: bool,
) -> None:
    words = (*WORDS, "--seeds", "0")
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, "step", call)
        stopped = command(*words)
    assert stopped.code == 130
    assert "interrupted in row none, seed 0; it is saved, and the same command" in stopped.err
    assert "Traceback" not in stopped.err
    run = workplace / "out" / "runs" / "none" / "seed-0"
    assert json.loads((run / "run.json").read_text())["last"] is not None
    assert not (run / "dev.npz").exists()

    going = command(*words)
    assert going.code == 0, going.err
    assert "run 1 of 2: going on with row none, seed 0" in going.err
    assert ("resumed at epoch 2" in going.err) == resumed
    assert figures(table(workplace)["none", "0"])[-1] > 0
    whole = command(*words[:-4], "--out", "whole", "--seeds", "0")
    assert whole.code == 0, whole.err
    one, other = (load(workplace / name / "runs/none/seed-0") for name in ("out", "whole"))
    assert one.fingerprint == other.fingerprint


def test_a_row_that_fails_does_not_lose_the_others(command: Command, workplace: Path) -> None:
    write_grid(workplace, sge={"features": {"grid": 2}})  # of six regions
    done = command(*WORDS, "--seeds", "0")
    assert done.code == 1
    assert "Traceback" not in done.err
    lines = table(workplace)
    assert list(lines) == [("none", "0"), ("sge", "0")]
    assert lines["sge", "0"]["status"] == "failed"
    assert "6 regions are no square" in lines["sge", "0"]["note"]
    assert lines["none", "0"]["status"] == "done"
    assert "6 regions are no square" in " ".join(done.out.split())

    write_grid(workplace)  # mended; the failed run left nothing in the way
    assert command(*WORDS, "--seeds", "0").code == 0
    assert {line["status"] for line in table(workplace).values()} == {"done"}


def test_a_run_that_diverges(command: Command, workplace: Path) -> None:
    write_grid(workplace, sge={"optimizer": {"rate": 1e30}})
    done = command(*WORDS, "--seeds", "1", "--rows", "sge,none")
    assert done.code == 1
    lines = table(workplace)
    assert "training diverged" in lines["sge", "1"]["note"]
    assert lines["none", "1"]["status"] == "done"


def test_what_another_process_does_is_passed_over(command: Command, workplace: Path) -> None:
    folder = workplace / "out" / "runs" / "none"
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / "seed-0.lock"):
        done = command(*WORDS, "--seeds", "0")
    assert done.code == 0, done.err
    assert "1 more are being done by another process" in done.err
    assert list(table(workplace)) == [("sge", "0")]


def test_other_settings_or_data_than_a_run_began_with(command: Command, workplace: Path) -> None:
    assert command(*WORDS, "--seeds", "0", "--rows", "sge").code == 0
    before = trained(workplace)
    write_grid(workplace, sge={"optimizer": {"rate": 0.03}})
    sentence = command.mistake(*WORDS)
    assert (
        "row sge, seed 0: began with optimizer.rate = 0.02, and the grid now says 0.03" in sentence
    )
    write_grid(workplace)
    assert "training.epochs = 2" in command.mistake(*WORDS, "--set", "training.epochs=3")
    captions = workplace / "things" / "dev_caps.txt"
    captions.write_text(captions.read_text().replace("a ", "the ", 1))
    assert "was measured on other images or captions" in command.mistake(*WORDS)
    write_scan_set(workplace / "things")
    (workplace / "out/runs/sge/seed-0/dev.npz").write_bytes(b"PK")
    assert "dev.npz: is damaged" in command.mistake(*WORDS)
    assert trained(workplace) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lost.yaml"], "lost.yaml: neither a shipped grid ("),
        (["grid.yaml"], "data.path is not set; give the captioned set with --data"),
        (["grid.yaml", "--data", "nowhere"], "nowhere: no such folder"),
        (["grid.yaml", "--data", "things", "--rows", "sgf"], "--rows: no row 'sgf'; did you mean"),
        (["grid.yaml", "--data", "things", "--against", "x"], "--against: no row 'x'; rows: none"),
        (["grid.yaml", "--data", "things", "--seeds", "0;1"], "--seeds '0;1': give whole numbers"),
        (["grid.yaml", "--data", "things", "--set", "x=1"], "row none: tiny.yaml: unknown key x"),
        (["grid.yaml", "--data", "things", "--set", "training.seed=1"], "give --seeds instead"),
        (
            ["grid.yaml", "--data", "things", "--out", "grid.yaml"],
            "cannot be made (Not a directory",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    command: Command, workplace: Path, words: list[str], sentence: str
) -> None:
    before = sorted(workplace.iterdir())
    code, out, err = command("ablate", *words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("user-itr: ")
    assert sentence in err.splitlines()[-1]
    assert "Traceback" not in err
    assert sorted(workplace.iterdir()) == before


def test_without_matplotlib_nothing_is_trained(
    command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'user-itr[plots]'" in command.mistake(*WORDS)
    assert not (workplace / "out").exists()
