"""What requests say and answers hold."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from user_itr.search.filters import Area, Filters, Hidden
from user_itr.search.folder_tree import FolderNode
from user_itr.search.found import Hit, PhotoFacts
from user_itr.search.matching.match import Match, Word
from user_itr.server.limits import MAX_OFFSET, MAX_QUERY, MAX_RESULTS

PhotoId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
"""The id of an indexed photo."""

_AREA = r"^-?\d+(\.\d+)?(,-?\d+(\.\d+)?){3}$"

_Count = Annotated[int, Field(ge=0, lt=2**62)]


class FilterFields(BaseModel):
    """Limits on what may be found."""

    model_config = ConfigDict(extra="forbid")

    after: date | None = None
    before: date | None = None
    folder: Annotated[str, StringConstraints(max_length=4096)] | None = None
    min_width: _Count | None = None
    min_height: _Count | None = None
    min_bytes: _Count | None = None
    max_bytes: _Count | None = None
    area: Annotated[str, StringConstraints(pattern=_AREA, max_length=120)] | None = Field(
        None, description="South, west, north and east in degrees, as in 48,2,49,3."
    )
    album: _Count | None = None
    favourites: bool = False
    hidden: Hidden = "without"

    @model_validator(mode="before")
    @classmethod
    def _empty_is_none(cls, values: Any) -> Any:
        """Fields of forms and addresses that are left empty are not given."""
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value != ""}
        return values

    def filters(self) -> Filters:
        """The limits on what may be found."""
        folder = None if self.folder is None else Path(self.folder.replace("\0", ""))
        return Filters(
            self.after,
            self.before,
            folder,
            self.min_width,
            self.min_height,
            self.min_bytes,
            self.max_bytes,
            area=None if self.area is None else Area(*map(float, self.area.split(","))),
            album=self.album,
            favourites=self.favourites,
            hidden=self.hidden,
        )


class PageFields(FilterFields):
    """Limits on what may be found, and which part of the list is wanted."""

    offset: int = Field(0, ge=0, le=MAX_OFFSET)
    limit: int = Field(40, ge=1, le=MAX_RESULTS)


class ListFields(PageFields):
    """Limits on what is listed, and which part of the list is wanted."""

    offset: int = Field(0, ge=0, lt=2**31)


class SearchFields(PageFields):
    """A search by words, by an indexed photo, or by both."""

    q: str | None = Field(None, max_length=MAX_QUERY)
    similar: PhotoId | None = None


class QueryPage(PageFields):
    """A further page of a search by an uploaded picture."""

    query: str = Field(max_length=100_000)


class PhotoMatch(BaseModel):
    """How well a photo fits a sentence.

    `percent` of ordinary sentences fit the best photos of the index worse; `word` says what to make
    of it.
    """

    word: Word
    percent: int = Field(ge=0, le=100)


class FoundPhoto(BaseModel):
    """A photo in a list; `match` is for searches by one sentence.

    `copy_of` names the first photo of the list that this one is a copy or near copy of.
    """

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    name: str
    folder: str
    width: int
    height: int
    score: float | None
    match: PhotoMatch | None
    favourite: bool = False
    copy_of: str | None = None


def shown_match(match: Match | None) -> PhotoMatch | None:
    """A match, as an answer has it."""
    return None if match is None else PhotoMatch(word=match.word, percent=match.percent)


def found_photo(
    facts: PhotoFacts | Hit, score: float | None = None, match: Match | None = None
) -> FoundPhoto:
    """A photo of the index, as a list has it."""
    return FoundPhoto(
        id=facts.id,
        name=facts.path.name,
        folder=str(facts.path.parent),
        width=facts.width,
        height=facts.height,
        score=score,
        match=shown_match(match),
    )


class SearchResults(BaseModel):
    """A page of photos, best or newest first.

    `close` says whether its first is more than a weak match, `state` of which state of the index a
    list is; `remarks` are sentences for people, about words and languages that the model does not
    know.
    """

    photos: list[FoundPhoto]
    offset: int
    total_in_index: int
    more: bool
    close: bool | None = None
    state: str | None = None
    remarks: list[str] = []
    query: str | None = None
    seconds: float


class NameFields(BaseModel):
    """Words of names, and which part of the list is wanted."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(max_length=MAX_QUERY)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
    limit: int = Field(40, ge=1, le=MAX_RESULTS)


class FolderAnswer(BaseModel):
    """A folder that was indexed (depth 0) or lies below one, and the photos in and below it."""

    path: str
    depth: int
    photos: int

    @classmethod
    def of(cls, node: FolderNode) -> FolderAnswer:
        """A folder of the index, as an answer has it."""
        return cls(path=str(node.path), depth=node.depth, photos=node.photos)


class SuggestionsAnswer(BaseModel):
    """Folders and sentences of the index to search for."""

    folders: list[FolderAnswer]
    sentences: list[str]


class DayCount(BaseModel):
    """A day, and how many photos were taken on it."""

    day: date
    photos: int


class TimelineAnswer(BaseModel):
    """The list that `/api/photos` gives in pages, as a whole.

    First the photos taken on `days`, the latest day first, then those that are `undated`: they do
    not say when they were taken, or name a day that cannot be. `ratios` is their width by height
    in thousandths, unsigned 16 bits each, little-endian, as base64. `state` changes with the index.
    """

    state: str
    total_in_index: int
    days: list[DayCount]
    undated: int
    ratios: str


class Caption(BaseModel):
    """A sentence that fits a photo."""

    text: str
    match: PhotoMatch | None


class PhotoDetails(BaseModel):
    """All that is known of a photo."""

    id: str
    name: str
    folder: str
    path: str
    bytes: int
    modified: datetime
    taken: datetime | None
    width: int
    height: int
    favourite: bool
    hidden: bool
    albums: list[int]
    captions: list[Caption]


class Folder(BaseModel):
    """A folder that was indexed."""

    path: str
    photos: int


class IndexFacts(BaseModel):
    """The index that is served."""

    photos: int
    folders: list[Folder]
    model: str
    sentences: int
    version: str


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"


class Problem(BaseModel):
    """Why a request failed, and what to do."""

    error: str
