"""The REST interface: each route thin, over `PhotoSearch`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Path, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from user_itr.search.found import PhotoFacts
from user_itr.server.archive import ArchiveAnswer
from user_itr.server.browsing import Browsing
from user_itr.server.limits import MAX_ARCHIVE, MAX_QUERY
from user_itr.server.metrics import Metrics
from user_itr.server.pictures import (
    RENDITION,
    OpenPhoto,
    Pictures,
    Rendition,
    open_photo,
)
from user_itr.server.schemas import (
    FilterFields,
    FolderAnswer,
    Health,
    IndexFacts,
    ListFields,
    NameFields,
    PageFields,
    PhotoDetails,
    Problem,
    QueryPage,
    SearchFields,
    SearchResults,
    SuggestionsAnswer,
    TimelineAnswer,
)
from user_itr.server.searching import PhotoSearch
from user_itr.server.sending import FileAnswer, failed_condition
from user_itr.server.suggesting import Suggestions

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (400, 401, 404, 408, 413, 422, 429, 500, 503)
}
"""What every route may answer besides."""

ID_LIST = "^[0-9a-f]{16}( [0-9a-f]{16})*$"
ID_LIST_MOST = 17 * MAX_ARCHIVE

Id = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="Of an indexed photo.")]


def search_routes(search: PhotoSearch) -> APIRouter:
    """Searching and listing."""
    router = APIRouter(prefix="/api", tags=["search"], responses=PROBLEMS)

    @router.get("/search")
    async def by_words_or_photo(asked: Annotated[SearchFields, Query()]) -> SearchResults:
        """Photos that fit words (`q`), are like an indexed photo (`similar`), or both."""
        return await search.search(asked)

    @router.post("/search")
    async def by_upload(
        photo: Annotated[UploadFile, File(description="A picture, which is not stored.")],
        q: Annotated[str, Form(max_length=MAX_QUERY)] = "",
        after: Annotated[str, Form()] = "",
        before: Annotated[str, Form()] = "",
        folder: Annotated[str, Form()] = "",
        min_width: Annotated[str, Form()] = "",
        min_height: Annotated[str, Form()] = "",
        min_bytes: Annotated[str, Form()] = "",
        max_bytes: Annotated[str, Form()] = "",
        area: Annotated[str, Form()] = "",
        album: Annotated[str, Form()] = "",
        favourites: Annotated[str, Form()] = "",
        hidden: Annotated[str, Form()] = "",
        limit: Annotated[str, Form()] = "",
    ) -> SearchResults:
        """Photos like an uploaded picture; `query` of the answer leads to further pages."""
        given = {
            "after": after,
            "before": before,
            "folder": folder,
            "min_width": min_width,
            "min_height": min_height,
            "min_bytes": min_bytes,
            "max_bytes": max_bytes,
            "area": area,
            "album": album,
            "favourites": favourites,
            "hidden": hidden,
            "limit": limit,
        }
        try:
            page = PageFields.model_validate(given)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
        content = await photo.read()
        return await search.search_upload(content, photo.filename or "", q, page)

    @router.post("/search/page")
    async def next_page(page: QueryPage) -> SearchResults:
        """A further page of a search by an uploaded picture."""
        return await search.search_on(page.query, page)

    @router.get("/index")
    async def about() -> IndexFacts:
        """The index: photos, folders, model."""
        return await search.about()

    return router


def browsing_routes(browsing: Browsing, suggestions: Suggestions) -> APIRouter:
    """All photos, by day."""
    router = APIRouter(prefix="/api", tags=["browsing"], responses=PROBLEMS)

    @router.get("/photos")
    async def newest(page: Annotated[ListFields, Query()]) -> SearchResults:
        """All photos, the latest first; those without a sound date last."""
        return await browsing.page(page)

    @router.get("/timeline")
    async def timeline(page: Annotated[FilterFields, Query()]) -> TimelineAnswer:
        """How many photos were taken on which day, and their shapes in the order of the list."""
        return await browsing.timeline(page)

    @router.get("/names")
    async def named(asked: Annotated[NameFields, Query()]) -> SearchResults:
        """Photos whose file name or folder has all of the words, the latest first."""
        return await browsing.named(asked)

    @router.get("/folders")
    async def folders(
        q: Annotated[str, Query(max_length=MAX_QUERY, description="Words of their names.")] = "",
    ) -> list[FolderAnswer]:
        """Folders with photos in or below them, each before those below it."""
        return await browsing.folders(q)

    @router.get("/suggestions")
    async def suggested(
        q: Annotated[str, Query(max_length=MAX_QUERY, description="What was typed so far.")] = "",
    ) -> SuggestionsAnswer:
        """Folders and sentences of the index that have all of the words, or examples."""
        return await suggestions.offer(q)

    return router


def photo_routes(search: PhotoSearch, pictures: Pictures) -> APIRouter:
    """One photo, by its id."""
    router = APIRouter(prefix="/api/photos", tags=["photos"], responses=PROBLEMS)

    @router.post(
        "/zip", response_class=Response, responses={200: {"content": {"application/zip": {}}}}
    )
    async def archive(
        photos: Annotated[str, Form(pattern=ID_LIST, max_length=ID_LIST_MOST)],
    ) -> Response:
        """Photos as they are, by ids with blanks between them, in one zip file."""
        return ArchiveAnswer(await search.facts_of_many(photos.split(" ")), "photos.zip")

    @router.get("/{id}")
    async def details(id: Id) -> PhotoDetails:
        """Facts of a photo, and sentences that describe it."""
        return await search.details(id)

    @router.get(
        "/{id}/thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    async def thumbnail(
        request: Request, id: Id, size: Literal["160", "320", "640", "1440"] = "320"
    ) -> Response:
        """A JPEG, `size` pixels high at most: 1440 fills most screens."""
        facts, height = await search.facts(id), int(size)
        return rendition(request, await pictures.rendition(facts, height), height)

    @router.get("/{id}/file", response_class=Response)
    async def file(request: Request, id: Id) -> Response:
        """The photo: the file itself where browsers show its format, else a JPEG of it."""
        facts = await search.facts(id)
        photo, kind = await run_in_threadpool(checked, facts)
        if kind is not None:
            return sent(photo, kind, "inline")
        photo.file.close()
        return rendition(request, await pictures.rendition(facts, RENDITION), RENDITION)

    @router.get("/{id}/original", response_class=Response)
    async def original(id: Id) -> Response:
        """The photo as it is, whatever its format, for who saves it."""
        photo, kind = await run_in_threadpool(checked, await search.facts(id))
        return sent(photo, kind or "application/octet-stream", "attachment")

    def sent(photo: OpenPhoto, kind: str, how: Literal["inline", "attachment"]) -> FileAnswer:
        tag, headers = f'"{photo.identity}"', {"Cache-Control": "private, no-cache"}
        name = photo.facts.path.name
        return FileAnswer(photo.file, photo.size, kind, name, tag, photo.modified, headers, how)

    def checked(facts: PhotoFacts) -> tuple[OpenPhoto, str | None]:
        """The open file, which is an image, and its media type where browsers show it."""
        photo = open_photo(facts)
        try:
            return photo, photo.type()
        except BaseException:
            photo.file.close()
            raise

    def rendition(request: Request, found: Rendition, height: int) -> Response:
        tag = f'"{found.identity}-{height}"'
        headers = {"ETag": tag, "Cache-Control": "private, max-age=3600"}
        failed = failed_condition(request.headers, tag)
        if failed is not None:
            return Response(status_code=failed, headers=headers)
        return Response(found.content, media_type="image/jpeg", headers=headers)

    return router


def state_routes(search: PhotoSearch, metrics: Metrics) -> APIRouter:
    """How the server is doing."""
    router = APIRouter(tags=["state"])

    @router.get("/healthz", responses={503: {"model": Problem}})
    async def health() -> Health:
        """Whether the server answers, and can read its index."""
        await search.check()
        return Health()

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counts and times in Prometheus' text format."""
        metrics.photos.set(await run_in_threadpool(len, search.index))
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return router
