"""Models of the Hugging Face hub that lie on this machine: where, and which revision of them.

They are in the hub's own cache, so that what transformers or `hf download` fetched is found too:

CACHE/models--OWNER--NAME/refs/REVISION         the commit that a branch or tag stood for
CACHE/models--OWNER--NAME/snapshots/COMMIT/...  the files of a commit, links to
CACHE/models--OWNER--NAME/blobs/HASH            their contents, by SHA-256 or Git's SHA-1

Nothing here uses the network, or imports the hub's library.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from user_itr.hub.records import read_records

MAIN = "main"
"""The revision that the hub takes where none is named."""

COMMIT = re.compile("[0-9a-f]{40}")

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(
    rf"(?P<repository>{_PART}/{_PART}?)(?:@(?P<revision>{_PART}))?"
    rf"(?:/(?P<file>(?:{_PART}/)?{_PART}\.(?:onnx|safetensors)))?"
)

_FILES = (".bin", ".json", ".npy", ".npz", ".onnx", ".parquet", ".pt", ".safetensors")
"""Ends of a file's name, which a path has, and no model of the hub."""


@dataclass(frozen=True)
class HubName:
    """The name of a model on the hub: OWNER/NAME[@REVISION][/FILE].

    Args:
        repository: OWNER/NAME.
        revision: a branch, a tag or a commit; None for the one that was fetched.
        file: one of its files, which chooses among ONNX files and weights.
    """

    repository: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repository}{revision}{f'/{self.file}' if self.file else ''}"

    def at(self, revision: str | None) -> HubName:
        """The same model at a revision."""
        return replace(self, revision=revision)


def hub_name(text: str) -> HubName | None:
    """The name that a text is; None if it cannot be one."""
    found = _NAME.fullmatch(text)
    if found is None or ".." in text or "--" in found["repository"]:
        return None
    if found["repository"].endswith(_FILES):
        return None
    return HubName(found["repository"], found["revision"], found["file"])


def cache_folder() -> Path:
    """The hub's cache: HF_HUB_CACHE, or `hub` in HF_HOME, or `huggingface/hub` in the user's."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(variable):
            return _expanded(given)
    home = os.environ.get("HF_HOME")
    if not home:
        home = f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return _expanded(home) / "hub"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def repository_folder(repository: str) -> Path:
    """Where the cache keeps a model."""
    return cache_folder() / f"models--{repository.replace('/', '--')}"


def fetched_commit(name: HubName) -> str | None:
    """The commit on this machine that a name means; None if there is none."""
    folder = repository_folder(name.repository)
    revision = name.revision
    if revision is None:
        recorded = read_records().get(name.repository)
        revision = MAIN if recorded is None else recorded.commit
    if COMMIT.fullmatch(revision):
        commit = revision
    else:
        try:
            commit = (folder / "refs" / revision).read_text("ascii").strip()
        except (OSError, ValueError):
            return None
    there = COMMIT.fullmatch(commit) and (folder / "snapshots" / commit).is_dir()
    return commit if there else None


def snapshot_path(name: HubName, commit: str) -> Path:
    """The folder of a commit on this machine, or the file in it that a name chooses."""
    folder = repository_folder(name.repository) / "snapshots" / commit
    return folder / name.file if name.file else folder


def folder_title(folder: Path) -> str:
    """What people call a model's folder: its name, or that of the hub for one in the cache."""
    snapshots = folder.parent
    repository = snapshots.parent.name
    if snapshots.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/")
    return folder.resolve().name
