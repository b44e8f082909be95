"""A real server on a socket: connections that are held, and heads that do not come."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from colour_encoder import ColourEncoder

from user_itr.search.index import ImageIndex
from user_itr.server.app import create_app
from user_itr.server.connections import bounded_protocol
from user_itr.server.origins import networks_of

ASK = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MOST = 5


@contextlib.contextmanager
def running(app: object, **options: object) -> Iterator[int]:
    """The port of a server."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(100)
    protocol = bounded_protocol(**options)  # type: ignore[arg-type]
    config = uvicorn.Config(
        app,
        http=protocol,
        proxy_headers=False,
        log_level="error",
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def app(index: ImageIndex, encoder: ColourEncoder, tmp_path: Path) -> object:
    return create_app(index, encoder, cache=tmp_path / "cache")


def connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.settimeout(60)
    return made


def answer(connection: socket.socket) -> bytes:
    """What comes, up to the end of the JSON; less where the connection was closed."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while not found.endswith(b"}") and (more := connection.recv(1_000)):
            found += more
    return found


def test_a_client_has_so_many_connections(app: object) -> None:
    with running(app, most=MOST) as port, contextlib.ExitStack() as held:
        for _ in range(MOST):
            one = held.enter_context(connect(port))
            one.sendall(ASK)
            assert answer(one).startswith(b"HTTP/1.1 200")
        with connect(port) as more:
            with contextlib.suppress(ConnectionError):
                more.sendall(ASK)
            assert answer(more) == b""
        one.close()
        for _ in range(1_000):  # until the server has noticed
            with connect(port) as again:
                with contextlib.suppress(ConnectionError):
                    again.sendall(ASK)
                if answer(again).startswith(b"HTTP/1.1 200"):
                    return
        raise AssertionError("a connection that was closed still counts")


def test_a_trusted_proxy_has_as_many_as_it_needs(app: object) -> None:
    proxies = networks_of(["127.0.0.1"])
    with running(app, most=MOST, proxies=proxies) as port, contextlib.ExitStack() as held:
        for _ in range(3 * MOST):
            one = held.enter_context(connect(port))
            one.sendall(ASK)
            assert answer(one).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("start", [b"", ASK[:30]])
@pytest.mark.parametrize("before", [b"", ASK])
def test_a_head_that_does_not_come(app: object, before: bytes, start: bytes) -> None:
    if before and not start:
        pytest.skip("between two requests uvicorn's own limit counts")
    with running(app, head_seconds=0.3) as port, connect(port) as one:
        if before:
            one.sendall(before)
            assert answer(one).startswith(b"HTTP/1.1 200")
        one.sendall(start)
        assert answer(one) == b""  # closed


def test_a_slow_answer_is_waited_for(app: object) -> None:
    with running(app, head_seconds=0.2) as port, connect(port) as one:
        for _ in range(3):
            one.sendall(ASK)
            assert answer(one).startswith(b"HTTP/1.1 200")
