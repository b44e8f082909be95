"""One update of an index, from the walk to the report."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from user_itr.errors import DataError
from user_itr.search.encoder import Encoder
from user_itr.search.leaving_out import WalkOptions
from user_itr.search.places import absolute
from user_itr.search.store.base import FileRow, PhotoStore
from user_itr.search.update.comparing import Comparison, Rows, compare
from user_itr.search.update.encoding import Encoding
from user_itr.search.update.leaving import Leaving
from user_itr.search.update.placing import CHUNK_ROWS, Placed, is_gone, place
from user_itr.search.update.report import IndexReport, Kept
from user_itr.search.walk import Walk, walk, walk_photo


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How an update is done; `ImageIndex.update` documents each."""

    batch_size: int = 32
    workers: int = 2
    processes: bool = False
    allow_empty: bool = False
    verify: bool = False
    more: bool = False
    walk: WalkOptions = field(default_factory=WalkOptions)


class Update:
    """One run over a folder, or over some photos; `ImageIndex.update` documents what it does.

    Args:
        store: of the index, whose lock this process has.
        place: a folder or a photo, or several photos.
        encoder: the model.
        options: how it is done.
        index: folder of the index, which is no folder of photos.
        progress: called with (photos done, photos to look into).
    """

    def __init__(
        self,
        store: PhotoStore,
        place: str | Path | Sequence[str | Path],
        encoder: Encoder,
        options: UpdateOptions,
        index: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.store = store
        places = [place] if isinstance(place, str | Path) else place
        self.places = [str(absolute(one)) for one in places]
        self.encoder = encoder
        self.options = options
        self.index = None if index is None else str(index)
        self.progress = progress
        self.report = IndexReport(Path(os.path.commonpath(self.places)))
        self.found = Walk(str(self.report.folder))
        self._total = 0

    def run(self) -> IndexReport:
        """Walk, place what is known, remove what is gone, encode what is new, tidy up.

        Raises:
            DataError: if the place is missing, or empty and was not; see `allow_empty`.
            IndexStoreError: if the store cannot be written, or the model's output is of no use.
        """
        start = time.monotonic()
        named = self._walk()
        belongs = named.__contains__ if named else self._is_below
        compared = compare(self.store, self.found, belongs, verify=self.options.verify)
        self._refuse_lost(compared)
        report = self.report
        report.skipped += self.found.skipped
        report.passed_over = dict(self.found.passed_over)
        report.unchanged = compared.unchanged
        rows = Rows(self.found, compared.rows, report, self._root_of(named))
        self._total = len(compared.todo)
        self._show(0)
        self._catch_up(compared, rows)
        placed = place(
            self.store, self.found, compared, rows, self.options.workers, self._show
        )  # before the rows that photos moved from go
        leaving = Leaving(
            self.store, self.found, report, placed.old_folders, self.options.allow_empty
        )
        missing = [*compared.missing, *self._elsewhere(placed, belongs)]
        leaving.leave([row for row in missing if row.path not in placed.moved_from])
        unreadable = placed.unreadable | self._encode(placed, rows)
        leaving.keep_of_unreadable(unreadable, compared.rows)
        leaving.finish()
        self._tell_of_old_roots(placed)
        if not self.options.more:
            self.store.finish()
        report.seconds = time.monotonic() - start
        return report

    def _show(self, done: int) -> None:
        if self.progress:
            self.progress(done, self._total)

    def _walk(self) -> frozenset[str]:
        """Go through the place; returns the photos that were named, or nothing for a folder."""
        if len(self.places) > 1:
            for path in self.places:
                self._add(walk_photo(path))
            return frozenset(self.places)
        [root] = self.places
        try:
            status = os.stat(root)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as error:
            self.found.troubles[root] = f"cannot be looked at ({error.strerror})"
            return frozenset()
        if stat.S_ISDIR(status.st_mode):
            self.found = walk(root, self.options.walk, self.index)
            return frozenset()
        self.found = walk_photo(root)
        return frozenset(self.places)

    def _add(self, one: Walk) -> None:
        self.found.files |= one.files
        self.found.sidecars |= one.sidecars
        self.found.present |= one.present
        self.found.left_out |= one.left_out
        self.found.skipped += one.skipped

    def _is_below(self, path: str) -> bool:
        root = self.places[0]
        return path.startswith(os.path.join(root, "")) or path == root  # noqa: PTH118

    def _root_of(self, named: frozenset[str]) -> Callable[[str], str]:
        """Which root a new photo gets: the folder that is indexed, or a known one above it."""
        if not named:
            return lambda _path: self.places[0]
        known = self.store.roots()

        def of_photo(path: str) -> str:
            above = [str(folder) for folder in Path(path).parents]
            return next((folder for folder in above if folder in known), above[0])

        return of_photo

    def _refuse_lost(self, compared: Comparison) -> None:
        found, allow_empty = self.found, self.options.allow_empty
        if found.files or found.troubles or found.skipped or found.present or found.left_out:
            return
        root = self.places[0]
        stay = (
            f"the index keeps its {compared.stored:,} photos until --allow-empty "
            f"(allow_empty=True) or `user-itr index --forget {root}` takes them out."
        )
        if is_gone(root):
            if not compared.stored:
                raise DataError(f"{root}: no such folder or photo; check the path.")
            if not allow_empty:
                raise DataError(
                    f"{root}: no such folder or photo; check the path, or mount the disk it is "
                    f"on: {stay}"
                )
        elif compared.stored and not allow_empty:
            raise DataError(
                f"{root}: holds no images, and the index has {compared.stored:,} from it; mount "
                f"the disk they are on: {stay}"
            )

    def _catch_up(self, compared: Comparison, rows: Rows) -> None:
        """Write the dates of unchanged photos whose sidecars changed, came or went."""
        for start in range(0, len(compared.behind), CHUNK_ROWS):
            chunk = compared.behind[start : start + CHUNK_ROWS]
            self.store.write([rows.with_sidecar(row, row) for row in chunk])
            self.report.updated += len(chunk)

    def _elsewhere(self, placed: Placed, belongs: Callable[[str], bool]) -> list[FileRow]:
        """Rows outside this place of folders that were renamed and are in this place now."""
        renamed = {folder for folder in placed.old_folders if is_gone(folder)}
        if not renamed:
            return []
        return [
            row
            for row in self.store.files()
            if os.path.dirname(row.path) in renamed and not belongs(row.path)  # noqa: PTH120
        ]

    def _encode(self, placed: Placed, rows: Rows) -> dict[str, str]:
        """Encode what is left; returns the paths that could not be read."""
        encoding = Encoding(self.store, self.encoder, rows, placed.copies)
        done = placed.done
        paths: Sequence[str] = placed.encode
        try:
            while paths:  # a second round where contents changed since they were hashed
                encoding.run(
                    paths,
                    self.options.batch_size,
                    self.options.workers,
                    self.options.processes,
                    lambda more, before=done: self._show(before + more),  # type: ignore[misc]
                )
                done += len(paths)
                paths = sorted(row.path for copies in encoding.copies.values() for row in copies)
                encoding.copies.clear()
        finally:
            before = [path for path in encoding.undecodable if path in rows.before]
            self.report.removed += self.store.remove(before)
        return encoding.unreadable

    def _tell_of_old_roots(self, placed: Placed) -> None:
        """Say what stays of a renamed folder: photos that were not found in the new one."""
        counts = self.store.roots() if placed.old_roots else {}
        for root in sorted(placed.old_roots - set(self.places)):
            if root in counts and is_gone(root):
                reason = f"is missing, and photos of it are in {self.report.folder} now"
                self.report.kept.append(Kept(Path(root), counts[root], reason))
