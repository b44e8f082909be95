from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tiny_dual_encoders import FAMILIES, as_transformers_js_has_it, save_dual_encoder

from user_itr import load


class Folders(Mapping[str, Path]):
    """A folder of each family, made when it is asked for: exporting all takes a minute."""

    def __init__(self, make: Callable[[str], Path]) -> None:
        self.make = make
        self.made: dict[str, Path] = {}

    def __getitem__(self, family: str) -> Path:
        if family not in FAMILIES:
            raise KeyError(family)
        if family not in self.made:
            self.made[family] = self.make(family)
        return self.made[family]

    def __iter__(self) -> Iterator[str]:
        return iter(FAMILIES)

    def __len__(self) -> int:
        return len(FAMILIES)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A transformers checkpoint of each family."""
    home = tmp_path_factory.mktemp("checkpoints")
    return Folders(lambda family: save_dual_encoder(family, home / family))


@pytest.fixture(scope="session")
def published(checkpoints: Folders, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The same as ONNX files without weights of PyTorch, as transformers.js has them."""
    base = tmp_path_factory.getbasetemp()

    def make(family: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(base / "home" / "cache"))
            made = load(checkpoints[family])
        folder = base / "published" / family
        folder.mkdir(parents=True)
        for file in checkpoints[family].glob("*.json"):
            shutil.copy(file, folder)
        as_transformers_js_has_it(family, folder)
        shutil.copytree(made.graphs.text.parent, folder / "onnx")
        return folder

    return Folders(make)
