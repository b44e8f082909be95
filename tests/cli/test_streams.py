"""Standard streams in real processes: full, closed, and with nobody at their other end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from user_itr.cli.streams import ReaderGone

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs a POSIX shell and /dev/full")

COMMAND = f'"{sys.executable}" -m user_itr'


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--version", "--help", "index --help", "data check --help"])
@pytest.mark.parametrize(("where", "reason"), [(">/dev/full", "No space left"), (">&-", "closed")])
def test_output_that_cannot_be_written(
    words: str, where: str, reason: str, unbuffered: str
) -> None:
    ended = shell(f"{COMMAND} {words} {where}", PYTHONUNBUFFERED=unbuffered)
    assert ended.returncode == 2
    assert ended.stderr.startswith("user-itr: standard output: cannot be written (")
    assert reason in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_ended(unbuffered: str) -> None:
    ended = shell(f"{COMMAND} --help | true", PYTHONUNBUFFERED=unbuffered)
    assert (ended.returncode, ended.stderr) == (ReaderGone.exit_code, "")


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2>&- <&-"])
def test_errors_that_cannot_be_said(where: str) -> None:
    ended = shell(f"{COMMAND} --version {where}")
    assert (ended.returncode, ended.stdout[:8]) == (0, "user-itr")
    ended = shell(f"{COMMAND} no-such-command {where}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert shell(f"{COMMAND} --version >&- {where}").returncode == 2


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """What a library prints past Python must not land in a file that was opened meanwhile."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "from user_itr.cli.streams import standard_streams\n"
        "with standard_streams(), open(sys.argv[1], 'w') as file:\n"
        "    file.write('mine')\n"
        "    file.flush()\n"
        "    for number in (1, 2):\n"
        "        os.write(number, b'not mine')\n"
    )
    ended = shell(f'"{sys.executable}" "{program}" "{tmp_path}/file" <&- >&- 2>&-')
    assert ended.returncode == 0
    assert (tmp_path / "file").read_text() == "mine"
