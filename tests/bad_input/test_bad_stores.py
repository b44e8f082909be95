"""Damaged feature stores, indexes and measurements."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inputs import DEEP, DIGITS, npy, npy_header, pickled_npy, put
from outcomes import Case, check, refused, table

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint

from user_itr.ablation.measurement import read_embeddings, read_measurement
from user_itr.errors import DataError, IndexStoreError
from user_itr.search.index import ImageIndex
from user_itr.search.query import search_text

ARRAY = np.zeros((2, 3, 4), np.float16)
MANIFEST: dict[str, Any] = {
    "format_version": 1,
    "backbone": "x",
    "weights_hash": "0" * 64,
    "preprocessing": {},
    "regions": 3,
    "width": 4,
    "dtype": "float16",
    "batch_size": 1,
    "fingerprint": "0" * 64,
    "features_sha256": "0" * 64,
    "created_with": {},
    "skipped": [],
    "image_ids": ["a", "b"],
}
INFO = ("features", "info", "{}/store")


def store(
    name: str,
    says: str,
    array: Callable[[Path], bytes] | bytes = npy(ARRAY),
    manifest: bytes | str | None = None,
    code: int = 2,
    words: tuple[str, ...] = INFO,
    **changes: object,
) -> Case:
    def make(root: Path) -> None:
        content = json.dumps({**MANIFEST, **changes}) if manifest is None else manifest
        put(root / "store", "manifest.json", content)
        put(
            root / "store", "features.npy", array if isinstance(array, bytes) else array(root / "m")
        )

    return Case(f"store: {name}", make, words, says, code)


HEADER = "{'descr': '<f2', 'fortran_order': False, 'shape': %s, }"

STORES = [
    store("in order", "images 2", code=0),
    store("names of all kinds", "\\x1b[2J\\n\\u202e: 🐕", code=0, skipped=[{"image_id": "\x1b[2J\n\u202e", "reason": "🐕"}]),
    store("an empty manifest", "not readable as JSON", manifest=""),
    store("a deep manifest", "not readable as JSON", manifest="[" * DEEP),
    store("a manifest in UTF-16", "not readable as JSON", manifest="{}".encode("utf-16")),
    store("a manifest of a list", "field manifest", manifest="[]"),
    store("a long number", "not readable as JSON", manifest=f'{{"width": {DIGITS}}}'),
    store("the future", "is newer than this program's", format_version=2),
    store("a version of text", "format_version", format_version="one"),
    store("no regions", "field regions", regions=0),
    store("negative width", "field width", width=-4),
    store("a width of 10^30", "tells of float16", width=10**30),
    store("an unknown key", "field more", more=1),
    store("a short hash", "field fingerprint", fingerprint="0"),
    store("one id less", "tells of float16 (1, 3, 4)", image_ids=["a"]),
    store("a number as id", "field image_ids.0", image_ids=[1, 2]),
    store("an empty array", "damaged or cut short", b""),
    store("an array cut short", "damaged or cut short", npy(ARRAY)[:-2]),
    store("an array with more", "1 bytes more", npy(ARRAY) + b"x"),
    store("float32", "holds float32", npy(ARRAY.astype(np.float32))),
    store("Python objects", "damaged or cut short", pickled_npy),
    store("a huge shape", "damaged or cut short", npy_header(HEADER % "(2, 3, 9223372036854775807)")),
    store("a deep header", "damaged or cut short", npy_header("(" * 9_000)),
    store("another hash", "SHA-256 is", words=(*INFO, "--verify")),
    Case("store: nothing", lambda root: None, INFO, "no feature store"),
    Case("store: a file", lambda root: put(root, "store", "x"), INFO, "not readable as JSON"),
    Case("store: a folder as manifest", lambda root: (root / "store/manifest.json").mkdir(parents=True), INFO, "not readable"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("index")
    for colour in PALETTE:
        paint(home / "photos" / f"{colour}.png", colour)
    index = ImageIndex.create_or_open(home / "index", ColourEncoder(), "shipped:flickr8k")
    index.update(home / "photos", ColourEncoder())
    return home / "index"


Spoil = Callable[[Path], object]


def manifest(**changes: object) -> Spoil:
    def spoil(index: Path) -> None:
        values = json.loads((index / "index.json").read_text())
        put(index, "index.json", json.dumps({**values, **changes}))

    return spoil


def written(content: bytes | str) -> Spoil:
    return lambda index: put(index, "index.json", content)


def no_file(index: Path) -> None:
    (index / "photos.db").unlink()


def no_log_and(spoil: Spoil) -> Spoil:
    """Spoil the SQLite file, with no log beside it that has another content."""

    def both(index: Path) -> None:
        for ending in ("-wal", "-shm"):
            (index / f"photos.db{ending}").unlink(missing_ok=True)
        spoil(index)

    return both


def as_file(content: bytes) -> Spoil:
    return no_log_and(lambda index: (index / "photos.db").write_bytes(content))


def zeroed(start: int, end: int | None) -> Spoil:
    """Overwrite a part of the SQLite file with zeros."""

    def spoil(index: Path) -> None:
        whole = (index / "photos.db").read_bytes()
        part = bytes(len(whole[start:end]))
        (index / "photos.db").write_bytes(whole[:start] + part + whole[start + len(part) :])

    return no_log_and(spoil)


def cut(index: Path) -> None:
    whole = (index / "photos.db").read_bytes()
    (index / "photos.db").write_bytes(whole[: len(whole) // 2])


def sql(*statements: str) -> Spoil:
    def spoil(index: Path) -> None:
        connection = sqlite3.connect(index / "photos.db", isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return spoil


def other_program(index: Path) -> None:
    (index / "photos.db").unlink()
    sql("CREATE TABLE photos (id)")(index)


def folder_as_file(index: Path) -> None:
    (index / "photos.db").unlink()
    (index / "photos.db").mkdir()


def file_as_index(index: Path) -> None:
    shutil.rmtree(index)
    put(index.parent, index.name, "x")


def nothing(index: Path) -> None:
    shutil.rmtree(index)


INDEXES: list[tuple[str, Spoil, str]] = [
    ("nothing", nothing, "no such search index"),
    ("a file", file_as_index, "is not a search index"),
    ("an empty manifest", written(""), "cannot be read"),
    ("a deep manifest", written("[" * DEEP), "cannot be read"),
    ("a manifest in UTF-16", written("{}".encode("utf-16")), "cannot be read"),
    ("a manifest of a list", written("[]"), "holds no JSON object"),
    ("the future", manifest(format_version=99), "upgrade user-itr"),
    ("the past", manifest(format_version=1), "delete its folder and index again"),
    ("a version of text", manifest(format_version="two"), "format_version is 'two'"),
    ("no width", manifest(dim=0), "dim is 0"),
    ("a negative width", manifest(dim=-8), "dim is -8"),
    ("a width of 10^30", manifest(dim=10**30), "dim is 1"),
    ("a width that is true", manifest(dim=True), "dim is True"),
    ("a model of a list", manifest(model=[]), "model is []"),
    ("a generation of text", manifest(generation="../../x"), "generation is '../../x'"),
    ("another generation", manifest(generation=7), "the index cannot be opened"),
    ("a model that is gone", manifest(model="/no/such/model"), "is not there any more"),
    ("a model that never shipped", manifest(model="shipped:../../x"), "no such model ships"),
    ("another model", manifest(fingerprint="0" * 64), "made by model 000000000000"),
    ("no file", no_file, "the index cannot be opened"),
    ("an empty file", as_file(b""), "another program made this file"),
    ("text", as_file(b"a dog\n" * 9_000), "file is not a database"),
    ("zeros", zeroed(0, None), "the index cannot be opened"),
    ("pages of zeros", zeroed(16_384, None), "the index cannot be"),
    ("a file cut short", no_log_and(cut), "the index cannot be"),
    ("a folder", no_log_and(folder_as_file), "the index cannot be opened"),
    ("a file of another program", no_log_and(other_program), "another program made this file"),
    ("a file of the future", sql("PRAGMA user_version = 9"), "upgrade user-itr"),
]


def test_photos_are_read_from_derived_files_and_the_file_alike(
    sound_index: Path, tmp_path: Path
) -> None:
    shutil.copytree(sound_index, tmp_path / "index")
    encoder = ColourEncoder()

    def find() -> list[str]:
        return [hit.id for hit in search_text(ImageIndex.open(tmp_path / "index"), encoder, "red")]

    sound = find()
    assert len(sound) == len(PALETTE)
    shutil.rmtree(tmp_path / "index" / "photos-1.neighbours")
    assert find() == sound
    (tmp_path / "index" / "photos.db-wal").write_bytes(b"x" * 40_000)
    assert find() == sound, "a log that SQLite did not write is no log"
    zeroed(16_384, None)(tmp_path / "index")
    refused(IndexStoreError, "the index cannot be", find)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DROP TABLE files_1", "the index cannot be read (no such table: files_1)"),
        ("DROP TABLE counters", "the index cannot be"),
        ("DELETE FROM counters", "holds no generation 1"),
        ("UPDATE embeddings_1 SET vector = x'0000'", "the index cannot be read"),
        ("UPDATE embeddings_1 SET vector = x'00'", "the index cannot be read"),
        ("UPDATE counters SET derived = '../../x'", ""),
        ("UPDATE counters SET embeddings = 99", ""),
    ],
)
def test_rows_that_user_itr_did_not_write(
    sound_index: Path, tmp_path: Path, statement: str, says: str
) -> None:
    shutil.copytree(sound_index, tmp_path / "index")
    encoder = ColourEncoder()

    def find() -> list[str]:
        index = ImageIndex.open(tmp_path / "index")
        return [str(hit.path) for hit in search_text(index, encoder, "red", k=8)]

    sound = find()
    shutil.rmtree(tmp_path / "index" / "photos-1.neighbours")
    sql(statement)(tmp_path / "index")
    if says:
        refused(IndexStoreError, says, find)
    else:
        assert find() == sound


@pytest.mark.parametrize("damage", [b"", b"[" * 9_000, b'{"format_version": 1}', b"\0" * 300])
def test_damaged_derived_files(sound_index: Path, tmp_path: Path, damage: bytes) -> None:
    shutil.copytree(sound_index, tmp_path / "index")
    encoder = ColourEncoder()
    sound = search_text(ImageIndex.open(tmp_path / "index"), encoder, "red")
    for file in sorted((tmp_path / "index" / "photos-1.neighbours").rglob("*")):
        if file.is_file():
            whole = file.read_bytes()
            file.write_bytes(damage)
            found = search_text(ImageIndex.open(tmp_path / "index"), encoder, "red")
            assert [hit.id for hit in found] == [hit.id for hit in sound], file
            file.write_bytes(whole)


def index_cases() -> list[Case]:
    def make(spoil: Spoil) -> Callable[[Path], object]:
        def build(root: Path) -> None:
            shutil.copytree(INDEX_OF[0], root / "index")
            spoil(root / "index")

        return build

    words = ("search", "red", "--index", "{}/index", "--min-width", "1")
    return [Case(f"index: {name}", make(spoil), words, says) for name, spoil, says in INDEXES]


INDEX_OF: list[Path] = []


@table([*STORES, *index_cases()])
def test_outcome(
    case: Case,
    sound_index: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    INDEX_OF[:] = [sound_index]
    check(case, tmp_path, capfd, monkeypatch)
    assert not (tmp_path / "m").exists()


MEASURED: dict[str, Any] = {
    "format_version": 1,
    "i2t_ranks": np.zeros(2, np.int64),
    "t2i_ranks": np.zeros(3, np.int64),
    "caption_image": np.zeros(3, np.int64),
    "split_key": "k",
    "minutes": 1.0,
    "parameters": 5,
    "epoch": 2,
    "images": np.zeros((2, 4), np.float32),
    "captions": np.zeros((3, 4), np.float32),
}


def measured(compressed: bool = False, **changes: Any) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **{**MEASURED, **changes})
    return stream.getvalue()


def bomb() -> bytes:
    """An archive of 100 kB that unfolds to 100 MB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (25000000,), }", bytes(100_000_000)))  # fmt: skip
    return stream.getvalue()


MEASUREMENTS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is damaged"),
    ("text", b"a dog", "is damaged"),
    ("cut short", measured()[:-40], "is damaged"),
    ("an array", npy(np.zeros(3)), "is damaged"),
    ("a bomb", bomb(), "it is compressed"),
    ("compressed", measured(compressed=True), "it is compressed"),
    ("the future", measured(format_version=2), "has format version 2"),
    ("no ranks", measured(i2t_ranks=np.array(None, dtype=object)), "is damaged"),
    ("ranks of text", measured(i2t_ranks=np.array(["a", "b"])), "is damaged"),
    ("ranks of two axes", measured(i2t_ranks=np.zeros((2, 2), np.int64)), "is damaged"),
    ("negative ranks", measured(i2t_ranks=np.array([-1, 0])), "is damaged"),
    ("many minutes", measured(minutes=np.zeros(3)), "is damaged"),
    ("minutes that are no number", measured(minutes=float("nan")), "is damaged"),
]


@pytest.mark.parametrize(
    ("content", "says"), [c[1:] for c in MEASUREMENTS], ids=[c[0] for c in MEASUREMENTS]
)
def test_measurements(tmp_path: Path, content: bytes, says: str) -> None:
    file = put(tmp_path, "dev.npz", content)
    refused(DataError, says, lambda: read_measurement(tmp_path))
    assert file.read_bytes() == content


def test_a_sound_measurement(tmp_path: Path) -> None:
    put(tmp_path, "dev.npz", measured())
    assert read_measurement(tmp_path).epoch == 2
    assert read_embeddings(tmp_path)[0].shape == (2, 4)
    put(tmp_path, "dev.npz", measured(images=np.zeros(3)))
    refused(DataError, "is damaged", lambda: read_embeddings(tmp_path))
