"""What people add to the photos of an index: favourites, hidden photos and albums."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from user_itr.errors import ConfigError, DataError
from user_itr.files import parse_json, replace_file
from user_itr.search.filters import Filters
from user_itr.search.index import ImageIndex
from user_itr.search.store.marks import Album as Album
from user_itr.search.store.marks import Kept, Marks, PhotoMarks
from user_itr.search.store.marks import NoSuchAlbumError as NoSuchAlbumError

T = TypeVar("T")

NAME_MOST = 200
"""Characters of an album's name."""

_Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]


class ExportedPhoto(BaseModel):
    """Contents by their hash; `paths` tell a person which files of the index held them."""

    model_config = ConfigDict(extra="forbid")

    hash: _Hash
    paths: list[str] = []


class ExportedAlbum(BaseModel):
    """An album with what is in it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=NAME_MOST)]
    created: AwareDatetime
    photos: list[ExportedPhoto]


class Exported(BaseModel):
    """All that people added to the photos of an index, as a file of JSON."""

    model_config = ConfigDict(extra="forbid")

    format: str = "user-itr albums"
    version: int = 1
    albums: list[ExportedAlbum] = []
    favourites: list[ExportedPhoto] = []
    hidden: list[ExportedPhoto] = []


class Albums:
    """The albums, favourites and hidden photos of an index in a folder.

    They belong to the contents of photos. They stay through a rebuild, and while photos are
    renamed, moved, forgotten or on a disk that is away; copies share them. A change waits for no
    update of the index.

    Args:
        index: of the photos.

    Raises:
        ConfigError: in every method, if the index is on object storage.
        IndexStoreError: in every method, if it cannot be read or written.
    """

    def __init__(self, index: ImageIndex) -> None:
        self.index = index

    def list(self) -> list[Album]:
        """All albums, by name."""
        return self._ask(lambda marks: marks.albums())

    def named(self, name: str) -> Album:
        """The album of a name.

        Raises:
            NoSuchAlbumError: if there is none.
        """
        albums = self.list()
        wanted = unicodedata.normalize("NFC", name.strip())
        for album in albums:
            if album.name == wanted:
                return album
        names = ", ".join(repr(album.name) for album in albums[:5])
        there = f"there are {names}" if names else "there are no albums yet"
        raise NoSuchAlbumError(f"there is no album {name!r}; {there}.")

    def numbered(self, id: int) -> Album:
        """The album of a number.

        Raises:
            NoSuchAlbumError: if there is none.
        """
        for album in self.list():
            if album.id == id:
                return album
        raise NoSuchAlbumError.of(id)

    def create(self, name: str) -> int:
        """Make an album; returns its number.

        Raises:
            ConfigError: if the name is empty or too long, or another album has it.
        """
        wanted = checked_name(name)
        return self._ask(lambda marks: marks.create(wanted))

    def rename(self, album: int, name: str) -> None:
        """Give an album another name; errors as in `create`.

        Raises:
            NoSuchAlbumError: if it is not there.
        """
        wanted = checked_name(name)
        self._ask(lambda marks: marks.rename(album, wanted))

    def delete(self, album: int) -> None:
        """Delete an album; its photos stay where they are.

        Raises:
            NoSuchAlbumError: if it is not there.
        """
        self._ask(lambda marks: marks.delete(album))

    def put_in(self, album: int, ids: Sequence[str]) -> int:
        """Put photos into an album; ids that the index lacks are passed over.

        Returns:
            How many photos, copies counted once, were not in it.

        Raises:
            NoSuchAlbumError: if the album is not there.
        """
        return self._ask(lambda marks: marks.put_in(album, ids))

    def take_out(self, album: int, ids: Sequence[str]) -> int:
        """Take photos out of an album; see `put_in`."""
        return self._ask(lambda marks: marks.take_out(album, ids))

    def favour(self, ids: Sequence[str], on: bool = True) -> int:
        """Make photos favourites, or undo it; returns how many changed, copies counted once."""
        return self._ask(lambda marks: marks.mark("favourites", ids, on))

    def hide(self, ids: Sequence[str], on: bool = True) -> int:
        """Leave photos out of lists and searches, or undo it; see `favour`."""
        return self._ask(lambda marks: marks.mark("hidden", ids, on))

    def favourites(self) -> int:
        """How many photos are favourites."""
        return self._ask(lambda marks: marks.count("favourites"))

    def hidden(self) -> int:
        """How many photos are hidden."""
        return self._ask(lambda marks: marks.count("hidden"))

    def of(self, ids: Sequence[str]) -> dict[str, PhotoMarks]:
        """By id, what was added to photos; those that the index lacks are left out."""
        return self._ask(lambda marks: marks.of(ids))

    def export(self) -> Exported:
        """All of it, that of photos which are not in the index now too."""

        def read(marks: Marks) -> Exported:
            kept = marks.all()
            hashes = {one for _, _, inside in kept.albums for one in inside}
            paths = marks.paths(hashes | {*kept.favourites, *kept.hidden})

            def photos(hashes: Sequence[str]) -> list[ExportedPhoto]:
                return [ExportedPhoto(hash=one, paths=paths.get(one, [])) for one in hashes]

            return Exported(
                albums=[
                    ExportedAlbum(name=name, created=created, photos=photos(inside))
                    for name, created, inside in kept.albums
                ],
                favourites=photos(kept.favourites),
                hidden=photos(kept.hidden),
            )

        return self._ask(read)

    def merge(self, exported: Exported) -> None:
        """Add what was exported to what is here; albums of the same name become one.

        Raises:
            ConfigError: if an album's name is empty, too long or has control characters.
        """
        kept = Kept(
            tuple(
                (checked_name(one.name), one.created, tuple(photo.hash for photo in one.photos))
                for one in exported.albums
            ),
            tuple(photo.hash for photo in exported.favourites),
            tuple(photo.hash for photo in exported.hidden),
        )
        self._ask(lambda marks: marks.add(kept))

    def _ask(self, question: Callable[[Marks], T]) -> T:
        return self.index.ask(lambda store: question(store.marks()))


def in_album(index: ImageIndex, filters: Filters, name: str) -> Filters:
    """The same limits, and only photos of the album of a name.

    Raises:
        NoSuchAlbumError: if there is none.
    """
    return replace(filters, album=Albums(index).named(name).id)


def checked_name(name: str) -> str:
    """An album's name as it is kept: one line, in one Unicode form.

    Raises:
        ConfigError: if nothing can be seen of it, or it is too long.
    """
    text = unicodedata.normalize("NFC", re.sub(r"\s+", " ", name)).strip()
    if not any(unicodedata.category(one)[0] in "LNPS" for one in text):
        raise ConfigError("the album has no name; give it one.")
    if len(text) > NAME_MOST or any(unicodedata.category(one) in ("Cc", "Cs") for one in text):
        raise ConfigError(
            f"an album's name has at most {NAME_MOST} characters, none of them a control "
            "character; choose a shorter or plainer one."
        )
    return text


def write_exported(exported: Exported, file: Path) -> None:
    """Write a file of JSON, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    content = json.dumps(exported.model_dump(mode="json"), indent=2, ensure_ascii=False)
    replace_file(file, f"{content}\n".encode())


def read_exported(file: Path) -> Exported:
    """What `write_exported` wrote.

    Raises:
        DataError: if the file cannot be read, or holds anything else.
    """
    try:
        found = Exported.model_validate(parse_json(file.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{file}: {place or 'the file'}: {first['msg']}; give a file that "
            "`user-itr albums --export` wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); check the path.") from None
    if (found.format, found.version) != (Exported().format, 1):
        raise DataError(
            f"{file}: is of format {found.format!r}, version {found.version}; give a file that "
            "`user-itr albums --export` of this version wrote."
        )
    return found
