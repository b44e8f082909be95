from __future__ import annotations

from types import SimpleNamespace

import pytest

from user_itr.cli import progress
from user_itr.cli.progress import progress_of


def tell_time(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """Have progress see this clock, and nobody else: a server's thread may be running."""
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))


def test_a_pipe_gets_a_line_every_so_often_and_one_at_the_end(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    tell_time(monkeypatch, clock)
    with progress_of("embedding captions") as advance:
        for done in range(0, 5_000, 500):
            advance(done, 5_000)
            clock[0] += 4
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "embedding captions: 1,500 of 5,000, 125.0/s",
        "embedding captions: 3,000 of 5,000, 125.0/s",
        "embedding captions: 4,500 of 5,000, 125.0/s",
    ]


def test_a_rate_leaves_out_what_was_resumed_and_nothing_says_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    tell_time(monkeypatch, clock)
    with progress_of("extracting features") as advance:
        advance(1_000, None)
        clock[0] += 5
        advance(1_010, None)
    with progress_of("nothing"):
        pass
    assert capfd.readouterr().err == "extracting features: 1,010, 2.0/s\n"
