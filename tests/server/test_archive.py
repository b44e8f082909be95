"""Several photos in one zip file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from colour_encoder import PALETTE, paint

from user_itr.search.found import photo_id
from user_itr.server import archive as archive_module
from user_itr.server.archive import ABSENT, parts_of


def asked(client, *ids: str):
    return client.post("/api/photos/zip", data={"photos": " ".join(ids)})


def ids_of(index) -> dict[str, str]:
    return {str(one.path): one.id for one in index.newest(99)}


def test_photos_come_as_they_are(client, index, photos):
    ids = ids_of(index)
    answer = asked(client, *ids.values(), *ids.values())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="photos.zip"'
    assert "content-length" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        assert {Path(path).name: Path(path).read_bytes() for path in ids} == {
            name: found.read(name) for name in found.namelist()
        }
        assert {one.compress_type for one in found.infolist()} == {zipfile.ZIP_STORED}
        assert len(found.namelist()) == len(PALETTE)


def test_names_are_unique_and_can_be_made_anywhere(index, encoder, photos, client):
    odd = [
        "CON.png",
        'a:b"?.png',
        "RED.png",
        "日本語.png",
        "x" * 200 + ".png",
        "a\\b.png",
    ]
    for number, name in enumerate(odd):
        paint(photos / "odd" / name, "red", (20 + number, 20))
    paint(photos / "even" / "red.png", "blue")
    index.update(photos, encoder)
    answer = asked(client, *ids_of(index).values())
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        names = found.namelist()
    assert len({name.casefold() for name in names}) == len(names) == len(PALETTE) + len(odd) + 1
    assert {"_CON.png", "a_b__.png", "日本語.png", "a_b.png"} <= set(names)
    assert {"red.png", "red (2).png", "red (3).png"} <= {name.casefold() for name in names}


def test_photos_that_are_gone_are_told_of(client, index, photos):
    ids = ids_of(index)
    red, blue = photos / "odd" / "red.png", photos / "odd" / "blue.png"
    red.unlink()
    blue.write_bytes(b"no image any more")
    secret = photos.parent / "secret.png"
    paint(secret, "green")
    purple = photos / "odd" / "purple.png"
    purple.unlink()
    purple.symlink_to(secret)
    answer = asked(client, *(ids[str(path)] for path in (red, blue, purple)))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.namelist() == [ABSENT]
        text = found.read(ABSENT).decode()
    assert "red.png: the file is gone" in text
    assert "blue.png: is no image any more" in text
    assert "purple.png: is a link out of the indexed folder" in text


@pytest.mark.parametrize("given", ["", "x", "0" * 16 + ",", " ".join(["0" * 16] * 2_001)])
def test_lists_of_ids_that_are_refused(client, given):
    assert client.post("/api/photos/zip", data={"photos": given}).status_code == 422


def test_photos_that_the_index_lacks(client):
    assert asked(client, "0" * 16).status_code == 404


def test_another_sites_form_is_refused(client, index):
    ids = " ".join(ids_of(index).values())
    answer = client.post(
        "/api/photos/zip", data={"photos": ids}, headers={"Origin": "http://evil.example"}
    )
    assert answer.status_code == 403


def test_a_file_is_closed_when_nobody_reads_on(index, photos, monkeypatch):
    opened = []

    def open_photo(facts):
        opened.append(archive_open(facts))
        return opened[-1]

    archive_open = archive_module.open_photo
    monkeypatch.setattr(archive_module, "open_photo", open_photo)
    monkeypatch.setattr(archive_module, "CHUNK", 16)
    parts = parts_of(index.newest(99))
    for _ in range(3):
        assert next(parts)
    [photo] = opened
    assert not photo.file.closed
    parts.close()
    assert photo.file.closed


def test_a_photo_that_becomes_shorter_cuts_the_archive(index, photos, monkeypatch):
    monkeypatch.setattr(archive_module, "CHUNK", 16)
    [facts] = index.newest(1)
    with facts.path.open("ab") as file:
        file.write(bytes(100_000))  # more than is read ahead
    parts = parts_of([facts])
    next(parts)
    with facts.path.open("rb+") as file:
        file.truncate(20)
    with pytest.raises(OSError, match="became shorter"):
        list(parts)


def test_only_one_photo_is_open_at_a_time(index, photos, monkeypatch):
    opened = []
    archive_open = archive_module.open_photo

    def open_photo(facts):
        assert all(one.file.closed for one in opened)
        opened.append(archive_open(facts))
        return opened[-1]

    monkeypatch.setattr(archive_module, "open_photo", open_photo)
    whole = b"".join(parts_of(index.newest(99)))
    assert len(opened) == len(PALETTE)
    assert zipfile.ZipFile(io.BytesIO(whole)).testzip() is None
    assert photo_id(str(opened[0].facts.path)) == opened[0].facts.id
