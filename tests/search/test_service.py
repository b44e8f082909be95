from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from colour_encoder import ColourEncoder, paint

pytest.importorskip("watchfiles")

from user_itr.errors import DataError, IndexBusyError
from user_itr.search import service, watching
from user_itr.search.index import ImageIndex
from user_itr.search.service import keep_current, when_free
from user_itr.search.table import write_lock
from user_itr.search.watching import FolderWatcher


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(service, "BUSY_SECONDS", 0.05)


class Service:
    """The loop over one folder, in this thread; a step that waits too long fails the test.

    Each update is a real one, after which the next of `steps` is taken: it changes files, and the
    loop ends when there is none left.
    """

    def __init__(self, index: ImageIndex, folder: Path, encoder: ColourEncoder) -> None:
        self.index, self.folder, self.encoder = index, folder, encoder
        self.said: list[str] = []
        self.sizes: list[int] = []
        self.stop = threading.Event()
        self.before: Callable[[], object] = lambda: None

    def update(self, folders: list[Path]) -> None:
        assert folders == [self.folder]
        self.before()
        try:
            self.index.update(self.folder, self.encoder)
        except IndexBusyError:
            raise  # not updated: the loop waits
        except DataError:
            self._done()
            raise
        self._done()

    def _done(self) -> None:
        self.sizes.append(len(self.index))
        self._step()

    def _step(self) -> None:
        if not self.steps:
            self.stop.set()
        else:
            self.steps.pop(0)()

    def run(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)
        too_long = threading.Timer(120, self.stop.set)
        too_long.start()
        with FolderWatcher([self.folder]) as watcher:
            keep_current(watcher, self.update, self.said.append, due=[self.folder], stop=self.stop)
        too_long.cancel()
        assert not self.steps


@pytest.fixture
def running(index: ImageIndex, photos: Path, encoder: ColourEncoder) -> Service:
    return Service(index, photos, encoder)


def test_what_arrives_during_an_update_is_taken_in(running: Service, photos: Path) -> None:
    running.run(
        lambda: paint(photos / "during.png", "red", (5, 5)),
        lambda: paint(photos / "a.folder" / "and then.png", "red", (6, 6)),
        lambda: (photos / "during.png").unlink(),
    )
    assert running.sizes == [8, 9, 10, 9]
    assert running.said == []


def test_a_folder_that_vanishes_and_comes_back(running: Service, photos: Path) -> None:
    aside = photos.with_name("aside")
    running.run(
        lambda: photos.rename(aside),
        lambda: aside.rename(photos),
        lambda: shutil.move(photos, aside),
        lambda: shutil.copytree(aside, photos),
        lambda: paint(photos / "new.png", "red", (5, 5)),
    )
    assert running.sizes == [8, 8, 8, 8, 8, 9]


def test_an_empty_folder_is_outlived(running: Service, photos: Path) -> None:
    aside = photos.with_name("aside")

    def empty() -> None:
        aside.mkdir()
        for path in list(photos.iterdir()):
            path.rename(aside / path.name)

    def fill() -> None:
        for path in list(aside.iterdir()):
            path.rename(photos / path.name)

    running.run(empty, fill)
    assert running.sizes[0] == running.sizes[-1] == 8
    assert len(running.index) == 8


def test_another_writer_is_waited_for(running: Service, photos: Path) -> None:
    with write_lock(running.index.location):
        free = threading.Event()
        running.said = Waking(free)
        thread = threading.Thread(target=running.run)
        thread.start()
        assert free.wait(60)
    thread.join(60)
    assert running.sizes == [8]
    assert len(running.said) == 1
    waits = "another process is writing to the index; waiting until it is done."
    assert running.said[0].endswith(waits)


class Waking(list[str]):
    """Sets an event when something is added."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self.event = event

    def append(self, text: str) -> None:
        super().append(text)
        self.event.set()


def test_an_update_that_fails_is_tried_again_and_told_once(
    running: Service, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", (0.01, 0.02))
    failures: list[Exception] = [OSError(5, "Input/output error"), ValueError("a defect")]
    failures += [DataError("a sentence.")] * 3

    def fail() -> None:
        if failures:
            raise failures.pop(0)

    running.before = fail
    running.run()
    assert running.sizes == [8]
    assert [text.removesuffix(" The watch goes on.") for text in running.said] == [
        f"{photos}: the update failed (OSError: [Errno 5] Input/output error).",
        f"{photos}: the update failed (ValueError: a defect).",
        "a sentence.",
    ]


def test_waiting_for_a_writer_can_be_ended(index: ImageIndex) -> None:
    stop = threading.Event()

    def write() -> None:
        with write_lock(index.location):
            raise AssertionError("it is held")

    with write_lock(index.location), pytest.raises(IndexBusyError):
        when_free(write, lambda text: stop.set(), stop)
