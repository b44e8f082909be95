from __future__ import annotations

import io
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from measured import GRID, RESULTS, grid, measured
from PIL import Image

from user_itr.ablation.comparison import summarise
from user_itr.ablation.plot import draw, require_matplotlib
from user_itr.ablation.runner import Result
from user_itr.errors import MissingExtraError

pytest.importorskip("matplotlib")


def test_equal_input_gives_equal_files_and_they_can_be_read() -> None:
    summaries = summarise(GRID, RESULTS)
    files = draw(GRID, summaries)
    assert files == draw(GRID, summaries)
    with Image.open(io.BytesIO(files["png"])) as image:
        width, height = image.size
        image.load()
    assert 1400 < width < 2000
    assert height < width
    root = ElementTree.fromstring(files["svg"].decode())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert b"<dc:date>" not in files["svg"]
    assert draw(GRID, summaries[:2]) != files


def test_everything_measured_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The artists of the figure, by their coordinates."""
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *words: object, **options: object) -> None:
        drawn.append(figure)
        save(figure, *words, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    summaries = summarise(GRID, RESULTS)
    draw(GRID, summaries)
    left, right = drawn[0].axes
    assert [text.get_text() for text in left.get_yticklabels()] == [s.label for s in summaries]
    dots = {
        (round(x, 6), y)
        for line in left.lines
        for x, y in zip(*(np.asarray(part) for part in line.get_data()), strict=True)
    }
    for row, one in enumerate(summaries):
        assert (round(one.mean["rsum"], 6), row) in dots
        if len(one.measured) > 1:
            for seed in one.measured.values():
                assert (round(seed.figures["rsum"], 6), row + 0.26) in dots
    [reference] = [line for line in left.lines if str(line.get_label()).startswith("reference")]
    assert reference.get_xdata()[0] == summaries[0].mean["rsum"]
    for axes in (left, right):
        start = axes.get_xlim()[0]
        assert axes.get_xlabel().endswith(f"(axis starts at {start:g})")
        assert start == axes.get_xticks()[0]


def test_one_row_of_one_seed_that_finds_nothing() -> None:
    nothing = measured(0, 8)
    nothing.i2t_ranks[:] = nothing.t2i_ranks[:] = 99
    only = grid(base="Base")
    assert set(draw(only, summarise(only, [Result("base", 0, nothing)]))) == {"png", "svg"}


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'user-itr\[plots\]'"):
        require_matplotlib()
