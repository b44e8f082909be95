"""Which photos leave an index, and which stay though nothing is seen of them.

A file that is absent is not taken for deleted: its disk may be unplugged, its folder unreadable.
It leaves where its folder is there, can be read, and holds something still; or where other files of
the folder are seen elsewhere, as after a rename.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from user_itr.search.store.base import FileRow, PhotoStore
from user_itr.search.update.placing import CHUNK_ROWS, is_gone
from user_itr.search.update.report import IndexReport, Kept
from user_itr.search.walk import Walk


class Leaving:
    """Judges the rows whose files a walk did not find.

    Args:
        store: of the index.
        found: what the walk found.
        report: counts what left and tells what stays.
        old_folders: folders that files were moved out of; see `Placed`.
        allow_empty: what is missing counts as deleted, whatever became of its folder.
    """

    def __init__(
        self,
        store: PhotoStore,
        found: Walk,
        report: IndexReport,
        old_folders: set[str],
        allow_empty: bool,
    ) -> None:
        self.store = store
        self.found = found
        self.report = report
        self.old_folders = old_folders
        self.allow_empty = allow_empty
        self.kept: Counter[tuple[str, str]] = Counter()
        self._alive: dict[str, str] | None = None

    @property
    def alive(self) -> dict[str, str]:
        """Folders that hold something at or below them, each with a file that shows it."""
        if self._alive is None:
            self._alive = {}
            for path in (*self.found.files, *self.found.signs.values()):
                self._alive.setdefault(_parent(path), path)
            for folder, path in list(self._alive.items()):
                while (folder := _parent(folder)) not in self._alive:
                    self._alive[folder] = path
        return self._alive

    def leave(self, missing: Sequence[FileRow]) -> None:
        """Remove the rows of files that are gone, or passed over now; the others stay."""
        excluded = [row.path for row in missing if self._is_left_out(row.path)]
        apart = {*excluded, *self.found.present}
        rest = [row.path for row in missing if row.path not in apart]
        going = [path for path in rest if self._may_go(path)]
        for paths in _chunks(excluded):
            removed = self.store.remove(paths)
            self.report.excluded += removed
            self.report.removed += removed
        for paths in _chunks(going):
            seen: dict[str, bool] = {}
            self.report.removed += self.store.remove(
                [path for path in paths if self._is_still_gone(path, seen)]
            )

    def keep_of_unreadable(self, unreadable: dict[str, str], rows: dict[str, FileRow]) -> None:
        """Tell of files that could not be read: one line for all where a folder has gone."""
        dead: dict[str, tuple[str, str] | None] = {}
        lost: Counter[tuple[str, str]] = Counter()
        for path, reason in sorted(unreadable.items()):
            folder = _parent(path)
            if folder not in dead:
                dead[folder] = self._outermost_dead(path)
            gone = dead[folder]
            if gone is None:
                self.report.skipped.append((Path(path), reason))
                continue
            lost[gone] += 1
            self.kept[gone] += path in rows
        for (folder, what), number in lost.items():
            text = f"{what} since this run began; {_photos(number)} of it could not be read."
            self.report.skipped.append((Path(folder), text))

    def _outermost_dead(self, path: str) -> tuple[str, str] | None:
        """The largest folder around a file that went in the middle of the run, and how."""
        dead = None
        for folder in self._folders(path):
            what = trouble(folder)
            if what is None:
                break
            dead = folder, what
        return dead

    def finish(self) -> None:
        """Tell what was kept, and the folders that could not be gone through."""
        for (folder, what), number in sorted((+self.kept).items()):
            self.report.kept.append(Kept(Path(folder), number, what))
        for folder, reason in sorted(self.found.troubles.items()):
            number = self.kept[folder, reason]
            stay = f"; its {_photos(number)} stay in the index." if number else "."
            self.report.skipped.append((Path(folder), reason + stay))

    def _is_left_out(self, path: str) -> bool:
        left_out = self.found.left_out
        return bool(left_out) and (
            path in left_out or any(folder in left_out for folder in self._folders(path))
        )

    def _may_go(self, path: str) -> bool:
        """Whether a file's folder shows that the file itself is gone; counts it if not."""
        for folder in self._folders(path):
            if folder in self.found.troubles:
                self.kept[folder, self.found.troubles[folder]] += 1
                return False
        if self.allow_empty or _parent(path) in self.alive or _parent(path) in self.old_folders:
            return True
        dead = _parent(path)
        for folder in self._folders(path):
            if folder in self.alive:
                break
            dead = folder
        self.kept[dead, trouble(dead) or "holds no photos any more"] += 1
        return False

    def _is_still_gone(self, path: str, seen: dict[str, bool]) -> bool:
        """Look once more, just before a row goes: a disk may have gone since the walk."""
        folder = _parent(path)
        if self.allow_empty or folder not in self.alive:
            return is_gone(path)
        if folder not in seen:
            seen[folder] = os.path.lexists(self.alive[folder])
        if not seen[folder]:
            self.kept[folder, trouble(folder) or "changes while it is gone through"] += 1
            return False
        return is_gone(path)

    def _folders(self, path: str) -> Iterator[str]:
        """The folders that a file is in, from the inmost to the root that was gone through."""
        root = self.found.root
        while path != root and len(path) > len(root):
            path = _parent(path)
            yield path


def trouble(folder: str) -> str | None:
    """What is the matter with a folder; None if it can be listed and holds something."""
    try:
        with os.scandir(folder) as listing:
            return None if next(listing, None) is not None else "is empty"
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be listed ({error.strerror})"


def _photos(number: int) -> str:
    return f"{number:,} photo" + "s" * (number != 1)


def _parent(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120 - on text


def _chunks(paths: Sequence[str]) -> Iterable[Sequence[str]]:
    return (paths[start : start + CHUNK_ROWS] for start in range(0, len(paths), CHUNK_ROWS))
