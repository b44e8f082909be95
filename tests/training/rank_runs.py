"""Runs on several ranks. As a script: `rank_runs.py FOLDER`, with what `write_plan` put there.

All processes are forked from one, which imports torch once, and talk over gloo as those do that
`user-itr train` starts.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_runs import Recorder, silent, tiny_settings

from user_itr.config.loading import load_settings
from user_itr.model.checkpoint import load_model
from user_itr.training.fabric import create_fabric
from user_itr.training.interruption import Interrupted
from user_itr.training.launching import rank_environments
from user_itr.training.preparation import Preparation, prepare_in_turn
from user_itr.training.ranks import Ranks
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

STEPS = 13
"""Batches of a run: more than an epoch of ten to eleven."""

COMMON = (
    "model.image.guide_dropout=0",
    "model.text.mask_probability=0.3",
    "training.batch_size=7",
    "training.accelerator=cpu",
    "optimizer.rate=0.001",
)
"""Nothing but dropout is left out; a last batch of 2 images of 72, shares of 4 and 3."""

NOISE = ("guide.local.bias", "guide.mean.bias", "guide.common.bias", "projection.hidden.bias")
"""Constants that BatchNorm or a softmax takes away again: their gradient is nothing but rounding,
which Adam blows up to full steps."""

GATHERED: dict[str, tuple[str, ...]] = {
    "uto": ("model.image.region_dropout=0.5", "training.captions_per_image=2"),
    "temperature": (
        "objective.kind=infonce",
        "objective.learned_temperature=true",
        "training.accumulate=3",
        "model.text.pooling=mean",
    ),
    "triplet": (
        "objective.kind=triplet",
        "objective.queue_weight=0",
        "model.image.guide_norm_regions=6",
    ),
    "published": (
        "momentum.policy=published",
        "momentum.queue_begins=random",
        "model.image.guide_init=xavier",
        "model.image.region_dropout=0.5",
        "objective.mask_siblings=false",
        "objective.mask_equal_captions=true",
        "training.order=pairs",
    ),
}
SHORT_FLOATS: dict[str, tuple[str, ...]] = {
    "bfloat16": ("training.precision=bf16-mixed",),
    "float16": ("training.precision=16-mixed",),
}
LOCAL: dict[str, tuple[str, ...]] = {
    "local": ("training.gather_negatives=false", "training.captions_per_image=2"),
    "local temperature": (
        "training.gather_negatives=false",
        "objective.kind=infonce",
        "objective.learned_temperature=true",
    ),
}


Plan = tuple[int, str, list[str], str | None]
"""A run to do: ranks, captioned set and settings, or the run to resume."""


def write_plan(folder: Path, runs: dict[str, Plan]) -> None:
    (folder / "plan.json").write_text(json.dumps(runs))


def freeze_noise(prepared: Preparation) -> None:
    for name, parameter in prepared.model.encoder.image.named_parameters():
        if name in NOISE:
            parameter.requires_grad_(False)


def result_of(folder: Path, name: str, rank: int) -> Path:
    return folder / f"{name}-{rank}.safetensors"


def run(
    ranks: Ranks, folder: Path, name: str, data: str, overrides: list[str], resume: str | None
) -> None:
    """One run on all ranks; the last one alone presses Ctrl-C. Every rank leaves what it has."""
    run_folder = RunFolder(Path(resume) if resume else folder / name)
    settings = tiny_settings(Path(data), *overrides)
    model = last = None
    if resume:
        settings = run_folder.open()
        last = run_folder.last_state()
        assert last is not None
        model = load_model(last[0])
    elif ranks.first:
        run_folder.create(settings)
    prepared = prepare_in_turn(ranks, settings, silent, model)
    freeze_noise(prepared)
    recorder = Recorder(STEPS if ranks.index == ranks.count - 1 else None)
    trainer = Trainer(settings, prepared, run_folder, recorder, ranks=ranks)
    if last is not None:
        torch.manual_seed(99 + ranks.index)
        trainer.restore(last[1])
    with pytest.raises(Interrupted, match=r"--resume"):
        trainer.fit()
    tensors = {n: t.contiguous().clone() for n, t in trainer.step.state_dict().items()}
    tensors["losses"] = torch.tensor(recorder.losses, dtype=torch.float64)
    tensors["rsums"] = torch.tensor([m.rsum for m in recorder.metrics], dtype=torch.float64)
    place = trainer.place
    tensors["place"] = torch.tensor(
        [place.epoch, place.batch, place.optimizer_steps, place.since_best, place.seconds],
        dtype=torch.float64,
    )
    save_file(tensors, result_of(folder, name, ranks.index))


def rank_main(folder: Path, plan: dict[str, Plan]) -> None:
    torch.set_num_threads(1)
    settings = load_settings(None, ["training.accelerator=cpu"])
    ranks = Ranks(create_fabric(settings.training, []))
    for name, (_, data, overrides, resume) in plan.items():
        run(ranks, folder, name, data, overrides, resume)
    ranks.leave()


def fork(work: Callable[[], None], environment: dict[str, str]) -> int:
    child = os.fork()
    if child == 0:
        try:
            os.environ.update(environment)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def main(folder: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    for count in sorted({count for count, *_ in plan.values()}):
        part = {name: values for name, values in plan.items() if values[0] == count}
        children = [
            fork(lambda part=part: rank_main(folder, part), environment)  # type: ignore[misc]
            for environment in rank_environments(count)
        ]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        if any(codes):
            sys.exit(f"{count} ranks ended with {codes}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
