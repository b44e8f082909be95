from __future__ import annotations

import os
from pathlib import Path

import pytest
from colour_encoder import paint

from user_itr.errors import ConfigError, DataError
from user_itr.search import walk as module
from user_itr.search.leaving_out import WalkOptions
from user_itr.search.walk import Walk, walk, walk_photo


def found(root: Path, **options: object) -> Walk:
    return walk(str(root), WalkOptions(**options))  # type: ignore[arg-type]


def names(result: Walk) -> list[str]:
    return sorted(os.path.relpath(path, result.root) for path in result.files)


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


UNUSUAL = {
    ".thumbnails/normal/t.jpg": "thumbnail caches",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg": "thumbnail caches",
    ".@__thumb/a.jpg": "thumbnail caches",
    "Thumbs.db": "thumbnail caches",
    "My.photoslibrary/resources/derivatives/a.jpg": "thumbnail caches",
    ".Trash-1000/files/deleted.jpg": "bins",
    "#recycle/gone.jpg": "bins",
    "$RECYCLE.BIN/S-1/x.jpg": "bins",
    ".trashed-1700000000-IMG.jpg": "bins",
    ".hidden/secret.jpg": "hidden files and folders",
    ".secret.jpg": "hidden files and folders",
    "._a.jpg": "hidden files and folders",
    "lost+found/x.jpg": "system folders",
}


def test_bins_caches_and_hidden_things_are_counted(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "My.photoslibrary/originals/b.jpg", *UNUSUAL)
    result = found(tmp_path)
    assert names(result) == ["My.photoslibrary/originals/b.jpg", "a.jpg"]
    wanted = {reason: list(UNUSUAL.values()).count(reason) for reason in UNUSUAL.values()}
    assert result.passed_over == wanted
    assert result.skipped == []


def test_hidden_things_on_demand(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", *UNUSUAL)
    left = {"Thumbs.db", "._a.jpg", "lost+found/x.jpg"}  # no pictures, or none that one can see
    assert names(found(tmp_path, include_hidden=True)) == sorted({"a.jpg", *UNUSUAL} - left)


def test_a_folder_that_is_named_may_be_hidden(tmp_path: Path) -> None:
    make(tmp_path, ".photos/a.jpg")
    assert names(found(tmp_path / ".photos")) == ["a.jpg"]


def test_the_index_itself_is_no_folder_of_photos(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "index/b.jpg")
    result = walk(str(tmp_path), index=str(tmp_path / "index"))
    assert names(result) == ["a.jpg"]
    assert not result.passed_over


def test_endings(tmp_path: Path) -> None:
    read = ["a.jpg", "b.JFIF", "c.jpe", "d.jpg_large", "e.HIF", "f.apng"]
    other = ["film.mp4", "film2.MP4", "g.jxl", "h.JPG~", "note", "b.txt"]
    make(tmp_path, *read, *other, ".IMG_5.HEIC.icloud")
    result = found(tmp_path)
    assert names(result) == sorted(read)
    counts = {reason.split(":")[0]: number for reason, number in result.passed_over.items()}
    assert counts == {
        ".mp4": 2,
        ".jxl": 1,
        ".jpg~": 1,
        "no ending": 1,
        ".txt": 1,
        "photos that are in iCloud only": 1,
    }
    assert result.present == {str(tmp_path / "IMG_5.HEIC")}


@pytest.mark.parametrize("decoder", [True, False])
def test_raw_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: bool) -> None:
    monkeypatch.setattr(module, "raw_installed", lambda: decoder)
    make(tmp_path, "IMG_1.CR2", "img_1.JPG", "IMG_2.dng", "sub/IMG_1.nef")
    result = found(tmp_path)
    alone = ["IMG_2.dng", "sub/IMG_1.nef"]
    assert names(result) == sorted(["img_1.JPG", *(alone if decoder else [])])
    assert result.passed_over["raw photographs beside a developed one"] == 1
    assert result.present == (set() if decoder else {str(tmp_path / path) for path in alone})


def test_patterns(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.png", "private/b.jpg", "deep/private/c.jpg", "deep/d.jpg", "top.gif")
    assert names(found(tmp_path, exclude=("*.png", "private/"))) == [
        "a.jpg",
        "deep/d.jpg",
        "top.gif",
    ]
    assert names(found(tmp_path, exclude=("/private", "deep/*.jpg"))) == [
        *("a.jpg", "a.png", "deep/private/c.jpg", "top.gif")
    ]
    whole = str(tmp_path / "deep")
    assert names(found(tmp_path, exclude=(whole,))) == [
        "a.jpg",
        "a.png",
        "private/b.jpg",
        "top.gif",
    ]
    result = found(tmp_path, exclude=("*", "!top.gif"))
    assert names(result) == ["top.gif"]
    assert result.passed_over == {"excluded by a pattern": 4}
    assert str(tmp_path / "private") in result.left_out
    with pytest.raises(ConfigError, match=r"--exclude: .*gitignore"):
        found(tmp_path, exclude=("a", "!"))


def test_ignore_files_hold_for_what_is_below_them(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.png", "in/b.png", "in/c.jpg", "in/keep.png", "in/deep/d.png")
    (tmp_path / ".user-itr-ignore").write_text("# not these\n*.png\n")
    (tmp_path / "in" / ".user-itr-ignore").write_text("!keep.png\nc.*\n")
    result = found(tmp_path)
    assert names(result) == ["a.jpg", "in/keep.png"]
    assert result.passed_over == {"excluded by a pattern": 4}
    assert names(found(tmp_path / "in")) == ["keep.png"], "files above the folder count, too"


def test_a_folder_whose_ignore_file_is_unreadable_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "in/b.jpg")
    (tmp_path / "in" / ".user-itr-ignore").mkdir()
    result = found(tmp_path)
    assert names(result) == ["a.jpg"]
    assert list(result.troubles) == [str(tmp_path / "in")]


def test_links(tmp_path: Path) -> None:
    root, other = tmp_path / "photos", tmp_path / "other"
    make(root, "a.jpg", "sub/b.jpg")
    make(other, "c.jpg", "deep/d.jpg")
    (root / "link").symlink_to(other)
    (root / "again").symlink_to(other / "deep")
    (root / "loop").symlink_to(root)
    (root / "sub" / "up").symlink_to("..")
    (root / "one.jpg").symlink_to(other / "c.jpg")
    (root / "double.jpg").symlink_to("a.jpg")
    (root / "broken.jpg").symlink_to("nowhere")
    result = found(root)
    assert names(result) == ["a.jpg", "one.jpg", "sub/b.jpg"]
    assert result.passed_over == {"links to folders": 4, "links to what is there already": 1}
    assert [path.name for path, _ in result.skipped] == ["broken.jpg"]
    assert result.present == {str(root / "broken.jpg")}
    followed = [os.path.realpath(path) for path in found(root, follow_links=True).files]
    assert sorted(os.path.relpath(path, tmp_path) for path in followed) == [
        *("other/c.jpg", "other/c.jpg", "other/deep/d.jpg", "photos/a.jpg", "photos/sub/b.jpg")
    ]


def test_odd_files(tmp_path: Path) -> None:
    make(tmp_path, "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes(b"x")
    result = found(tmp_path)
    assert names(result) == ["good.png"]
    told = {path.name: reason for path, reason in result.skipped}
    assert "no regular file" in told["pipe.png"]
    assert "UTF-8" in told["caf\udce9.png"]


@pytest.mark.parametrize(
    ("sidecar", "photo"),
    [
        ("IMG.jpg.xmp", "IMG.jpg"),
        ("IMG.xmp", "IMG.jpg"),
        ("img.XMP", "IMG.JPG"),
        ("IMG.jpg.xmp", "IMG.png"),
    ],
)
def test_sidecars(tmp_path: Path, sidecar: str, photo: str) -> None:
    make(tmp_path, sidecar, photo, "other.jpg", "deep/IMG.jpg")
    result = found(tmp_path)
    status = (tmp_path / sidecar).stat()
    if photo == "IMG.png":
        assert result.sidecars == {}
    else:
        beside = result.sidecars[str(tmp_path / photo)]
        assert beside.path == str(tmp_path / sidecar)
        assert beside.state == (status.st_size, status.st_mtime_ns)
        assert len(result.sidecars) == 1
    assert not result.passed_over


def test_the_longer_name_of_a_sidecar_comes_first(tmp_path: Path) -> None:
    make(tmp_path, "IMG.jpg", "IMG.xmp", "IMG.jpg.xmp")
    assert found(tmp_path).sidecars[str(tmp_path / "IMG.jpg")].path.endswith("IMG.jpg.xmp")


def test_folders_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.jpg", "bad/b.jpg", "gone/c.jpg")
    real = os.scandir

    def broken(folder: str) -> object:
        if folder.endswith("bad"):
            raise OSError(5, "Input/output error", folder)
        if folder.endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", broken)
    result = found(tmp_path)
    assert names(result) == ["a.jpg"]
    assert result.troubles == {str(tmp_path / "bad"): "cannot be listed (Input/output error)"}


def test_a_photo_that_is_named(tmp_path: Path) -> None:
    photo = paint(tmp_path / ".hidden" / "a.png", "red")
    (photo.parent / "a.xmp").touch()
    result = walk_photo(str(photo))
    assert list(result.files) == list(result.sidecars) == [str(photo)]
    with pytest.raises(DataError, match=r"notes.txt: is no image by its ending"):
        walk_photo(str(tmp_path / "notes.txt"))
