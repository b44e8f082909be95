"""The search benchmark end to end, small, with the one other engine that is always installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "search.py"


def test_every_engine_reaches_its_recall_and_is_timed(tmp_path: Path) -> None:
    arguments = ["--sizes", "10000", "--engines", "usearch", "--queries", "30", "--tuning", "30"]
    command = [sys.executable, SCRIPT, *arguments, "--cache", tmp_path, "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = re.compile(r"^(.+?)  +(?:\d+ +)?([01]\.\d{3}) +([\d.]+) +([\d.]+) +([\d.]+) ", re.M)
    recall = {found[1]: float(found[2]) for found in line.finditer(done.stdout)}
    assert recall.keys() == {
        "ours",
        "ours, graph alone",
        "ours, exact",
        "usearch",
    }, done.stdout
    assert recall["ours, exact"] > 0.99  # of vectors as float16 has them
    assert min(recall.values()) > 0.9
    assert "usearch: built in" in done.stdout
