"""The server as an ASGI application."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import platformdirs
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from user_itr import __version__
from user_itr.errors import ConfigError, DataError, IndexStoreError, UserItrError
from user_itr.search.albums import NoSuchAlbumError
from user_itr.search.encoder import Encoder
from user_itr.search.index import ImageIndex
from user_itr.server.albums import album_routes
from user_itr.server.browsing import Browsing
from user_itr.server.decoding import Decoders
from user_itr.server.encoding import BusyError
from user_itr.server.guard import LOOPBACK_HOSTS, Guard
from user_itr.server.limits import THUMBNAIL_MEMORY, THUMBNAIL_SECONDS, THUMBNAILS, Limits
from user_itr.server.logs import LogLevel
from user_itr.server.metrics import Metrics
from user_itr.server.origins import networks_of
from user_itr.server.pictures import GoneError, Pictures
from user_itr.server.places import place_routes
from user_itr.server.routes import browsing_routes, photo_routes, search_routes, state_routes
from user_itr.server.searching import NotThereError, PhotoSearch
from user_itr.server.suggesting import Suggestions

SOURCES = (("query",), ("body",), ("path",))
"""Where a field is from, which the place of an error begins with."""

ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""A sub-path."""

STATIC = Path(__file__).parent / "static"


class _Static(StaticFiles):
    """Static files that a browser asks about again, so that an upgrade is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(
    index: ImageIndex,
    encoder: Encoder,
    *,
    token: str | None = None,
    hosts: Sequence[str] | None = LOOPBACK_HOSTS,
    limits: Limits | None = None,
    cache: Path | None = None,
    log: LogLevel = "errors",
    proxies: Sequence[str] = (),
    root: str = "",
) -> FastAPI:
    """The page and the REST interface over an index.

    Args:
        index: of the photos; what is indexed while the server runs is found as well.
        encoder: the model that made it.
        token: that requests must bear; None lets everybody in.
        hosts: names the server goes by; None takes any.
        limits: on requests.
        cache: folder for thumbnails, the user's cache folder by default.
        log: what the logger `user_itr.server` is told of requests; see `LogLevel`.
        proxies: addresses and networks of proxies, whose X-Forwarded-For, -Proto and -Host count;
            those of nobody else do.
        root: sub-path that the page is below, as in /photos, where a proxy has one.

    Raises:
        ConfigError: if `proxies` or `root` are no such thing.
        IndexStoreError: if another model made the index.
    """
    limits = limits or Limits()
    trusted = networks_of(proxies)
    root = root.rstrip("/")
    if root and not ROOT.fullmatch(root):
        raise ConfigError(f"--root-path {root!r}: give a path such as /photos.")
    search = PhotoSearch(index, encoder, limits)
    cache = cache or platformdirs.user_cache_path("user-itr", appauthor=False) / "thumbnails"
    decoders = Decoders(THUMBNAILS, THUMBNAIL_SECONDS, THUMBNAIL_MEMORY)
    pictures = Pictures(cache, limits.cache_bytes, decoders)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        search.close()
        pictures.close()
        decoders.close()

    app = FastAPI(
        title="user-itr",
        version=__version__,
        summary="Search an index of photos by words and by pictures.",
        docs_url=None,  # both load their scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(search_routes(search))
    app.include_router(browsing_routes(Browsing(index), Suggestions(index, encoder)))
    app.include_router(album_routes(index))
    app.include_router(photo_routes(search, pictures))
    app.include_router(place_routes(index))
    app.include_router(state_routes(search, metrics))
    app.mount("/static", _Static(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        await run_in_threadpool(decoders.prepare)  # its thumbnails are asked for next
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    app.add_exception_handler(UserItrError, _mistake)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(
        Guard,
        token=token,
        hosts=hosts,
        limits=limits,
        metrics=metrics,
        log=log,
        proxies=trusted,
        root=root,
    )
    return app


async def _mistake(_: Request, error: Exception) -> JSONResponse:
    status = 400
    if isinstance(error, NotThereError | GoneError | NoSuchAlbumError):
        status = 404
    elif isinstance(error, BusyError | IndexStoreError):
        status = 503
    elif isinstance(error, DataError):
        status = 422
    # Who finds the server busy may come again; an index that is gone needs somebody.
    headers = {"Retry-After": "5"} if isinstance(error, BusyError) else None
    return JSONResponse({"error": str(error)}, status, headers)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = first["loc"][1:] if first["loc"][:1] in SOURCES else first["loc"]
    field = ".".join(str(part) for part in place)
    return JSONResponse({"error": f"{field or 'the request'}: {first['msg']}."}, 422)
