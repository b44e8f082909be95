"""The REST interface to albums, favourites and hidden photos."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool

from user_itr.search.albums import Albums
from user_itr.search.index import ImageIndex
from user_itr.server.album_schemas import (
    AlbumChange,
    AlbumFacts,
    AlbumPhotos,
    Changed,
    Collections,
    MarksChange,
    NewAlbum,
)
from user_itr.server.routes import PROBLEMS

AlbumId = Annotated[int, Path(ge=1, lt=2**63, description="Of an album.")]


def album_routes(index: ImageIndex) -> APIRouter:
    """Listing and changing what people add to photos."""
    router = APIRouter(prefix="/api", tags=["albums"], responses=PROBLEMS)
    albums = Albums(index)

    @router.get("/albums")
    async def collections() -> Collections:
        """The albums, and how many favourites and hidden photos there are."""
        return await run_in_threadpool(read)

    @router.post("/albums", status_code=201)
    async def create(asked: NewAlbum) -> AlbumFacts:
        """Make an album."""

        def make() -> AlbumFacts:
            id = albums.create(asked.name)
            if asked.photos:
                albums.put_in(id, asked.photos)
            return facts(id)

        return await run_in_threadpool(make)

    @router.patch("/albums/{album}")
    async def rename(album: AlbumId, asked: AlbumChange) -> AlbumFacts:
        """Give an album another name."""

        def change() -> AlbumFacts:
            albums.rename(album, asked.name)
            return facts(album)

        return await run_in_threadpool(change)

    @router.delete("/albums/{album}", status_code=204)
    async def delete(album: AlbumId) -> None:
        """Delete an album; its photos stay."""
        await run_in_threadpool(albums.delete, album)

    @router.post("/albums/{album}/photos")
    async def put(album: AlbumId, asked: AlbumPhotos) -> Changed:
        """Put photos into an album, and take photos out of it."""

        def change() -> Changed:
            added = albums.put_in(album, asked.add)
            return Changed(changed=added + albums.take_out(album, asked.remove))

        return await run_in_threadpool(change)

    @router.post("/photos/marks")
    async def mark(asked: MarksChange) -> Changed:
        """Make photos favourites or hide them, or undo it."""

        def change() -> Changed:
            changed = 0
            if asked.favourite is not None:
                changed = albums.favour(asked.photos, asked.favourite)
            if asked.hidden is not None:
                changed = max(changed, albums.hide(asked.photos, asked.hidden))
            return Changed(changed=changed)

        return await run_in_threadpool(change)

    def read() -> Collections:
        found = [AlbumFacts.model_validate(album._asdict()) for album in albums.list()]
        return Collections(albums=found, favourites=albums.favourites(), hidden=albums.hidden())

    def facts(id: int) -> AlbumFacts:
        return AlbumFacts.model_validate(albums.numbered(id)._asdict())

    return router
