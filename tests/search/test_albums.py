"""What people add to photos, and what becomes of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from damage import faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from user_itr.errors import ConfigError, DataError
from user_itr.search.albums import Albums, NoSuchAlbumError, read_exported, write_exported
from user_itr.search.filters import Filters
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.store import schema
from user_itr.search.store.log import log_bytes
from user_itr.search.table import write_lock


def id_of(path: Path) -> str:
    return photo_id(str(path))


def names(index: ImageIndex, **filters: Any) -> list[str]:
    """Names of the photos that a list has; a search and a count have the same."""
    asked = Filters(**filters)
    found = sorted(one.path.stem for one in index.newest(999, filters=asked))
    query = np.ones(index.manifest.dim, np.float32)
    assert sorted(hit.path.stem for hit in index.search(query, 999, filters=asked)) == found
    exact = index.search(query, 999, filters=asked, exact=True)
    assert sorted(hit.path.stem for hit in exact) == found
    assert index.count(asked) == len(found) == len(index.timeline(asked))
    return found


@pytest.fixture
def full(photos: Path, index: ImageIndex, encoder: ColourEncoder) -> ImageIndex:
    index.update(photos, encoder)
    return index


@pytest.fixture
def red(photos: Path) -> Path:
    return photos / "red.png"


def test_albums_are_made_renamed_and_deleted(full: ImageIndex, red: Path) -> None:
    albums = Albums(full)
    assert albums.list() == []
    first, second = albums.create("  Summer\n 2024 "), albums.create("e\u0301t\u00e9")
    assert albums.put_in(first, [id_of(red), "0" * 16, "no id", id_of(red)]) == 1
    assert albums.put_in(first, [id_of(red)]) == 0
    assert [(one.name, one.photos) for one in albums.list()] == [
        ("Summer 2024", 1),
        ("\u00e9t\u00e9", 0),
    ]
    assert albums.named("\u00e9te\u0301").id == second
    with pytest.raises(ConfigError, match="an album 'Summer 2024' already"):
        albums.create("Summer 2024")
    with pytest.raises(ConfigError, match="already"):
        albums.rename(second, "Summer 2024")
    albums.rename(second, "\u00e9t\u00e9")
    albums.rename(first, "Summer")
    assert names(full, album=first) == ["red"]
    assert names(full, album=second) == []
    assert albums.take_out(first, [id_of(red)]) == 1
    assert names(full, album=first) == []
    albums.delete(first)
    assert albums.create("third") > second, "a link to an album never leads to another one"
    for change in (
        lambda: albums.delete(first),
        lambda: albums.rename(first, "x"),
        lambda: albums.put_in(2**70, []),
        lambda: albums.take_out(first, []),
        lambda: albums.named("Summer"),
    ):
        with pytest.raises(NoSuchAlbumError, match="there is no album"):
            change()


@pytest.mark.parametrize("name", ["", " \n", "\u200b", "x" * 201, "a\x07b"])
def test_names_that_cannot_be_seen_or_kept(full: ImageIndex, name: str) -> None:
    with pytest.raises(ConfigError, match=r"the album has no name|at most 200 characters"):
        Albums(full).create(name)


def test_hidden_photos_are_found_where_they_are_asked_for(full: ImageIndex, red: Path) -> None:
    albums, every = Albums(full), sorted(PALETTE)
    others = [name for name in every if name != "red"]
    assert names(full) == every
    assert albums.hide([id_of(red)]) == 1
    assert names(full) == others
    assert names(full, hidden="with") == every
    assert names(full, hidden="only") == ["red"]
    assert names(full, favourites=True) == []
    assert full.named("red") == []
    [hit, *_] = full.search(np.ones(full.manifest.dim), 99)
    assert hit.path.stem != "red"
    assert len(full.search(np.ones(full.manifest.dim), 99)) == len(others)
    albums.favour([id_of(red)])
    assert names(full, favourites=True) == []
    assert names(full, favourites=True, hidden="with") == ["red"]
    assert (albums.favourites(), albums.hidden()) == (1, 1)
    assert albums.hide([id_of(red)], False) == 1
    assert names(full) == every
    assert names(full, favourites=True) == ["red"]
    assert albums.of([id_of(red), "0" * 16]) == {id_of(red): (True, False, ())}
    ids = [photo.id for photo in full.newest(99)]
    assert full.ask(lambda store: store.marks().among("favourites", ids)) == {id_of(red)}
    assert full.ask(lambda store: store.marks().among("hidden", ids)) == set()


def test_copies_share_what_was_added(full: ImageIndex, red: Path, encoder: ColourEncoder) -> None:
    shutil.copy(red, red.with_name("again.png"))
    albums = Albums(full)
    albums.favour([id_of(red)])
    full.update(red.parent, encoder)
    assert names(full, favourites=True) == ["again", "red"]
    assert albums.favour([id_of(red.with_name("again.png"))], False) == 1
    assert names(full, favourites=True) == []


def retouched(path: Path) -> None:
    """The same picture with a few other pixels."""
    paint(path, path.stem)
    with path.open("ab") as file:
        file.write(b"edited")


def test_an_edited_photo_keeps_what_was_added(
    full: ImageIndex, red: Path, encoder: ColourEncoder
) -> None:
    albums = Albums(full)
    album = albums.create("best")
    albums.put_in(album, [id_of(red)])
    albums.favour([id_of(red)])
    albums.hide([id_of(red)])
    retouched(red)
    assert full.update(red.parent, encoder).updated == 1
    assert albums.of([id_of(red)]) == {id_of(red): (True, True, (album,))}


def taken(path: Path, colour: str, second: int) -> None:
    """A picture with the time at which a camera took it."""
    exif = Image.Exif()
    exif[306] = f"2024:05:03 12:30:{second:02}"
    Image.new("RGB", (24, 16), PALETTE[colour]).save(path, exif=exif)


@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize("same_second", [False, True])
def test_a_photo_that_was_made_grey_is_known_by_its_time(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, rebuilt: bool, same_second: bool
) -> None:
    """By another model nothing is alike; the time decides there too."""
    path = photos / "taken.jpg"
    taken(path, "green", 1)
    index.update(photos, encoder)
    Albums(index).favour([id_of(path)])
    taken(path, "black", 1 if same_second else 2)
    if rebuilt:
        encoder = ColourEncoder("another")
        index = ImageIndex.rebuild(index.path, encoder, "another")
    index.update(photos, encoder)
    index.commit()
    assert names(index, favourites=True) == (["taken"] if same_second else [])


def test_photos_that_change_places_keep_their_own(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    """Taken in one second, as in a burst."""
    one, other = photos / "one.jpg", photos / "other.jpg"
    taken(one, "green", 1)
    taken(other, "blue", 1)
    index.update(photos, encoder)
    Albums(index).favour([id_of(one)])
    one.rename(photos / "x")
    other.rename(one)
    (photos / "x").rename(other)
    index.update(photos, encoder)
    assert names(index, favourites=True) == ["other"]


def test_another_photo_of_the_same_name_gets_nothing(
    full: ImageIndex, red: Path, encoder: ColourEncoder
) -> None:
    albums = Albums(full)
    albums.favour([id_of(red)])
    paint(red, "blue", (31, 17))
    assert full.update(red.parent, encoder).updated == 1
    assert albums.of([id_of(red)]) == {id_of(red): (False, False, ())}
    paint(red, "red")
    full.update(red.parent, encoder)
    assert names(full, favourites=True) == ["red"], "what was added waits for the photo"


def test_a_change_waits_for_no_update(full: ImageIndex, red: Path) -> None:
    with write_lock(full.location):
        Albums(ImageIndex.open(full.path)).favour([id_of(red)])
    assert names(full, favourites=True) == ["red"]


def test_many_change_at_once_while_an_update_runs(
    tmp_path: Path, photos: Path, full: ImageIndex, encoder: ColourEncoder
) -> None:
    """By indexes of their own, as several processes would have them."""
    for number in range(120):
        paint(photos / "more" / f"{number}.png", "blue", (20 + number, 20))
    ids = [one.id for one in full.newest(8)]
    errors: list[BaseException] = []

    def change(number: int) -> None:
        try:
            albums = Albums(ImageIndex.open(full.path))
            album = albums.create(str(number))
            for id in ids:
                albums.put_in(album, [id])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=change, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    report = full.update(photos, encoder, batch_size=8)
    for thread in threads:
        thread.join()
    assert errors == []
    assert report.added == 120
    assert [(one.name, one.photos) for one in Albums(full).list()] == [
        (str(number), 8) for number in range(4)
    ]
    full.ask(lambda store: store.finish())
    assert faults(full.path / "photos.db") == []


def test_a_change_is_in_the_file_itself(full: ImageIndex, red: Path, tmp_path: Path) -> None:
    """A copy of the folder without SQLite's log has it."""
    Albums(full).favour([id_of(red)])
    assert log_bytes(full.path / "photos.db") == 0
    copy = tmp_path / "copy"
    shutil.copytree(full.path, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    assert names(ImageIndex.open(copy), favourites=True) == ["red"]


def as_version_1(index: ImageIndex, to: Path) -> Path:
    """A copy as an earlier user-itr made it."""
    shutil.copytree(index.path, to)
    connection = sqlite3.connect(to / "photos.db")
    for table in ("album_photos", "albums", "favourites", "hidden"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    return to


def test_an_index_of_an_earlier_version_is_read_as_it_is(
    full: ImageIndex, red: Path, tmp_path: Path
) -> None:
    old = as_version_1(full, tmp_path / "old")
    before = (old / "photos.db").read_bytes()
    opened = ImageIndex.open(old)
    albums = Albums(opened)
    assert names(opened) == sorted(PALETTE)
    for filters in ({"favourites": True}, {"album": 1}, {"hidden": "only"}):
        assert names(opened, **filters) == []
    assert albums.list() == []
    assert (albums.favourites(), albums.hidden()) == (0, 0)
    assert albums.of([id_of(red)]) == {}
    assert opened.ask(lambda store: store.marks().among("favourites", [id_of(red)])) == set()
    assert albums.export() == Albums(full).export()
    assert (old / "photos.db").read_bytes() == before
    other = ImageIndex.open(old)
    albums.hide([id_of(red)])
    for one in (opened, other, ImageIndex.open(old)):
        assert "red" not in names(one)
    connection = sqlite3.connect(old / "photos.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
    connection.close()


def test_an_export_is_read_by_another_index(
    full: ImageIndex, red: Path, photos: Path, encoder: ColourEncoder, tmp_path: Path
) -> None:
    albums, file = Albums(full), tmp_path / "albums.json"
    album = albums.create("Été")
    albums.put_in(album, [one.id for one in full.newest(3)])
    albums.create("empty")
    albums.favour([id_of(red)])
    albums.hide([id_of(red)])
    exported = albums.export()
    write_exported(exported, file)
    assert json.loads(file.read_text("utf-8"))["favourites"][0]["paths"] == [str(red)]
    other = ImageIndex.create_or_open(tmp_path / "other", encoder, "model")
    Albums(other).create("Été")
    for _ in range(2):
        Albums(other).merge(read_exported(file))
    other.update(photos, encoder)
    assert Albums(other).export().model_dump(exclude={"albums"}) == exported.model_dump(
        exclude={"albums"}
    )
    both = [[(one.name, one.photos) for one in found.list()] for found in (Albums(other), albums)]
    assert both[0] == both[1] == [("empty", 0), ("Été", 3)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "the file: .*give a file that"),
        ('{"format": "x"}', "is of format 'x', version 1"),
        ('{"version": 2}', "is of format 'user-itr albums', version 2"),
        ('{"favourites": [{"hash": "xyz"}]}', "favourites.0.hash: "),
        ('{"albums": [{"name": "", "created": "2024-01-01T00:00:00Z", "photos": []}]}', "name"),
    ],
)
def test_files_that_are_no_exports(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "albums.json").write_text(text)
    with pytest.raises(DataError, match=says):
        read_exported(tmp_path / "albums.json")


COLOURS = list(PALETTE)[:4]
NAMES = [f"{folder}/{number}.png" for folder in "ab" for number in range(3)]
PATHS = st.sampled_from(NAMES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("paint"), PATHS, st.sampled_from(COLOURS)),
        st.tuples(st.just("move"), PATHS, PATHS),
        st.tuples(st.just("delete"), PATHS),
        st.tuples(st.just("rename folder")),
        st.tuples(st.just("unplug")),
        st.tuples(st.just("update")),
        st.tuples(st.just("forget"), PATHS),
        st.tuples(st.just("rebuild")),
        st.tuples(st.just("favourite"), PATHS, st.booleans()),
        st.tuples(st.just("hide"), PATHS, st.booleans()),
        st.tuples(st.just("album"), PATHS, st.booleans()),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_nothing_that_was_added_is_lost(steps: list[tuple[Any, ...]]) -> None:
    """Whatever happens to files and to the index, a photo of these bytes has what it was given.

    Colours are so far apart that none counts as another one, edited.
    """
    with tempfile.TemporaryDirectory() as place:
        root, where = Path(place) / "photos", Path(place) / "index"
        encoder = ColourEncoder()
        for number, name in enumerate(NAMES):
            paint(root / name, COLOURS[number % 4], (20, 20))
        index = ImageIndex.create_or_open(where, encoder, "model")
        index.update(root, encoder)
        albums = Albums(index)
        album = albums.create("album")
        wanted: dict[str, set[bytes]] = {"favourite": set(), "hide": set(), "album": set()}

        for what, *given_ in steps:
            path = root / given_[0] if given_ else root
            if what == "paint":
                paint(path, given_[1], (20, 20))
            elif what == "move" and path.exists():
                (root / given_[1]).parent.mkdir(parents=True, exist_ok=True)
                path.rename(root / given_[1])
            elif what == "delete":
                path.unlink(missing_ok=True)
            elif what == "rename folder" and (root / "a").exists():
                shutil.rmtree(root / "c", ignore_errors=True)
                (root / "a").rename(root / "c")
            elif what == "unplug":
                root.rename(root.with_name("elsewhere"))
                with pytest.raises(DataError):
                    index.update(root, encoder)
                root.with_name("elsewhere").rename(root)
            elif what == "update":
                index.update(root, encoder, allow_empty=True)
            elif what == "forget" and id_of(path) in albums.of([id_of(path)]):
                index.forget(path)
            elif what == "rebuild":
                index = ImageIndex.rebuild(where, encoder, "model")
                index.update(root, encoder, allow_empty=True)
                index.commit()
                albums = Albums(index)
            elif what in wanted:
                rows = {row.path: row.hash for row in index.ask(lambda s: list(s.files()))}
                if str(path) not in rows:
                    continue
                on, hashes = given_[1], wanted[what]
                (hashes.add if on else hashes.discard)(bytes.fromhex(rows[str(path)]))
                if what == "album":
                    (albums.put_in if on else albums.take_out)(album, [id_of(path)])
                else:
                    (albums.favour if what == "favourite" else albums.hide)([id_of(path)], on)
            check(index, albums, album, wanted)


def check(index: ImageIndex, albums: Albums, album: int, wanted: dict[str, set[bytes]]) -> None:
    exported = albums.export()
    assert [one.name for one in exported.albums] == ["album"]
    kept = {
        "favourite": exported.favourites,
        "hide": exported.hidden,
        "album": exported.albums[0].photos,
    }
    assert {
        name: {bytes.fromhex(one.hash) for one in photos} for name, photos in kept.items()
    } == wanted
    rows = {row.path: bytes.fromhex(row.hash) for row in index.ask(lambda s: list(s.files()))}
    for name, filters in (
        ("favourite", Filters(favourites=True, hidden="with")),
        ("album", Filters(album=album, hidden="with")),
        ("hide", Filters(hidden="only")),
    ):
        found = {str(one.path) for one in index.newest(99, filters=filters)}
        assert found == {path for path, digest in rows.items() if digest in wanted[name]}
