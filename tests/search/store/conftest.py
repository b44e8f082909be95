"""Every store that user-itr has, empty, behind the one interface."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from kinds import Kind
from s3_server import VARIABLES, s3_server

from user_itr.search.location import location_of
from user_itr.search.store.base import PhotoStore

KINDS = ["sqlite", "lance in a folder", "lance in a bucket"]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    for needed in ("obstore", "moto"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    with s3_server("stores") as address:
        yield address


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    if request.param != "sqlite":
        pytest.importorskip("lancedb", reason="the extra `s3` is not installed")
    if request.param != "lance in a bucket":
        return Kind(request.param, location_of(tmp_path / "index"))
    address = request.getfixturevalue("endpoint")
    for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": address}.items():
        monkeypatch.setenv(name, value)
    return Kind(request.param, location_of(f"s3://stores/{uuid.uuid4().hex}/index"))


@pytest.fixture
def store(kind: Kind) -> PhotoStore:
    return kind.open(create=True)
