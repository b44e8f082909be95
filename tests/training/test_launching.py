"""A run's processes as a shell starts them: watched, stopped, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_runs import DEFAULTS

from user_itr.cli import main
from user_itr.errors import ConfigError, UserItrError
from user_itr.training import launching
from user_itr.training.interruption import Interrupted
from user_itr.training.launching import LostContact, RankFailed, rank_environments, world
from user_itr.training.run_folder import RunFolder

Processes = list[subprocess.Popen[bytes]]

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); " + SLEEP


@pytest.fixture
def processes() -> Iterator[Processes]:
    started: Processes = []
    yield started
    for one in started:
        if one.poll() is None:
            one.kill()
            one.wait()


def ranks_of(launcher: int) -> dict[int, int]:
    """Rank to process id of what a launcher started."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == launcher:
                variables = (folder / "environ").read_bytes().split(b"\0")
                rank = next(v for v in variables if v.startswith(b"RANK="))
                found[int(rank.removeprefix(b"RANK="))] = int(folder.name)
        except (OSError, ValueError, IndexError, StopIteration):
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
def test_ctrl_c_then_a_killed_rank(scan_set: Path, tmp_path: Path, processes: Processes) -> None:
    out = tmp_path / "run"
    folder = RunFolder(out)

    def train_until(checkpoint: str, *words: object) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "user_itr", "train", *map(str, words)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        processes.append(child)
        deadline = time.monotonic() + 120
        while (folder.index.last or "") < checkpoint:
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
            if (out / "run.json").exists():
                folder.open()
        return child

    two = ("--set", "training.devices=2", "--set", "training.accelerator=cpu")
    config = tmp_path / "empty.yaml"
    config.write_text("")
    settings = [*DEFAULTS, "training.epochs=60", "training.checkpoint_minutes=1e-9"]
    more = [word for override in settings for word in ("--set", override)]
    stopped = train_until(
        "epoch-000-batch-000003",
        *("--config", config, "--data", scan_set, "--out", out, *more, *two),
    )
    ranks = ranks_of(stopped.pid)
    assert sorted(ranks) == [0, 1]
    stopped.send_signal(signal.SIGINT)
    printed = b"".join(stopped.communicate(timeout=60)).decode()
    assert stopped.returncode == 130, printed
    assert "Traceback" not in printed
    assert printed.count("user-itr: interrupted in epoch ") == 1
    assert f"continue with `user-itr train --resume {out}`" in printed
    assert len(list((out / "logs" / "csv").iterdir())) == 1

    folder.open()
    assert folder.index.last is not None
    later = f"{folder.index.last}~"  # any name after it in order
    killed = train_until(later, "--resume", out, *two)
    ranks = ranks_of(killed.pid)
    os.kill(ranks[1], signal.SIGKILL)
    started = time.monotonic()
    printed = b"".join(killed.communicate(timeout=60)).decode()
    assert time.monotonic() - started < 30
    assert killed.returncode == 1, printed
    assert (
        "user-itr: rank 1 of 2 was killed by SIGKILL (by hand, or for want of memory), so the "
        f"others were stopped; continue with `user-itr train --resume {out}`.\n"
    ) in printed
    assert "Traceback" not in printed
    assert not Path(f"/proc/{ranks[0]}").exists()
    folder.open()  # it went on until it was killed
    last = folder.last_state()
    assert last is not None
    assert last[1]["place"]["optimizer_steps"] > 3


def test_who_is_to_blame_and_the_end_of_the_rest(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "SETTLE_SECONDS", 0.5)
    monkeypatch.setattr(launching, "TERM_SECONDS", 0.5)
    lost = f"import sys; sys.exit({LostContact.exit_code})"
    for code in (SLEEP, lost, DEAF, "import sys; sys.exit(2)", SLEEP):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processes.append(process)
    assert processes[2].stdout is not None
    processes[2].stdout.readline()  # it is deaf by now
    for early in (1, 3):
        processes[early].wait()
    assert launching._wait(processes) == 3
    processes[4].kill()
    processes[4].wait()
    assert launching._wait(processes) == 4
    launching._end(processes)
    codes = [process.returncode for process in processes]
    assert codes == [-signal.SIGTERM, 75, -signal.SIGKILL, 2, -signal.SIGKILL]


def test_a_rank_does_not_outlive_the_process_that_started_it(
    tmp_path: Path, processes: Processes
) -> None:
    code = f"from user_itr.training.launching import follow_parent; follow_parent(); {SLEEP}"
    rank = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, launching.REPORTS: str(tmp_path)},
        stdin=subprocess.PIPE,
    )
    processes.append(rank)
    assert rank.stdin is not None
    rank.stdin.close()  # as when its other end is killed
    assert rank.wait(timeout=30) == LostContact.exit_code


def test_all_well(processes: Processes) -> None:
    processes += [subprocess.Popen([sys.executable, "-c", "pass"]) for _ in range(2)]
    assert launching._wait(processes) is None


def test_a_rank_reports_its_mistake_instead_of_printing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(launching.REPORTS, str(tmp_path))
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as end:
        main(["train"])
    assert end.value.code == 2
    assert capsys.readouterr().err == ""
    found = json.loads((tmp_path / "rank-1.json").read_text())
    assert found == {"error": "give --preset NAME or --config FILE (or --resume RUN)."}
    assert launching._read_report(tmp_path, 0) == {}
    with pytest.raises(UserItrError, match="give --preset") as raised:
        launching._raise(1, 2, 2, launching._read_report(tmp_path, 1), tmp_path)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("code", "found", "sentence"),
    [
        (-signal.SIGSEGV, {}, "rank 1 of 4 was killed by SIGSEGV, so .*; start it again"),
        (1, {}, r"rank 1 of 4 ended with exit code 1, see above, so"),
        (LostContact.exit_code, {"error": "x"}, "rank 1 of 4 lost contact with a rank on another"),
    ],
)
def test_sentences(code: int, found: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(RankFailed, match=sentence) as raised:
        launching._raise(1, 4, code, found, tmp_path)
    assert raised.value.exit_code == 1
    with pytest.raises(KeyboardInterrupt):
        launching._raise(1, 4, 130, {}, tmp_path)
    with pytest.raises(Interrupted, match="saved"):
        launching._raise(1, 4, 130, {"error": "saved"}, tmp_path)


def test_environments_are_those_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = rank_environments(2, 1, {"HOME": "/h", "OMP_NUM_THREADS": "3"})
    assert (first["RANK"], second["RANK"]) == ("0", "1")
    assert first["MASTER_PORT"] == second["MASTER_PORT"]
    assert first["OMP_NUM_THREADS"] == "3"
    assert first["HOME"] == "/h"
    assert int(rank_environments(1000, 1, {})[0]["OMP_NUM_THREADS"]) == 1

    there = {"NODE_RANK": "1", "MASTER_ADDR": "ten.local", "MASTER_PORT": "29500"}
    ranks = rank_environments(3, 2, there)
    assert [r["RANK"] for r in ranks] == ["3", "4", "5"]
    assert [r["LOCAL_RANK"] for r in ranks] == ["0", "1", "2"]
    wanted = {"WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3", "GROUP_RANK": "1"}
    assert all(r.items() >= {**wanted, "MASTER_ADDR": "ten.local"}.items() for r in ranks)

    assert world() == (1, 1)
    for name, value in ranks[0].items():
        monkeypatch.setenv(name, value)
    assert world() == (3, 2)

    for missing in there:
        partly = {name: value for name, value in there.items() if name != missing}
        with pytest.raises(ConfigError, match=rf"training\.nodes = 2: {missing} is not set"):
            rank_environments(3, 2, partly)
    for bad in ("2", "one"):
        with pytest.raises(ConfigError, match=f"NODE_RANK is '{bad}'; give a number from 0 to 1"):
            rank_environments(3, 2, {**there, "NODE_RANK": bad})
