"""Compare our figures with those of ranx and pytrec_eval on the files that we export.

    python benchmarks/other_evaluators.py write FOLDER     # with user-itr
    python benchmarks/other_evaluators.py check FOLDER     # with ranx and pytrec_eval, no user-itr

The two steps may run in two environments: ranx brings numba, which asks for a NumPy of its own. The
scores tie in places, where our tie rule decides; runs are written so that every tool sees the same
order. It prints the largest difference, and ends with 1 if it is above 1e-9.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

IMAGES, CAPTIONS, DEPTH = 500, 2_500, 100


def write(folder: Path) -> None:
    from user_itr.cli import main

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    owner = np.sort(random.integers(0, IMAGES, size=CAPTIONS))
    images = random.normal(size=(IMAGES, 24))
    captions = images[owner] + 1.1 * random.normal(size=(CAPTIONS, 24))
    sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, captions)]
    np.save(folder / "scores.npy", (sides[0] @ sides[1].T).round(2))  # ties everywhere
    np.save(folder / "owner.npy", owner)
    words = ["evaluate", folder / "scores.npy", "--caption-image", folder / "owner.npy"]
    words += ["--k", "1,5,10,50", "--precision", "--resamples", "0", "--depth", str(DEPTH)]
    words += ["--trec", folder / "trec", "--json", folder / "ours.json"]
    main(list(map(str, words)))


def read(file: Path, column: int, value: int, kind: type) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for line in file.read_text().splitlines():
        cells = line.split()
        found[cells[0]][cells[column]] = kind(cells[value])
    return dict(found)


def check(folder: Path) -> float:
    import pytrec_eval
    import ranx

    ours = json.loads((folder / "ours.json").read_text())
    worst = 0.0
    for way in ("i2t", "t2i"):
        run = read(folder / "trec" / f"{way}.run", 2, 4, float)
        qrels = read(folder / "trec" / f"{way}.qrels", 2, 3, int)
        names = {f"R@{k}": f"hit_rate@{k}" for k in (1, 5, 10, 50)}
        values = {**ours["metrics"][way], **ours["protocols"]["precision"][way]}
        found = ranx.evaluate(
            ranx.Qrels(qrels), ranx.Run(run), [*names.values(), "ndcg@10", "r-precision"]
        )
        pairs = [("ranx", one, values[one], 100 * found[name]) for one, name in names.items()]
        pairs.append(("ranx", "nDCG@10", values["nDCG@10"], 100 * found["ndcg@10"]))
        pairs.append(("ranx", "R-Precision", values["R-Precision"], 100 * found["r-precision"]))
        asked = {"success.1,5,10", "ndcg_cut.10", "Rprec"}
        queries = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(run).values()
        for one, name in (
            ("R@1", "success_1"),
            ("R@5", "success_5"),
            ("R@10", "success_10"),
            ("nDCG@10", "ndcg_cut_10"),
            ("R-Precision", "Rprec"),
        ):
            mean = 100 * float(np.mean([query[name] for query in queries]))
            pairs.append(("pytrec_eval", one, values[one], mean))
        for tool, name, one, other in pairs:
            worst = max(worst, abs(one - other))
            print(f"{way} {name:12s} ours {one:.10f}  {tool} {other:.10f}")
    print(f"largest difference: {worst:.1e}")
    return worst


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "check"):
        sys.exit(__doc__)
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    else:
        sys.exit(check(Path(sys.argv[2])) > 1e-9)
