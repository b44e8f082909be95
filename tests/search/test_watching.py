from __future__ import annotations

import threading
from pathlib import Path

import pytest
from colour_encoder import paint

pytest.importorskip("watchfiles")

from user_itr.search.watching import changed_folders


def test_changed_photos_are_noticed_and_other_files_are_not(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    stop = threading.Event()
    seen: list[list[Path]] = []

    def look() -> None:
        for changed in changed_folders(folders, stop):
            seen.append(changed)
            stop.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    end = threading.Event()
    for number in range(200):  # until the watch is in place and tells of one
        (folders[0] / "note.txt").write_text(str(number))
        paint(folders[1] / f"{number}.png", "red")
        if end.wait(0.1) or stop.is_set():
            break
    watcher.join(30)
    assert not watcher.is_alive()
    assert seen == [[folders[1]]]
