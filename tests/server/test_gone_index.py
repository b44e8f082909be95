"""An index that goes away, or is cut short, under a running server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder
from starlette.testclient import TestClient

from user_itr.search.index import ImageIndex
from user_itr.search.neighbours import snapshot
from user_itr.server import encoding, searching


def test_health_says_that_the_index_is_gone(
    client: TestClient, index: ImageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "CHECK_SECONDS", -1.0)
    assert client.get("/healthz").json() == {"status": "ok"}
    folder = index.location.folder
    assert folder is not None
    away = shutil.move(folder, tmp_path / "away")
    answer = client.get("/healthz")
    assert (answer.status_code, set(answer.json())) == (503, {"error"})
    assert "the index is gone or cannot be read" in answer.json()["error"]
    assert str(tmp_path) not in answer.text  # anybody may ask
    assert "retry-after" not in answer.headers
    shutil.move(away, folder)
    assert client.get("/healthz").status_code == 200


def test_a_busy_server_says_when_to_come_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which tells it from one whose index is gone."""
    monkeypatch.setattr(encoding, "MAX_WAITING", 0)
    answer = client.get("/api/search?q=red")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("copied", [0, 32_000_000])
@pytest.mark.parametrize("size", [0, 64, 1])
def test_files_that_are_cut_short_do_not_end_the_server(
    index: ImageIndex,
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
    copied: int,
    size: int,
) -> None:
    """A process that reads what was cut off a mapped file gets SIGBUS, and there is no more to say:
    this test's process would end."""
    monkeypatch.setattr(snapshot, "COPIED", copied)
    folder = index.location.folder
    assert folder is not None
    opened = ImageIndex.open(folder)
    query = np.eye(len(PALETTE), dtype=np.float32)[0]
    before = [(hit.id, round(hit.score, 3)) for hit in opened.search(query, 8)]
    files = [*folder.rglob("*.npy"), *folder.rglob("*.usearch")]
    assert files
    for file in files:
        os.truncate(file, size)
    after = [(hit.id, round(hit.score, 3)) for hit in opened.search(query, 8)]
    assert after == before
