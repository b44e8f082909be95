"""Pictures that are made to harm who decodes them: in processes that bound time and memory."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import ColourEncoder, paint
from PIL import Image, features
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from user_itr.errors import DataError
from user_itr.features.preprocessing import Squash
from user_itr.search.index import ImageIndex
from user_itr.server import decoding
from user_itr.server.decoding import Decoders
from user_itr.server.pictures import THREADS, Pictures
from user_itr.server.uploads import uploaded_pixels

GIB = 1 << 30
RGB = {"name": "a picture.png", "pixels": 40_000_000, "draft": None}


def encoded(width: int, height: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 30)).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    made = Decoders(2, 120.0, 3 * GIB)
    yield made
    made.close()
    assert made.pids() == []


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_pixels_and_thumbnails_as_they_are_decoded_here(decoders: Decoders) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    fields, content = decoders.ask("a picture", buffer.getvalue(), **RGB)
    assert fields["size"] == [60, 40]
    assert np.array_equal(np.frombuffer(content, np.uint8).reshape(40, 60, 3), pixels)
    _, content = decoders.ask("a picture", buffer.getvalue(), name="a.png", height=20)
    assert Image.open(io.BytesIO(content)).size == (30, 20)


def test_an_upload_is_prepared_as_it_would_be_here(decoders: Decoders) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (90, 70, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    encoder = ColourEncoder()
    here = encoder.preprocess(Image.fromarray(pixels))
    for there in (encoder.worker_preprocess, None):
        encoder.worker_preprocess = there  # type: ignore[assignment]
        if there is None:
            encoder.preprocess = lambda image: Squash(16, 16)(image)  # type: ignore[method-assign]
        found = uploaded_pixels(buffer.getvalue(), "a.png", encoder, 10_000, decoders)
        assert found.dtype == here.dtype
        assert np.array_equal(found, here)


def test_what_cannot_be_decoded(decoders: Decoders) -> None:
    for content in (b"", b"no picture", encoded(9, 9)[:40]):
        with pytest.raises(DataError, match="a picture"):
            decoders.ask("a picture", content, **RGB)
    with pytest.raises(DataError, match="100 pixels is over the limit of 99"):
        decoders.ask("a picture", encoded(10, 10), **{**RGB, "pixels": 99})
    assert len(decoders.pids()) == 1  # it went on after each of them


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_is_given_back(decoders: Decoders) -> None:
    decoders.ask("a picture", encoded(9, 9), **RGB)
    [small] = decoders.pids()
    fields, content = decoders.ask("a picture", encoded(7_000, 5_700), **RGB)
    assert len(content) == 3 * 7_000 * 5_700
    if not fields["ends"]:  # the allocator gave all of it back
        assert decoders.pids() == [small]
    else:
        assert is_gone(small)
        assert decoders.pids() == []


@pytest.mark.skipif(os.name == "nt", reason="needs limits of address space")
def test_a_picture_that_needs_too_much_memory() -> None:
    decoders = Decoders(1, 120.0, GIB // 2)
    try:
        with pytest.raises(DataError, match="a picture"):
            decoders.ask("a picture", encoded(16_000, 16_000), **{**RGB, "pixels": 1 << 28})
        assert decoders.ask("a picture", encoded(9, 9), **RGB)[0]["size"] == [9, 9]
    finally:
        decoders.close()


def test_a_picture_that_crashes_its_decoder(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice: a process that had done others before may have ended for another reason."""
    decoders.ask("a picture", encoded(9, 9), **RGB)
    crash = "import sys, os; sys.stdin.buffer.read(16); os.abort()"
    monkeypatch.setattr(decoding, "PROGRAM", crash)
    os.kill(decoders.pids()[0], signal.SIGKILL)
    with pytest.raises(DataError, match=r"a picture: cannot be decoded .its decoder crashed"):
        decoders.ask("a picture", encoded(9, 9), **RGB)
    assert decoders.pids() == []
    monkeypatch.undo()
    assert decoders.ask("a picture", encoded(9, 9), **RGB)[0]["size"] == [9, 9]


def test_one_that_ended_while_it_had_nothing_to_do(decoders: Decoders) -> None:
    decoders.ask("a picture", encoded(9, 9), **RGB)
    os.kill(decoders.pids()[0], signal.SIGKILL)
    assert decoders.ask("a picture", encoded(9, 9), **RGB)[0]["size"] == [9, 9]


def test_one_that_takes_too_long() -> None:
    decoders = Decoders(1, 0.001, 3 * GIB)
    try:
        with pytest.raises(DataError, match="takes too long"):
            decoders.ask("a picture", encoded(3_000, 3_000), **RGB)
        assert decoders.pids() == []
    finally:
        decoders.close()


def test_no_more_than_two_at_a_time(decoders: Decoders) -> None:
    content = encoded(1_000, 1_000)
    most = []
    threads = [
        threading.Thread(target=lambda: decoders.ask("a picture", content, **RGB))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most.append(len(decoders.pids()))
    assert max(most) <= 2


def test_modules_in_the_folder_of_a_server_are_not_run(
    decoders: Decoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "PIL", "numpy", "struct"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    decoders.ask("a picture", encoded(9, 9), **RGB)
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_a_small_upload_with_many_pixels(client: TestClient) -> None:
    bomb = encoded(6_000, 6_000, "AVIF")
    assert len(bomb) < 50_000
    answer = client.post("/api/search", files={"photo": ("a.avif", bomb)})
    assert answer.status_code == 422
    assert "36,000,000 pixels is over the limit" in answer.json()["error"]


def test_a_thumbnail_is_of_the_file_that_was_opened(
    client: TestClient, tmp_path: Path, photos: Path
) -> None:
    """The file was replaced since it was indexed; and then put back, older than before."""
    from user_itr.search.found import photo_id

    path = photos / "odd" / "red.png"
    first, status = path.read_bytes(), path.stat()
    address = f"/api/photos/{photo_id(str(path))}/thumbnail?size=160"
    paint(path, "blue", (300, 90))
    swapped = client.get(address)
    assert Image.open(io.BytesIO(swapped.content)).size == (300, 90)
    path.write_bytes(first)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    back = client.get(address)
    assert Image.open(io.BytesIO(back.content)).size == (120, 90)
    assert back.headers["etag"] != swapped.headers["etag"]


def test_another_picture_of_the_same_size_and_time(client: TestClient, photos: Path) -> None:
    from user_itr.search.found import photo_id

    paths = [photos / "odd" / "one.bmp", photos / "odd" / "red.png"]
    paint(paths[0], "blue", (120, 90))
    content = paths[0].read_bytes()
    other = Image.open(io.BytesIO(content))
    buffer = io.BytesIO()
    Image.new("RGB", other.size, (250, 250, 0)).save(buffer, "BMP")
    assert len(buffer.getvalue()) == len(content)
    address = f"/api/photos/{photo_id(str(paths[1]))}/thumbnail?size=160"
    seen = []
    for picture in (content, buffer.getvalue()):
        paths[1].write_bytes(picture)
        os.utime(paths[1], (1_700_000_000, 1_700_000_000))
        seen.append(Image.open(io.BytesIO(client.get(address).content)).getpixel((60, 45)))
    assert seen[0][2] > 150 > seen[1][2]


def test_the_first_picture_finds_a_decoder(decoders: Decoders) -> None:
    decoders.prepare()
    [started] = decoders.pids()
    decoders.prepare()
    decoders.ask("a picture", encoded(30, 20), **RGB)
    assert decoders.pids() == [started]


def test_thumbnails_that_wait_for_a_decoder_do_not_keep_a_search_waiting(
    tmp_path: Path, index: ImageIndex
) -> None:
    [facts] = index.newest(1)
    decoders = Decoders(1, 120.0, 3 * GIB)
    pictures = Pictures(tmp_path / "cache", 10**9, decoders)

    async def many() -> None:
        with decoders._free:  # as another picture takes it
            asked = [asyncio.create_task(pictures.rendition(facts, 10 + n)) for n in range(60)]
            while pictures._threads._work_queue.qsize() < 60 - THREADS:
                await asyncio.sleep(0)
            assert await asyncio.wait_for(run_in_threadpool(len, index), 60) == len(index)
            assert not any(task.done() for task in asked)
        made = await asyncio.gather(*asked)
        assert len({len(one.content) for one in made}) > 1

    asyncio.run(many())
    pictures.close()
    decoders.close()
