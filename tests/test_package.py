from __future__ import annotations

import importlib.metadata
import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import user_itr
import user_itr.cli
from user_itr.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
COMMAND = Path(sysconfig.get_path("scripts"), "user-itr")
HEAVY = {
    "torch",
    "numpy",
    "onnxruntime",
    "tokenizers",
    "lancedb",
    "pyarrow",
    "transformers",
    "lightning",
    "pydantic",
    "scipy",
    "matplotlib",
}


def test_version_is_the_same_everywhere():
    assert importlib.metadata.version("user-itr") == user_itr.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == user_itr.__version__
    assert f"## [{user_itr.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--help"], "Usage: user-itr [OPTIONS] COMMAND [ARGS]..."),
        (["--version"], f"user-itr {user_itr.__version__}\n"),
    ],
)
def test_command_answers_without_heavy_imports(arguments, printed):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed in done.stdout
    imported = set(re.findall(r"\| +([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert "user_itr.cli" in imported
    assert imported & HEAVY == set()
    commands = {name for name in imported if name.startswith("user_itr.cli.")}
    assert commands == {f"user_itr.cli.{name}" for name in ("commands", "printing", "streams")}


def test_every_command_has_a_line_of_help_that_fits():
    group = typer.main.get_command(user_itr.cli.app)
    done = subprocess.run(
        [COMMAND, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    modules = {path.stem for path in Path(user_itr.cli.__file__).parent.glob("*.py")}
    assert {entry.module for entry in COMMANDS.values()} <= modules
    for name, entry in COMMANDS.items():
        assert group.get_command(None, name).name == name
        assert f"  {name}" in done.stdout
        assert f" {entry.help}\n" in done.stdout


def test_help_answers_in_under_half_a_second_of_processor_time():
    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([COMMAND, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_import_of_the_package_is_light():
    code = "import sys, user_itr, user_itr.errors; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & (HEAVY | {"typer"}) == set()


def test_constraints_pin_every_direct_dependency():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            (version,) = pin.specifier
            assert pin.url is None, line
            assert version.operator == "==", line
            assert "+" not in version.version, line
            pins[canonicalize_name(pin.name)] = version.version
    assert pins["torch"] == "2.13.0"
    assert "user-itr" not in pins

    required = [Requirement(line) for line in importlib.metadata.requires("user-itr")]
    tested = [
        one
        for one in required
        if one.name != "user-itr"
        and (one.marker is None or any(one.marker.evaluate({"extra": e}) for e in EXTRAS))
    ]
    assert len(tested) > 20
    for one in tested:
        assert one.specifier.contains(pins[canonicalize_name(one.name)]), str(one)


EXTRAS = ("", "app", "bulk", "demo", "dev", "eccv", "plots", "s3", "train")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_installs_when_its_inputs_change(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "src/user_itr/__init__.py"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
        os.utime(target, (1000, 1000))

    environment = {
        name: value
        for name, value in os.environ.items()
        if name
        not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "VENV", "FLICKR8K", "TRAIN"}
    }

    def plan(*arguments):
        done = subprocess.run(
            ["make", "-n", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        steps = {
            "venv": "-m venv .venv",
            "install": 'install -c constraints.txt -e ".[dev]"',
            "core": "install -c constraints.txt -e .\n",
        }
        return [name for name, text in steps.items() if text in done.stdout], done.stdout

    steps, output = plan("test")
    assert steps == ["venv", "install"]
    assert output.rstrip().endswith(".venv/bin/python -m pytest --cov -n 2 --dist loadfile")
    assert plan("demo")[0] == ["venv", "core"]
    assert plan("demo", "TRAIN=1")[0] == ["venv", "install"]
    python, stamp = tmp_path / ".venv/bin/python", tmp_path / ".venv/.installed"
    core = tmp_path / ".venv/.installed-core"
    python.parent.mkdir(parents=True)
    python.touch()
    assert plan("test")[0] == ["install"]  # an installation that was interrupted
    stamp.touch()
    core.touch()
    assert plan("lint")[0] == []
    for changed in ("pyproject.toml", "constraints.txt"):
        os.utime(stamp, (2000, 2000))
        os.utime(core, (2000, 2000))
        os.utime(tmp_path / changed, (3000, 3000))
        assert plan("test")[0] == ["install"]
        assert plan("demo")[0] == ["core"]
        os.utime(tmp_path / changed, (1000, 1000))
        assert plan("test")[0] == plan("demo")[0] == []
    steps, output = plan("demo", "VENV=/elsewhere", "FLICKR8K=/photos of dogs")
    assert steps == []
    assert '/elsewhere/bin/user-itr demo --out demo --flickr8k "/photos of dogs"' in output
    assert "LD_PRELOAD" not in plan("test", "JEMALLOC=")[1]
    assert 'LD_PRELOAD="/my/lib.so' in plan("test", "JEMALLOC=/my/lib.so")[1]
