"""`user-itr` in this process, as a shell would see it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from user_itr.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """Runs `user-itr` with some words."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(self, *words: object) -> Outcome:
        self.capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return Outcome(int(end.value.code or 0), *self.capfd.readouterr())

    def mistake(self, *words: object) -> str:
        """A command that must end with code 2 and one sentence."""
        code, out, err = self(*words)
        assert code == 2, err
        assert out == ""
        assert err.startswith("user-itr: ")
        assert err.count("\n") == 1, err
        return err.removeprefix("user-itr: ").rstrip()
