"""The interface is what its OpenAPI description says: requests made of it, answers held to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint

from user_itr.search.index import ImageIndex
from user_itr.search.sentences import SentenceStore
from user_itr.server.app import create_app
from user_itr.server.limits import Limits

schemathesis = pytest.importorskip("schemathesis", reason="it needs Python 3.11")
general = pytest.importorskip("schemathesis.checks")
openapi = pytest.importorskip("schemathesis.specs.openapi.checks")

CHECKS = [
    general.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("described")
    for colour in PALETTE:
        paint(home / "photos" / f"{colour}.png", colour)
    encoder = ColourEncoder()
    index = ImageIndex.create_or_open(home / "index", encoder, "model")
    index.update(home / "photos", encoder)
    SentenceStore(index).replace(["something red"], encoder)
    limits = Limits(requests_burst=10**9, upload_bytes=100_000)
    app = create_app(index, encoder, hosts=None, limits=limits, cache=home / "cache")
    return schemathesis.openapi.from_asgi("/openapi.json", app)


MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
ROUTES = [
    ("/api/search", "GET"),
    ("/api/search", "POST"),
    ("/api/search/page", "POST"),
    ("/api/photos", "GET"),
    ("/api/timeline", "GET"),
    ("/api/names", "GET"),
    ("/api/folders", "GET"),
    ("/api/suggestions", "GET"),
    ("/api/index", "GET"),
    ("/api/places", "GET"),
    ("/api/albums", "GET"),
    ("/api/albums", "POST"),
    ("/api/albums/{album}", "PATCH"),
    ("/api/albums/{album}", "DELETE"),
    ("/api/albums/{album}/photos", "POST"),
    ("/api/photos/marks", "POST"),
    ("/api/photos/zip", "POST"),
    ("/api/photos/{id}", "GET"),
    ("/api/photos/{id}/thumbnail", "GET"),
    ("/api/photos/{id}/file", "GET"),
    ("/api/photos/{id}/original", "GET"),
    ("/healthz", "GET"),
    ("/metrics", "GET"),
]

TAKES_NOTHING = [(path, "GET") for path in ("/api/albums", "/api/index", "/healthz", "/metrics")]


def test_every_route_is_tried(described: Any) -> None:
    operations = [found.ok() for found in described.get_all_operations()]
    assert {(one.path, one.method.upper()) for one in operations} == set(ROUTES)


@pytest.mark.parametrize("mode", MODES, ids=["sound", "bad"])
@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_every_answer_is_a_described_one(described: Any, path: str, method: str, mode: Any) -> None:
    operation = described[path][method]
    if mode is MODES[1] and (path, method) in TAKES_NOTHING:
        return  # they take nothing that could be bad

    @settings(
        max_examples=25,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call()
        case.validate_response(response, checks=CHECKS)
        assert response.headers["x-content-type-options"] == ["nosniff"]

    ask()
