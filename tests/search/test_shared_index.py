"""One index on object storage, many readers, one writer; the S3 server is a real one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("obstore", reason="the extra `s3` is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")

from colour_encoder import PALETTE, ColourEncoder, paint
from inspect_index import counts
from made_rows import put, unit
from s3_server import VARIABLES, s3_server, without_conditions
from shared_reader import counts_until

from user_itr.cli import index as index_command
from user_itr.cli import main
from user_itr.cli import search as search_command
from user_itr.errors import IndexStoreError
from user_itr.search import index as index_module
from user_itr.search import lease as lease_module
from user_itr.search.index import ImageIndex
from user_itr.search.lease import Lease
from user_itr.search.location import LOCK, Place, location_of
from user_itr.search.manifest import Manifest
from user_itr.search.object_store import ObjectStore
from user_itr.search.query import search_text
from user_itr.search.sentences import SentenceStore
from user_itr.search.store.lance import LanceStore, drop_tables
from user_itr.search.table import write_lock

DIM = 16


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server("photos") as address:
        yield address


@pytest.fixture(autouse=True)
def variables(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place() -> str:
    return f"s3://photos/{uuid.uuid4().hex}/index"


def opened(place: Place, *, create: bool) -> LanceStore:
    return LanceStore(location_of(place), "photos-1", "sentences-1", DIM, create=create)


def add(store: LanceStore, first: int, count: int) -> None:
    put(store, [f"/p/{row}" for row in range(first, first + count)], unit(count, DIM, first))


def test_an_index_in_a_bucket_does_what_one_in_a_folder_does(
    place: str, photos: Path, encoder: ColourEncoder
) -> None:
    with pytest.raises(IndexStoreError, match=r"no such search index; make one with .*s3://"):
        ImageIndex.open(place)
    index = ImageIndex.create_or_open(place, encoder, "model")
    assert counts(index.update(photos, encoder)) == (len(PALETTE), 0, 0, 0)
    (photos / "red.png").unlink()
    green = paint(photos / "even" / "green.png", "green", (30, 20))
    (photos / "blue.png").rename(photos / "sea.png")
    report = index.update(photos, encoder)
    assert (counts(report), report.moved) == ((0, 1, len(PALETTE) - 3, 1), 1)

    opened_index = ImageIndex.open(place + "/")
    assert str(opened_index.location) == place
    assert len(opened_index) == len(PALETTE) - 1
    for words, path in (("green", green), ("blue", photos / "sea.png")):
        assert search_text(opened_index, encoder, words)[0].path == path
    SentenceStore(index).replace([f"something {colour}" for colour in PALETTE], encoder)
    described = SentenceStore(opened_index).describe(encoder.encode_text(["blue"])[0], 1)
    assert [one.text for one in described] == ["something blue"]
    with pytest.raises(IndexStoreError, match="in no folder"):
        _ = opened_index.path

    stored = ObjectStore(place)._store.list().collect()
    assert len(stored) > 5
    for one in stored:
        content = bytes(ObjectStore(place)._store.get(one["path"]).bytes())
        for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert VARIABLES[secret].encode() not in content


def test_readers_see_whole_commits_while_one_process_writes(place: str) -> None:
    last = 120
    writer = opened(place, create=True)
    add(writer, 0, 10)
    command = [sys.executable, str(Path(__file__).with_name("shared_reader.py")), place]
    process = subprocess.Popen(
        [*command, str(DIM), str(last)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ready = threading.Event()
    seen: list[list[int]] = []
    errors: list[BaseException] = []

    def read() -> None:
        try:
            table = opened(place, create=False)
            seen.extend(counts_until(table, DIM, last, ready.set))
        except BaseException as error:
            errors.append(error)
            ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert ready.wait(60)
        with write_lock(place):
            for first in range(10, last, 10):
                add(writer, first, 10)
                if first % 30 == 0:
                    writer.finish()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    reader.join(60)
    assert not errors, errors
    assert process.returncode == 0, err
    for one in (seen, json.loads(out)):
        assert one[-1] == [last, last]
        assert all(count % 10 == 0 for pair in one for count in pair), one
        flat = [count for pair in one for count in pair]
        assert flat == sorted(flat), "a reader went back in time"


def test_compacting_leaves_other_readers_their_version(place: str) -> None:
    writer = opened(place, create=True)
    add(writer, 0, 10)
    reader = opened(place, create=False)
    reader._table.checkout(reader._table.version)  # as in the middle of a long query
    for first in range(10, 50, 10):
        add(writer, first, 10)
    assert writer.remove([f"/p/{row}" for row in range(10)]) == 10
    writer.finish()
    assert sorted(reader._table.to_arrow()["path"].to_pylist()) == [f"/p/{x}" for x in range(10)]
    assert len(reader) == 40


def test_one_writer_at_a_time(place: str, photos: Path, encoder: ColourEncoder) -> None:
    index = ImageIndex.create_or_open(place, encoder, "model")
    with write_lock(place):
        for attempt in (
            lambda: index.update(photos, encoder),
            lambda: SentenceStore(index).replace(["a"], encoder),
            lambda: ImageIndex.rebuild(place, encoder, "model"),
        ):
            with pytest.raises(IndexStoreError, match=r"another process is writing .*process \d+"):
                attempt()
    assert index.update(photos, encoder).added == len(PALETTE)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1_000_000.0)
    clock.time = clock.monotonic = lambda: clock.now
    monkeypatch.setattr(lease_module, "time", clock)
    return clock


def test_a_dead_writers_lease_is_taken_over(place: str, clock: SimpleNamespace) -> None:
    dead, other, third = (Lease(ObjectStore(place), LOCK, 60) for _ in range(3))
    dead.acquire()
    clock.now += 50
    dead.require()
    dead.renew()
    for _ in range(2):  # by 50 + 60 seconds and the allowance for clocks
        clock.now += 35
        with pytest.raises(IndexStoreError, match=r"runs out at 1970-01-12T13:48:45"):
            other.acquire()
    with pytest.raises(IndexStoreError, match="could not renew"):
        dead.require()
    clock.now += 6
    other.acquire()
    other.require()
    dead.renew()
    dead.release()  # which is not its own any more
    with pytest.raises(IndexStoreError, match="another process is writing"):
        third.acquire()
    other.release()
    third.acquire()
    third.release()


def test_a_process_that_lost_its_lease_writes_no_more(place: str, clock: SimpleNamespace) -> None:
    location = location_of(place)
    table = opened(location, create=True)
    with location.lock():
        add(table, 0, 10)
        clock.now += 1_000
        for attempt in (
            lambda: add(table, 10, 10),
            lambda: table.remove(["/p/1"]),
            lambda: table.finish(),
            lambda: drop_tables(location, keep=[]),
            lambda: location.replace("index.json", b""),
        ):
            with pytest.raises(IndexStoreError, match="run the command again"):
                attempt()
    assert len(table) == 10


def test_a_lease_is_renewed_while_it_is_held(place: str) -> None:
    store = ObjectStore(place)
    lease = Lease(store, LOCK, seconds=0.2)
    lease.acquire()
    first = store.read(LOCK)
    changed = threading.Event()
    for _ in range(1_000):
        if store.read(LOCK) != first or changed.wait(0.01):
            break
    else:
        raise AssertionError("nothing renews the lease")
    lease.release()
    assert json.loads(store.read(LOCK))["expires"] == 0


def test_a_damaged_lock_is_no_free_lock(place: str) -> None:
    ObjectStore(place).replace(LOCK, b"?")
    with pytest.raises(IndexStoreError, match="damaged"), write_lock(place):
        pass


def test_a_store_that_ignores_conditions_is_refused(
    place: str, endpoint: str, monkeypatch: pytest.MonkeyPatch, encoder: ColourEncoder
) -> None:
    with without_conditions(endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy)
        with pytest.raises(IndexStoreError, match="ignores conditional writes"):
            ImageIndex.create_or_open(place, encoder, "model")


def test_open_indexes_follow_a_rebuild(
    place: str, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "FOLLOW_SECONDS", -1.0)
    ImageIndex.create_or_open(place, encoder, "model").update(photos, encoder)
    reader = ImageIndex.open(place)
    again = ImageIndex.rebuild(place, encoder, "model")
    paint(photos / "new.png", "red")
    again.update(photos, encoder)
    assert (len(reader), reader.manifest.generation) == (len(PALETTE), 1)
    again.commit()
    assert (len(reader), reader.manifest.generation) == (len(PALETTE) + 1, 2)
    assert "photos-1.lance" in reader.location.entries()

    other = ColourEncoder("newer colours")
    newest = ImageIndex.rebuild(place, other, "newer")
    newest.update(photos, other)
    newest.commit()
    # Servers with the old model go on until they are started again.
    assert search_text(reader, encoder, "red")[0].path.stem in ("red", "new")
    assert reader.manifest.fingerprint == encoder.fingerprint
    with pytest.raises(IndexStoreError, match="made again by another model"):
        reader.update(photos, encoder)
    tables = [name for name in reader.location.entries() if name.endswith(".lance")]
    assert sorted(tables) == ["photos-2.lance", "photos-3.lance"]
    drop_tables(place, keep=["photos-3"])
    with pytest.raises(IndexStoreError, match="made again by another model"):
        search_text(reader, encoder, "red")


def test_a_prefix_with_other_things_is_no_place_for_an_index(
    place: str, encoder: ColourEncoder
) -> None:
    ObjectStore(place).replace("holiday.jpg", b"1")
    with pytest.raises(IndexStoreError, match=r"other things \(holiday.jpg\)"):
        ImageIndex.create_or_open(place, encoder, "model")
    with pytest.raises(IndexStoreError, match="is not a search index"):
        ImageIndex.open(place)


@pytest.mark.parametrize("name", ["s3://", "s3:///x", "s3://b/../x", "gs://bucket/x"])
def test_addresses_that_are_none(name: str) -> None:
    with pytest.raises(IndexStoreError, match="give"):
        location_of(name)


def test_commands_take_the_address(
    place: str,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for module in (index_command, search_command):
        monkeypatch.setattr(module, "load_encoder", lambda _: ColourEncoder())
    for words in (
        ["index", str(photos), "--model", "model", "--workers", "1"],
        ["index", str(photos), "--rebuild", "--workers", "1"],
        ["search", "blue", "--top", "1", "--json"],
    ):
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*words, "--index", place])
        assert not end.value.code
    found = json.loads(capfd.readouterr().out)["results"]
    assert [hit["path"] for hit in found] == [str(photos / "blue.png")]
    assert Manifest.read(place).generation == 2


def mistake(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    out, err = capfd.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1), err
    return err


def test_mistakes_are_one_sentence(
    place: str,
    photos: Path,
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = mistake(capfd, "search", "red", "--index", "s3://other/index")
    assert "there is no such bucket" in said
    assert "no such search index" in mistake(capfd, "search", "red", "--index", place)
    ImageIndex.create_or_open(place, encoder, "model")
    reader = ImageIndex.open(place)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "no answer from http://127.0.0.1:1" in mistake(capfd, "serve", "--index", place)
    said = mistake(capfd, "index", str(photos), "--index", place)
    assert "no answer from http://127.0.0.1:1" in said
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    said = mistake(capfd, "search", "red", "--index", place)
    assert "no credentials; set AWS_ACCESS_KEY_ID" in said
    assert len(reader) == 0  # an index that is open keeps what it was opened with


def test_a_server_that_goes_down_is_told_of(
    encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server("short") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        index = ImageIndex.create_or_open("s3://short/index", encoder, "model")
        assert Manifest.exists(index.location)
    for attempt in (
        lambda: len(index),
        lambda: ImageIndex.open("s3://short/index"),
    ):
        with pytest.raises(IndexStoreError, match=f"no answer from {endpoint}"):
            attempt()


def test_answers_of_stores_are_not_quoted() -> None:
    answer = (
        'S3 status: 403, body: Some("<?xml version=\\"1.0\\"?>\\n<Error><Code>{}</Code>'
        '<AWSAccessKeyId>AKIA123</AWSAccessKeyId></Error>")'
    )
    store = ObjectStore("s3://photos/x")
    for code in ("SignatureDoesNotMatch", "AccessDenied", "SlowDown"):
        for error in (RuntimeError(answer.format(code)), ValueError(answer.format(code)[3:])):
            said = store.reason(error)
            assert "AKIA" not in said
    assert "AWS_SECRET_ACCESS_KEY does not fit" in store.reason(
        RuntimeError(answer.format("SignatureDoesNotMatch"))
    )
    assert store.reason(RuntimeError("status: 503, body: AKIA")) == (
        "the store answered with status 503"
    )
