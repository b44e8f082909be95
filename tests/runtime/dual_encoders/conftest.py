from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_dual_encoders import FAMILIES, as_transformers_js_has_it, save_dual_encoder

from user_itr import load


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A transformers checkpoint of each family."""
    home = tmp_path_factory.mktemp("checkpoints")
    return {family: save_dual_encoder(family, home / family) for family in FAMILIES}


@pytest.fixture(scope="session")
def published(
    checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The same as ONNX files without weights of PyTorch, as transformers.js has them."""
    folders = {}
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "home" / "cache"))
        for family, checkpoint in checkpoints.items():
            made = load(checkpoint)
            folder = base / "published" / family
            folder.mkdir(parents=True)
            for file in checkpoint.glob("*.json"):
                shutil.copy(file, folder)
            as_transformers_js_has_it(family, folder)
            shutil.copytree(made.graphs.text.parent, folder / "onnx")
            folders[family] = folder
    return folders
