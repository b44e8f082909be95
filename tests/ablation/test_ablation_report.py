from __future__ import annotations

import csv
from pathlib import Path

import pytest
from measured import GRID, RESULTS
from rich.console import Console

from user_itr.ablation.comparison import summarise
from user_itr.ablation.measurement import METRICS
from user_itr.ablation.report import write_report
from user_itr.errors import ConfigError


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_files_hold_what_was_measured(tmp_path: Path) -> None:
    write_report(tmp_path, GRID, RESULTS)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"table.csv", "summary.csv", "summary.md", "plot.png", "plot.svg"}

    table = read(tmp_path / "table.csv")
    assert [(line["row"], line["seed"], line["status"]) for line in table] == [
        ("base", "0", "done"),
        ("base", "1", "done"),
        ("new", "0", "done"),
        ("new", "1", "failed"),
        ("odd", "5", "done"),
    ]
    assert table[3]["note"] == "training diverged; lower the rate."
    assert table[3]["rsum"] == ""
    for line, result in zip(table, RESULTS, strict=True):
        if result.measurement is not None:
            for key, value in result.measurement.figures.items():
                assert float(line[key]) == pytest.approx(value, abs=1e-4)
    assert (table[0]["best epoch"], table[0]["minutes"], table[0]["parameters"]) == (
        *("3", "1.50", "1000"),
    )

    lines = {(line["row"], line["metric"]): line for line in read(tmp_path / "summary.csv")}
    assert len(lines) == 3 * len(METRICS)
    for one in summarise(GRID, RESULTS):
        for key in METRICS:
            line = lines[one.name, key]
            assert line["label"] == one.label
            assert float(line["mean"]) == pytest.approx(one.mean[key], abs=1e-4)
            if one.difference is None:
                assert line["difference"] == line["p"] == ""
            else:
                found = one.difference[key]
                assert float(line["difference"]) == pytest.approx(found.value, abs=1e-4)
                assert float(line["low"]) == pytest.approx(found.low, abs=1e-4)
                assert float(line["p"]) == pytest.approx(found.p_value, rel=1e-3)
    assert lines["new", "rsum"]["deviation"] == ""


def test_markdown_can_be_pasted(tmp_path: Path) -> None:
    write_report(tmp_path, GRID, RESULTS)
    text = (tmp_path / "summary.md").read_text("utf-8")
    base, new, odd = summarise(GRID, RESULTS)
    assert text.startswith("What helps.\n\n| ")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {13}
    assert f"| Base \\| line | 2 | {base.mean['i2t R@1']:.1f} ± " in text
    assert "| reference |  |" in text
    assert new.difference is not None
    rsum = new.difference["rsum"]
    assert f"| {rsum.value:+.1f} [{rsum.low:+.1f}, {rsum.high:+.1f}] | " in text
    assert f"| Other seed | 1 | {odd.mean['i2t R@1']:.1f} | " in text
    assert "Failed: new, seed 1: training diverged; lower the rate." in text


def test_the_table_fits_a_terminal_and_takes_no_markup_from_labels(tmp_path: Path) -> None:
    console = Console(width=80, record=True)
    console.print(write_report(tmp_path, GRID, RESULTS))
    text = console.export_text()
    assert "[new]" in text
    assert "reference" in text
    assert "new, seed 1: training diverged" in text
    assert max(map(len, text.splitlines())) <= 80
    for one in summarise(GRID, RESULTS):
        assert " ".join(f"{one.mean[f't2i R@{k}']:.1f}" for k in (1, 5, 10)) in text


def test_a_report_before_the_first_result_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    write_report(tmp_path, GRID, RESULTS[3:4])
    assert not (tmp_path / "plot.png").exists()
    assert len(read(tmp_path / "table.csv")) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"table\.csv: cannot be written"):
        write_report(tmp_path / "file", GRID, RESULTS)
