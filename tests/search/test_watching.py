from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from colour_encoder import paint

pytest.importorskip("watchfiles")

from user_itr.search import watching
from user_itr.search.watching import FolderWatcher, changed_folders

STOP = threading.Event()
LONG = 60.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.2)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    paint(tmp_path / "a" / "old.2020" / "o.png", "red")
    (tmp_path / "b").mkdir()
    for name in ("2021-05-06", "2021.05.06", "Trip v1.2"):
        paint(tmp_path / "elsewhere" / name / "x.png", "blue")
    return [tmp_path / "a", tmp_path / "b"]


@pytest.fixture
def watcher(folders: list[Path]) -> Iterator[FolderWatcher]:
    with FolderWatcher(folders) as watcher:
        yield watcher


def test_photos_are_noticed_and_other_files_are_not(
    folders: list[Path], watcher: FolderWatcher
) -> None:
    a, b = folders
    (a / "note.txt").write_text("nothing")
    (a / "download.jpg.part").write_bytes(b"half")
    paint(b / "photo.png", "red")
    assert watcher.wait(STOP, LONG) == [b]
    (a / "note.txt").unlink()
    (b / "photo.png").unlink()
    assert watcher.wait(STOP, LONG) == [b]
    (b / "come-and-gone.tmp").write_text("")
    (b / "come-and-gone.tmp").unlink()
    (a / "download.jpg.part").rename(a / "download.jpg")
    assert watcher.wait(STOP, LONG) == [a]
    (b / "photo.xmp").write_text("<xmp/>")
    assert watcher.wait(STOP, LONG) == [b]


@pytest.mark.parametrize("name", ["2021-05-06", "2021.05.06", "Trip v1.2"])
def test_folders_that_are_moved(folders: list[Path], watcher: FolderWatcher, name: str) -> None:
    a, b = folders
    (a.parent / "elsewhere" / name).rename(a / name)
    assert watcher.wait(STOP, LONG) == [a]
    paint(a / name / "sub.d" / "new.png", "green")
    assert watcher.wait(STOP, LONG) == [a]
    (a / name).rename(a / "renamed.to")
    assert watcher.wait(STOP, LONG) == [a]
    paint(a / "renamed.to" / "sub.d" / "newer.png", "green")
    assert watcher.wait(STOP, LONG) == [a]
    (a / "renamed.to").rename(b / name)
    assert watcher.wait(STOP, LONG) == [a, b]
    (a / "old.2020").rename(a.parent / "old.2020")
    assert watcher.wait(STOP, LONG) == [a]


def test_what_changes_between_two_questions_is_told(
    folders: list[Path], watcher: FolderWatcher
) -> None:
    a, b = folders
    paint(a / "one.png", "red")
    paint(b / "deep" / "deeper" / "two.png", "red")
    assert watcher.wait(STOP, LONG) == [a, b]
    assert watcher.wait(STOP, 0) == []


def away_and_back(folder: Path) -> list[Callable[[], object]]:
    aside = folder.with_name("aside")
    return [lambda: folder.rename(aside), lambda: aside.rename(folder)]


def deleted_and_made_again(folder: Path) -> list[Callable[[], object]]:
    return [lambda: shutil.rmtree(folder), lambda: folder.mkdir()]


def another_in_its_place(folder: Path) -> list[Callable[[], object]]:
    aside = folder.with_name("aside")
    return [lambda: (folder.rename(aside), folder.mkdir())]


@pytest.mark.parametrize("happens", [away_and_back, deleted_and_made_again, another_in_its_place])
def test_a_folder_that_vanishes_is_told_and_watched_again(
    folders: list[Path],
    watcher: FolderWatcher,
    happens: Callable[[Path], list[Callable[[], object]]],
) -> None:
    a = folders[0]
    for step in happens(a):
        step()
        assert watcher.wait(STOP, LONG) == [a]
    paint(a / "sub" / "after.png", "red")
    assert watcher.wait(STOP, LONG) == [a]
    paint(a / "sub" / "more.png", "red")
    assert watcher.wait(STOP, LONG) == [a]


def test_a_folder_that_is_not_there_yet_and_a_single_photo(tmp_path: Path) -> None:
    photo = paint(tmp_path / "photo.png", "red")
    later = tmp_path / "later" / "photos"
    with FolderWatcher([later, photo]) as watcher:
        paint(later / "x.png", "red")
        assert watcher.wait(STOP, LONG) == [later]
        new = paint(tmp_path / "new.png", "blue")
        new.replace(photo)
        assert watcher.wait(STOP, LONG) == [photo]
        paint(photo, "green")
        assert watcher.wait(STOP, LONG) == [photo]


def test_the_index_inside_a_folder_is_not_looked_at(folders: list[Path]) -> None:
    a, b = folders
    (a / "index.d").mkdir()
    with FolderWatcher(folders, ignored=[a / "index.d"]) as watcher:
        paint(a / "index.d" / "table" / "x.png", "red")
        paint(b / "photo.png", "red")
        assert watcher.wait(STOP, LONG) == [b]


def test_polling_notices_the_same(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    a, _ = folders
    with FolderWatcher(folders) as watcher:
        (a.parent / "elsewhere" / "2021.05.06").rename(a / "2021.05.06")
        assert watcher.wait(STOP, LONG) == [a]
        paint(a / "2021.05.06" / "new.png", "red")
        assert watcher.wait(STOP, LONG) == [a]


LIMITED = """
import sys, threading
from pathlib import Path
from user_itr.search import watching
watching.QUIET_SECONDS, watching.POLL_SECONDS = 0.3, 0.2
root, stop = Path(sys.argv[1]), threading.Event()
with watching.FolderWatcher([root], say=print) as watcher:
    for number in range(6):  # the first ones are within the limit, unless it is zero
        (root / f"sub.{number}").mkdir()
        assert watcher.wait(stop, 60) == [root]
        (root / f"sub.{number}" / "x.jpg").write_bytes(b"new")
        assert watcher.wait(stop, 60) == [root], number
"""


@pytest.mark.parametrize(
    ("limit", "count"), [("max_inotify_watches", 4), ("max_inotify_instances", 0)]
)
def test_the_system_limit_of_watches(tmp_path: Path, limit: str, count: int) -> None:
    """In a user namespace, which has limits of its own."""
    (tmp_path / "photos").mkdir()
    shell = f'echo {count} > /proc/sys/user/{limit} || exit 77; exec "$@"'
    program = [sys.executable, "-c", LIMITED, str(tmp_path / "photos")]
    try:
        ended = subprocess.run(
            ["unshare", "-Ur", "sh", "-c", shell, "sh", *program],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if ended.returncode == 77 or "unshare" in ended.stderr:
        pytest.skip(f"no user namespaces here: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    assert "the system cannot watch it" in ended.stdout
    assert "every 0.2 seconds" in ended.stdout


def test_an_iteration_over_changes(folders: list[Path]) -> None:
    stop, seen = threading.Event(), []

    def look() -> None:
        for changed in changed_folders(folders, stop):
            seen.append(changed)
            stop.set()

    thread = threading.Thread(target=look)
    thread.start()
    deadline = threading.Event()
    for number in range(600):  # the watch may not be in place yet
        if stop.is_set() or deadline.wait(1.0):
            break
        paint(folders[1] / f"{number}.png", "red")
    thread.join(30)
    assert not thread.is_alive()
    assert seen == [[folders[1]]]


def test_a_missing_package_is_named(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(Exception, match=r"pip install user-itr\[app\]"):
        FolderWatcher(folders)


UNREADABLE = """
import os, platform, sys, threading
from pathlib import Path
import watchfiles
from user_itr.search import watching
os.setgroups([]), os.setgid(65534), os.setuid(65534)
watching.QUIET_SECONDS, watching.POLL_SECONDS = 0.3, 0.2
root, stop = Path(sys.argv[1]), threading.Event()
with watching.FolderWatcher([root], say=print) as watcher:
    for name in ("a", "m", "z"):
        (root / name / "x.jpg").write_bytes(b"new")
        assert watcher.wait(stop, 60) == [root], name
    (root / "new").mkdir()
    assert watcher.wait(stop, 60) == [root]
    (root / "new" / "x.jpg").write_bytes(b"new")
    assert watcher.wait(stop, 60) == [root]
    for mode in (0o000, 0o700):
        root.chmod(mode)
        assert watcher.wait(stop, 60) == [root]
    (root / "z" / "y.jpg").write_bytes(b"new")
    assert watcher.wait(stop, 60) == [root]
"""


@pytest.mark.parametrize("polling", ["", "1"])
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_folders_that_may_not_be_entered(polling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One below, as `lost+found` is, and the watched one itself for a while."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", polling)
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        root = Path(place, "photos")
        for name in ("a", "b", "lost+found", "m", "z"):
            (root / name).mkdir(parents=True)
        for path in (root, *root.iterdir()):
            os.chown(path, 65534, 65534)
        os.chown(root / "lost+found", 0, 0)
        (root / "lost+found").chmod(0o700)
        ended = subprocess.run(
            [sys.executable, "-c", UNREADABLE, str(root)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
