from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_runs import write_scan_set


@pytest.fixture(scope="session")
def scan_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan_set(tmp_path_factory.mktemp("scan") / "things")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, and one thread: such small products gain nothing from two."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
