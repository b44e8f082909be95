"""What must not be in our source: calls that run what a file or a person says.

`bandit` (in `make lint`) looks for more, and this test needs nothing but Python.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "user_itr"

FORBIDDEN_IMPORTS = {
    "cloudpickle",
    "commands",
    "ctypes",
    "dill",
    "jsonpickle",
    "marshal",
    "pickle",
    "pty",
    "shelve",
    "subprocess",
    "telnetlib",
    "xml",
}
FORBIDDEN_CALLS = {
    "compile",
    "eval",
    "exec",
    "__import__",
    "input",
    "os.popen",
    "os.system",
    "tempfile.mktemp",
    "yaml.full_load",
    "yaml.unsafe_load",
}

NETWORK = {"http", "httpx", "requests", "socket", "urllib", "aiohttp", "ftplib", "smtplib"}
ALLOWED_NETWORK = {
    ("cli/serve.py", "socket"),  # to listen
    ("bulk/ray_engine.py", "socket"),  # to see whether a cluster that was named answers
    ("training/launching.py", "socket"),  # to find a free port
    ("search/store/schema.py", "urllib"),  # to quote a file's name
    ("server/guard.py", "urllib"),  # to take addresses apart
    ("server/logs.py", "urllib"),
    ("server/origins.py", "urllib"),
    ("server/sending.py", "urllib"),
    ("server/tokens.py", "urllib"),
}

ALLOWED_IMPORTS = {
    ("data/xmp.py", "xml"),  # expat alone, which ends at the first entity that is declared
    ("server/decoding.py", "subprocess"),  # starts this Python, to decode
    ("server/decoder.py", "pickle"),  # of what the server, which started it, tells it to do
    ("server/uploads.py", "pickle"),  # writes that, and reads none
    ("training/launching.py", "subprocess"),  # starts its own command again, once a device
}


def files() -> list[Path]:
    found = sorted(SOURCE.rglob("*.py"))
    assert len(found) > 100
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0]


def calls(tree: ast.Module) -> Iterator[tuple[str, dict[str, ast.expr], ast.Call]]:
    """Each call by its dotted name, with its named arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            named = {word.arg: word.value for word in node.keywords if word.arg}
            yield ast.unparse(node.func), named, node


def is_constant(value: ast.expr | None, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


def faults(path: str, text: str) -> list[str]:
    """What a file has that it must not have."""
    tree = ast.parse(text)
    found = [
        f"imports {name}"
        for name in imported(tree)
        if (name in FORBIDDEN_IMPORTS and (path, name) not in ALLOWED_IMPORTS)
        or (name in NETWORK and (path, name) not in ALLOWED_NETWORK)
    ]
    for name, named, node in calls(tree):
        where = f"line {node.lineno}: {name}"
        if name in FORBIDDEN_CALLS or is_constant(named.get("shell"), True):
            found.append(where)
        if name == "torch.load" and not is_constant(named.get("weights_only"), True):
            found.append(f"{where} unpickles")
        if name in ("np.load", "numpy.load") and not is_constant(named.get("allow_pickle"), False):
            found.append(f"{where} may unpickle")
        if name == "yaml.load" and ast.unparse(node.args[1]) != "_Loader":
            found.append(f"{where} makes objects")
        if is_constant(named.get("trust_remote_code"), True):
            found.append(f"{where} runs code of a repository")
        weights = name.endswith(".from_pretrained") and "Model" in name
        if weights and not is_constant(named.get("use_safetensors"), True):
            found.append(f"{where} may unpickle weights")
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_runs_what_it_reads(path: Path) -> None:
    assert faults(path.relative_to(SOURCE).as_posix(), path.read_text("utf-8")) == []


def test_onnxruntime_is_imported_where_its_telemetry_is_turned_off() -> None:
    importers = [path for path in files() if "onnxruntime" in imported(ast.parse(path.read_text()))]
    assert [path.relative_to(SOURCE).as_posix() for path in importers] == ["runtime/sessions.py"]
    text = importers[0].read_text("utf-8")
    assert text.index('os.environ["ORT_DISABLE_TELEMETRY"] = "1"') < text.index(
        "import onnxruntime"
    )


def test_the_hub_s_library_is_imported_where_its_telemetry_is_turned_off() -> None:
    library = "huggingface_hub"
    importers = [path for path in files() if library in imported(ast.parse(path.read_text()))]
    assert [path.relative_to(SOURCE).as_posix() for path in importers] == ["hub/client.py"]
    text = importers[0].read_text("utf-8")
    off = 'os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"'
    assert text.index(off) < text.index(f"import {library}")


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import subprocess",
        "import requests",
        "from urllib.request import urlopen",
        "eval(x)",
        "os.system(x)",
        "run(x, shell=True)",
        "torch.load(x)",
        "torch.load(x, map_location='cpu', weights_only=False)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "yaml.load(x, yaml.Loader)",
        "AutoModel.from_pretrained(x)",
        "AutoConfig.from_pretrained(x, trust_remote_code=True)",
    ],
)
def test_each_of_them_would_be_seen(text: str) -> None:
    assert len(faults("some/file.py", text)) == 1


def test_the_page_has_no_script_in_its_html_and_makes_none_of_text() -> None:
    static = SOURCE / "server" / "static"
    page = (static / "index.html").read_text("utf-8")
    assert "<script>" not in page
    assert re.search(r"\son\w+\s*=|javascript:|style\s*=", page) is None
    scripts = sorted(static.glob("*.js"))
    assert len(scripts) > 10
    for script in scripts:
        text = script.read_text("utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            'setAttribute("style',
            ".cssText",
            'localStorage.setItem("token',
            "document.cookie",
        ):
            assert word not in text, (script.name, word)
