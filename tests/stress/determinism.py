"""Where equal results end: the same run again, with other numbers of threads, in other precisions.

    python tests/stress/determinism.py --epochs 2

Each run has a process of its own. Printed is how far its parameters are from those of the first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import forked
import torch

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import start, tiny_settings, write_bert, write_scan_set

from user_itr.training.run_folder import RunFolder
from user_itr.training.state import read_state

SETTINGS = (
    "model.embedding=256",
    "model.text.gru_width=128",
    "momentum.queue_length=512",
    "training.batch_size=64",
    "optimizer.rate=1e-3",
)
RUNS = (
    ("32-true", "bigru", 1),
    ("32-true", "bigru", 1),
    ("32-true", "bigru", 2),
    ("32-true", "bert", 1),
    ("32-true", "bert", 1),
    ("32-true", "bert", 2),
    ("32-true", "bert", 2),
    ("bf16-mixed", "bert", 1),
    ("bf16-mixed", "bert", 1),
    ("bf16-mixed", "bert", 2),
)


def once(root: Path, out: Path, precision: str, text: str, threads: int, epochs: int) -> None:
    torch.set_num_threads(threads)
    words = [f"training.precision={precision}", f"training.epochs={epochs}"]
    if text == "bert":
        words += [f"model.text.encoder={root / 'bert'}", "model.text.trainable_layers=all"]
    start(tiny_settings(root / "set", *SETTINGS, *words), out).fit()


def last(run: Path) -> tuple[dict[str, torch.Tensor], float]:
    folder = RunFolder(run)
    folder.open()
    state = read_state(folder.checkpoints / str(folder.index.last))
    return state["step"], state["place"]["history"][-1]["rsum"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    print(
        f"{'precision':>10} {'text':>5} {'threads':>8} {'equal':>6} {'difference':>11} {'rsum':>7}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_scan_set(root / "set", train=320, dev=60)
        write_bert(root / "bert", layers=2, width=128)
        first: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
        for number, (precision, text, threads) in enumerate(RUNS):
            out = root / f"run-{number}"
            process = forked.start(
                once, root, out, precision, text, threads, options.epochs, cache=root / "cache"
            )
            process.join()
            assert process.exitcode == 0
            found, rsum = last(out)
            wanted = first.setdefault((precision, text), found)
            equal = all(torch.equal(found[name], wanted[name]) for name in wanted)
            farthest = max(
                float((found[name] - wanted[name]).abs().max())
                for name in wanted
                if wanted[name].is_floating_point()
            )
            print(
                f"{precision:>10} {text:>5} {threads:8} {'yes' if equal else 'no':>6} "
                f"{farthest:11.1e} {rsum:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
