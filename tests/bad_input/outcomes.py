"""What a bad input must come to: one clear sentence, the right exit code, and nothing changed.

A table of cases is a list of `Case`; `check` runs one. A case names how its input is made below a
folder, the words of the command line, and what must be said.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from user_itr.cli import main
from user_itr.errors import UserItrError

OK, MISTAKE = 0, 2


@dataclass(frozen=True)
class Case:
    """One bad input on the command line.

    Args:
        name: of the test.
        make: writes the input below an empty folder.
        words: of the command, in which "{}" stands for that folder.
        says: what the output must contain; line ends count as blanks.
        code: exit code.
    """

    name: str
    make: Callable[[Path], object]
    words: tuple[str, ...]
    says: str
    code: int = MISTAKE


class Said(NamedTuple):
    code: int
    out: str
    err: str


def table(cases: list[Case]) -> pytest.MarkDecorator:
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize("case", cases, ids=names)


def run(words: list[str], capfd: pytest.CaptureFixture[str]) -> Said:
    """`user-itr` in this process, as a shell would see it."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        main(words)
    return Said(int(end.value.code or 0), *capfd.readouterr())


def check(
    case: Case,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run a case; assert its outcome, and that nothing below the folder is another than before."""
    case.make(folder)
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    said = run([word.replace("{}", str(folder)) for word in case.words], capfd)
    assert said.code == case.code, said
    assert "Traceback" not in said.out + said.err
    if said.code == MISTAKE and not said.out:
        is_sentence(said.err)
    assert case.says in " ".join((said.out + said.err).split()), said
    if said.code != OK:
        assert snapshot(folder) == before


def is_sentence(text: str) -> None:
    """One line of ours, or what the parser of the command line says about an argument."""
    if text.startswith("Usage: "):
        assert "\nError: " in text, text
        return
    assert text.startswith("user-itr: "), text
    assert text.count("\n") == 1, text
    assert len(text) < 2_000, text[:2_000]
    assert text.endswith((".\n", "?\n")), text
    assert "\x1b" not in text


def refused(kind: type[UserItrError], says: str, call: Callable[[], object]) -> None:
    """A call of Python that must end in an error of ours with one sentence."""
    with pytest.raises(UserItrError) as caught:
        call()
    assert isinstance(caught.value, kind), repr(caught.value)
    message = str(caught.value)
    assert says in message, message
    assert message.endswith((".", "?")), message
    assert "\n" not in message, message


def snapshot(folder: Path) -> dict[str, object]:
    """Everything below a folder: contents of files, targets of links, kinds of all else.

    SQLite's shared memory and an empty log are left out: who reads makes them.
    """
    found: dict[str, object] = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            status = path.lstat()
            if name.endswith(".db-shm") or (name.endswith(".db-wal") and not status.st_size):
                continue
            if stat.S_ISLNK(status.st_mode):
                found[str(path)] = path.readlink()
            elif stat.S_ISREG(status.st_mode):
                found[str(path)] = (status.st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
            else:
                found[str(path)] = status.st_mode
    return found
