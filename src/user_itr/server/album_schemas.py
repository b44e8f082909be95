"""What requests about albums, favourites and hidden photos say, and answers hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from user_itr.search.albums import NAME_MOST
from user_itr.server.limits import MAX_CHANGED
from user_itr.server.schemas import PhotoId

AlbumName = Annotated[str, Field(max_length=4 * NAME_MOST)]
Ids = Annotated[list[PhotoId], Field(max_length=MAX_CHANGED)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAlbum(_Asked):
    """An album to make, and photos to put into it."""

    name: AlbumName
    photos: Ids = []


class AlbumChange(_Asked):
    """Another name of an album."""

    name: AlbumName


class AlbumPhotos(_Asked):
    """Photos to put into an album and to take out of it; ids that the index lacks do nothing."""

    add: Ids = []
    remove: Ids = []


class MarksChange(_Asked):
    """What to make of photos; a field that is left out changes nothing."""

    photos: Ids
    favourite: bool | None = None
    hidden: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> MarksChange:
        if self.favourite is None and self.hidden is None:
            raise ValueError("give favourite, hidden, or both")
        return self


class AlbumFacts(BaseModel):
    """An album; `photos` counts files of the index, hidden ones too."""

    id: int
    name: str
    created: datetime
    photos: int


class Collections(BaseModel):
    """The albums by name, and how many files of the index are favourites and hidden."""

    albums: list[AlbumFacts]
    favourites: int
    hidden: int


class Changed(BaseModel):
    """How many photos changed, copies counted once."""

    changed: int
