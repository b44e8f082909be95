from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import write_scan_set


@pytest.fixture(scope="session")
def scan_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan_set(tmp_path_factory.mktemp("scan") / "things")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder a test: what one test extracts, no other finds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
