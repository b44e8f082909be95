from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.data.problems import Problem
from user_itr.data.webdataset import ArchiveMember, Sample, list_samples
from user_itr.errors import DataError

Members = list[tuple[str, bytes]]


def write(file: Path, members: Members, format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(file, "w", format=format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def listed(file: Path) -> tuple[list[Sample], list[Problem]]:
    entries = list(list_samples(file))
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    return samples, [entry for entry in entries if isinstance(entry, Problem)]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_samples_with_captions_in_order(tmp_path: Path, format: int) -> None:
    long = "d" * 90 + "/" + "e" * 90  # needs a header of its own
    file = write(
        tmp_path / "0.tar",
        [
            ("b/2.JPG", b"second"),
            ("b/2.txt", " a dog é\n".encode()),
            ("README", b"none"),
            ("a/1.json", json.dumps({"caption": "a cat", "width": 3}).encode()),
            ("a/1.webp", b"first"),
            ("a/1.seg.png", b"a mask"),
            ("._a.jpg", b"none"),
            ("3.cls", b"7"),
            (f"{long}.png", b"long"),
            ("4.json", b'{"caption": 3}'),
            ("4.png", b""),
        ],
        format,
    )
    samples, problems = listed(file)
    assert problems == []
    assert [(one.key, one.caption, one.image.read()) for one in samples] == [
        ("b/2", "a dog é", b"second"),
        ("a/1", "a cat", b"first"),
        (long, None, b"long"),
        ("4", None, b""),
    ]
    assert samples[0].image.path == Path(f"{file}/b/2.JPG")


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = write(
        tmp_path / "0.tar",
        [
            ("1.png", b"1"),
            ("1.jpg", b"again"),
            ("2.png", b"2"),
            ("2.txt", b"\xff"),
            ("1.png", b"comes again"),
            ("3.png", b"3"),
            ("3.json", b"{"),
            ("caf\udce9.png", b"4"),
            ("5.png", b"5"),
            ("5.txt", b" " * ((1 << 20) + 1)),
        ],
        tarfile.GNU_FORMAT,
    )
    samples, problems = listed(file)
    assert [(one.key, one.caption, one.image.read()) for one in samples] == [
        ("1", None, b"1"),
        ("2", None, b"2"),
        ("3", None, b"3"),
        ("5", None, b"5"),
    ]
    reasons = {problem.where: problem.message for problem in problems}
    assert list(reasons) == ["1.jpg", "2.txt", "1.png", "3.json", "caf\udce9.png", "5.txt"]
    assert "has an image already, 1.png" in reasons["1.jpg"]
    assert "UTF-8" in reasons["2.txt"]
    assert "came before" in reasons["1.png"]
    assert "no JSON" in reasons["3.json"]
    assert "not valid UTF-8" in reasons["caf\udce9.png"]
    assert "no caption" in reasons["5.txt"]


def test_links_folders_and_names_that_climb_leave_the_disk_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    file = tmp_path / "in" / "0.tar"
    file.parent.mkdir()
    with tarfile.open(file, "w") as tar:
        for name, kind in (("a.png", tarfile.SYMTYPE), ("b.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../secret.png"
            tar.addfile(info)
        info = tarfile.TarInfo("c.png")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        info = tarfile.TarInfo("../../climbs.png")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"here"))
    before = sorted(tmp_path.rglob("*"))
    samples, problems = listed(file)
    assert [(one.key, one.image.read()) for one in samples] == [("../../climbs", b"here")]
    assert problems == []
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tar_cut_short_gives_what_is_whole(tmp_path: Path) -> None:
    members = [(f"{n}.png", bytes([n]) * 700) for n in range(5)]  # a header and two blocks each
    whole = write(tmp_path / "whole.tar", members, tarfile.USTAR_FORMAT).read_bytes()
    for length, good in ((1536 * 3 + 100, 3), (1536 * 3, 3), (1536 * 2 + 900, 2), (1536 * 5, 5)):
        cut = tmp_path / f"{length}.tar"
        cut.write_bytes(whole[:length])
        samples, problems = listed(cut)
        assert [one.image.read() for one in samples] == [content for _, content in members[:good]]
        [problem] = problems
        assert "cut short" in problem.message
        assert f"nothing after {good - 1}.png was read" in problem.message


def test_a_damaged_header_is_no_end(tmp_path: Path) -> None:
    file = write(tmp_path / "0.tar", [(f"{n}.png", b"x") for n in range(4)], tarfile.USTAR_FORMAT)
    content = bytearray(file.read_bytes())
    content[2048:2058] = b"garbage..."
    file.write_bytes(content)
    samples, problems = listed(file)
    assert [one.key for one in samples] == ["0", "1"]
    assert "is damaged; nothing after 1.png" in problems[0].message


def test_a_header_that_goes_back_does_not_go_round(tmp_path: Path) -> None:
    file = write(tmp_path / "0.tar", [("0.png", b"x"), ("1.png", b"y")], tarfile.GNU_FORMAT)
    content = bytearray(file.read_bytes())
    header = tarfile.TarInfo.frombuf(bytes(content[1024:1536]), "utf-8", "strict")
    header.size = -1024
    content[1024:1536] = header.tobuf(tarfile.GNU_FORMAT)[:512]
    file.write_bytes(content)
    samples, problems = listed(file)
    assert [one.key for one in samples] == ["0"]
    assert len(problems) == 1


def test_no_tar(tmp_path: Path) -> None:
    file = tmp_path / "0.tar"
    for content in (b"", b"\x1f\x8b nothing", b"x" * 2000):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"0\.tar: is no uncompressed tar"):
            listed(file)
    with pytest.raises(DataError, match="cannot be read"):
        listed(tmp_path / "missing.tar")
    write(file, [])
    assert listed(file) == ([], [])


def test_a_changed_tar_is_not_read_by_old_places(tmp_path: Path) -> None:
    file = write(tmp_path / "0.tar", [("1.png", b"first")])
    [sample], _ = listed(file)
    assert sample.image.read() == b"first"
    os.utime(file, ns=(1, 1))
    with pytest.raises(DataError, match=r"0\.tar/1\.png: the tar has changed"):
        sample.image.read()
    file.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        sample.image.read()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_bytes_make_it_fail(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever a tar becomes, what is listed lies inside the file, or one sentence says no."""
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    members = [(f"{n}.png", bytes([n]) * 600) for n in range(3)] + [("2.txt", b"two")]
    kind = data.draw(st.sampled_from([tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT]))
    file = write(folder / "0.tar", members, kind)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 6500))
        content[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        samples, _ = listed(file)
    except DataError:
        return
    for sample in samples:
        assert isinstance(sample.image, ArchiveMember)
        assert len(sample.image.read()) == sample.image.size
