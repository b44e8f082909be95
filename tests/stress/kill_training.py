"""Training, killed at random: every run ends equal, to the bit, to one that was left alone.

    python tests/stress/kill_training.py --kills 50

The runs write a checkpoint a step, so that kills hit the writing as well as the steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "training"))
from killable_runs import start_run
from tiny_runs import assert_same, write_bert, write_scan_set

from user_itr.model.checkpoint import load_model
from user_itr.training.run_folder import RunFolder
from user_itr.training.state import read_state

MOST_KILLS_OF_A_RUN = 8
EVERY_STEP = "training.checkpoint_minutes=1e-9"


def outcome(run: Path) -> tuple[object, ...]:
    """All that a run ends with: the best checkpoint, its metrics, which files there are."""
    folder = RunFolder(run)
    settings = folder.open()
    best = folder.checkpoints / str(folder.index.best)
    found = {path.relative_to(run) for path in run.rglob("*")}
    return (
        settings,
        folder.index,
        json.loads((best / "config.json").read_text("utf-8")),
        (best / "model.safetensors").read_bytes(),
        {str(name) for name in found if name.parts[0] != "logs"},
    )


def check_valid(run: Path) -> str:
    """What a kill left can be loaded; returns where it hit."""
    if not (run / "run.json").exists():
        return "before the run began"
    folder = RunFolder(run)
    folder.open()
    if folder.index.last is not None:
        read_state(folder.checkpoints / folder.index.last)
    if folder.index.best is not None:
        load_model(run)
    written = names(run)
    if any(name.startswith(".writing-") for name in written):
        return "in the writing of a checkpoint"
    if written - {folder.index.last, folder.index.best}:
        return "between a checkpoint and its name"
    return "in a step, in the evaluation or in the preparation"


def wait_for_checkpoints(run: Path, process: BaseProcess, count: int) -> None:
    """Wait until the process has done something to so many checkpoints, or has ended."""
    for _ in range(count):
        before = names(run)
        while process.exitcode is None and names(run) == before:
            time.sleep(0.001)


def names(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").glob("*")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    hits: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        data, bert = write_scan_set(root / "set"), write_bert(root / "bert")
        kinds = (
            ["optimizer.decay_epochs=[2]", "optimizer.warmup_steps=4"],
            ["optimizer.schedule=cosine", "training.accumulate=2", "training.captions_per_image=2"],
            [f"model.text.encoder={bert}", "model.text.trainable_layers=1"],
        )
        for number, kind in enumerate(kinds):
            process = start_run(whole := root / f"whole-{number}", data, [*kind, EVERY_STEP])
            wait_for_checkpoints(whole, process, 1)
            begun = time.monotonic()
            process.join()
            assert process.exitcode == 0
        step_seconds = (time.monotonic() - begun) / 27
        print(f"{step_seconds:.3f} s a step with its checkpoint", flush=True)
        kills, rounds = 0, 0
        while kills < options.kills:
            number = rounds % len(kinds)
            rounds += 1
            out, whole = root / f"run-{rounds}", root / f"whole-{number}"
            shutil.rmtree(root / "cache", ignore_errors=True)
            for attempt in itertools.count():
                process = start_run(out, data, [*kinds[number], EVERY_STEP])
                may_die = kills < options.kills and attempt < MOST_KILLS_OF_A_RUN
                if may_die:
                    wait_for_checkpoints(out, process, dice.randrange(8))
                process.join(dice.uniform(0, 2 * step_seconds) if may_die else None)
                if process.exitcode is not None:
                    break
                process.kill()
                process.join()
                kills += 1
                hits[check_valid(out)] += 1
            assert process.exitcode == 0
            assert outcome(out) == outcome(whole)
            last = RunFolder(whole).checkpoints / str(outcome(whole)[1].last)
            assert_same(read_state(out / "checkpoints" / last.name), read_state(last))
            shutil.rmtree(out)
            print(f"run {rounds}: {kills} kills so far, equal to the bit", flush=True)
            assert not list((root / "cache").rglob("*.partial"))
    for where, count in hits.most_common():
        print(f"{count:4} {where}")
    print(f"{kills} kills of {rounds} runs: each ended as if left alone")


if __name__ == "__main__":
    main()
