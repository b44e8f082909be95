"""`user-itr serve`: a page and a REST interface over an index of photos."""

from __future__ import annotations

import ipaddress
import logging
import socket
import webbrowser
from typing import TYPE_CHECKING, cast

import typer

from user_itr.cli.index import INDEX_HELP, default_index, find_model, load_encoder
from user_itr.cli.printing import printable
from user_itr.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from fastapi import FastAPI

TOKEN_VARIABLE = "USER_ITR_TOKEN"  # nosec B105 # its name, not the token


def serve_command(
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    host: str = typer.Option(
        "127.0.0.1", "--host", help="Address to listen at; any but this machine needs a token."
    ),
    port: int = typer.Option(8765, "--port", min=0, max=65535, help="0 takes a free one."),
    token: str | None = typer.Option(
        None, "--token", envvar=TOKEN_VARIABLE, help="That requests must bear."
    ),
    open_page: bool = typer.Option(False, "--open", help="Open the page in a browser."),
    log: str = typer.Option(
        "errors",
        "--log",
        help="What is written of requests: errors; requests, a line each; queries, with their "
        "words, too.",
    ),
    trust_proxy: list[str] = typer.Option(
        [],
        "--trust-proxy",
        metavar="CIDR",
        help="Address or network of a proxy, whose X-Forwarded-For, -Proto and -Host count; "
        "nobody else's do. Repeat it for several.",
    ),
    root_path: str = typer.Option(
        "", "--root-path", help="Sub-path of a proxy that the page is below, such as /photos."
    ),
    model: str | None = typer.Option(
        None, "--model", help="Where the index's checkpoint is now, if it moved."
    ),
) -> None:
    """Serve an index as a web page and a REST interface, until Ctrl-C.

    Exit code: 0 ended, 2 a mistake.
    """
    try:
        import uvicorn

        from user_itr.server.app import create_app
        from user_itr.server.connections import bounded_protocol
        from user_itr.server.following import FollowingApp
        from user_itr.server.guard import LOOPBACK_HOSTS
        from user_itr.server.limits import MAX_CONNECTIONS
        from user_itr.server.logs import LEVELS, LOGGER, LogLevel
        from user_itr.server.origins import networks_of
    except ImportError as error:
        raise MissingExtraError(
            f"serving needs more packages ({error.name}); run `pip install user-itr[app]`."
        ) from None
    from user_itr.search.index import ImageIndex

    local = _is_loopback(host)
    if not local and not token:
        raise ConfigError(
            f"--host {host} lets other machines in; give --token SECRET (or {TOKEN_VARIABLE}), or "
            "stay at 127.0.0.1."
        )
    if token is not None and not (token.isascii() and token.isalnum() and len(token) >= 8):
        raise ConfigError("the token needs at least 8 letters and digits, and nothing else.")
    if log not in LEVELS:
        raise ConfigError(f"--log {log!r}: use {', '.join(LEVELS[:-1])} or {LEVELS[-1]}.")
    proxies = networks_of(trust_proxy)
    opened = ImageIndex.open(index or default_index())

    def make(given: str | None = None) -> tuple[FastAPI, str]:
        current = ImageIndex.open(opened.location)
        encoder = load_encoder(find_model(given, current.location))
        app = create_app(
            current,
            encoder,
            token=token,
            hosts=LOOPBACK_HOSTS if local else None,
            log=cast("LogLevel", log),
            proxies=trust_proxy,
            root=root_path,
        )
        return app, encoder.fingerprint

    app, fingerprint = make(model)
    following = FollowingApp(opened.location, fingerprint, app, make)
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOGGER.addHandler(lines)
    LOGGER.setLevel(logging.INFO)
    listening = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listening.getsockname()[1]}/"

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Start, and tell of it once Ctrl-C is uvicorn's."""
            await super().startup(sockets)
            typer.echo(f"{len(opened):,} photos at {address}  (Ctrl-C ends it)")
            typer.echo(f"model: {printable(opened.manifest.description)}")
            if token is not None:
                typer.echo(f"the first visit needs the token: {address}?token=...")
            if open_page:
                webbrowser.open(address if token is None else f"{address}?token={token}")

    config = uvicorn.Config(
        following,
        http=bounded_protocol(proxies),
        proxy_headers=False,  # the guard has its own, which trusts nobody unasked
        log_level="warning",
        access_log=False,  # its lines have the query string, and with it the words and the token
        server_header=False,
        ws="none",
        timeout_keep_alive=10,
        timeout_graceful_shutdown=5,
        limit_concurrency=MAX_CONNECTIONS,
    )
    try:
        Announced(config).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises it again once it has ended
        pass
    finally:
        listening.close()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen at {host} port {port} ({reason}); choose another --port, or "
            "an address of this machine."
        ) from None
    return listening
