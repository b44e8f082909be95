"""Noticing that the photos of folders changed, whatever happens to the folders themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from user_itr.data.images import IMAGE_SUFFIXES
from user_itr.errors import MissingExtraError

if TYPE_CHECKING:
    from watchfiles.main import FileChange

QUIET_SECONDS = 1.0
"""Changes are told after this long without another: a file that is being copied is complete."""

MOST_SECONDS = 60.0
"""They are told after this long in any case."""

POLL_SECONDS = 10.0
"""How often a folder is looked through that the system does not watch."""

LOOK_SECONDS = 0.5
"""How long each turn over all folders takes."""

MOST_OTHERS = 100_000
"""Names of other files that are remembered, at most."""

COMPANIONS = frozenset({".xmp"})
"""Endings (lower case) of files that say something about the photo beside them."""

IGNORE_FILE = ".user-itr-ignore"
"""Says what is left out of a folder, so a change of it may be one of the photos."""


def changed_folders(
    folders: Sequence[Path],
    stop: Event | None = None,
    *,
    ignored: Sequence[Path] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[list[Path]]:
    """Wait for changes; yields, each time, which of `folders` hold changed photos or folders.

    A folder that vanishes, or comes back, has changed.

    Args:
        folders: that exist, or will.
        stop: ends the iteration when set.
        ignored: folders whose changes are nobody's: that of the index.
        say: takes a sentence that a person should know.

    Raises:
        MissingExtraError: if watchfiles is not installed.
    """
    stop = stop or Event()
    with FolderWatcher(folders, ignored=ignored, say=say) as watcher:
        while not stop.is_set():
            if changed := watcher.wait(stop, MOST_SECONDS):
                yield changed


class FolderWatcher:
    """Watches folders from its construction on; `wait` tells what changed since the last call.

    Args, and errors: see `changed_folders`.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        ignored: Sequence[Path] = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        roots = list(dict.fromkeys(folder.resolve() for folder in folders))
        slice_ms = max(20, int(1000 * LOOK_SECONDS / max(1, len(roots))))
        apart = [os.fspath(folder.resolve()) for folder in ignored]
        self._watches = [_Watch(root, apart, say, slice_ms) for root in roots]
        self._due: set[Path] = set()
        self._first = self._last = 0.0

    def __enter__(self) -> FolderWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the watch."""
        for watch in self._watches:
            watch.close()

    def wait(self, stop: Event, seconds: float) -> list[Path]:
        """The folders that changed, once they are quiet, absolute; none after so many seconds."""
        end = time.monotonic() + seconds
        while not stop.is_set():
            for watch in self._watches:
                if watch.look():
                    now = time.monotonic()
                    self._first = self._first if self._due else now
                    self._last = now
                    self._due.add(watch.root)
            now = time.monotonic()
            quiet = now - self._last >= QUIET_SECONDS or now - self._first >= MOST_SECONDS
            if self._due and quiet:
                return self._take()
            if now >= end:
                break
        return []

    def _take(self) -> list[Path]:
        changed = [watch for watch in self._watches if watch.root in self._due]
        self._due.clear()
        for watch in changed:
            watch.renew()
        return [watch.root for watch in changed]


class _Watch:
    """One folder, or file, which may be missing."""

    def __init__(
        self, root: Path, ignored: Sequence[str], say: Callable[[str], None], slice_ms: int
    ) -> None:
        self.root = root
        self.ignored = ignored
        self.say = say
        self.slice_ms = slice_ms
        self.polls = False
        self._identity: tuple[int, ...] | None = None
        self._changes: Generator[set[FileChange], None, None] | None = None
        self._outdated = self._apart = False
        self._others: set[str] = set()
        """Files that are no photos: nothing is lost when one of them goes."""
        self._said: str | None = None
        self._open()

    def look(self) -> bool:
        """Wait a moment for changes; whether there were some that concern photos."""
        if self._identity != _identity(self.root):
            self._open()
            return True
        if self._changes is None:
            time.sleep(self.slice_ms / 1000)
            return False
        try:
            changes = next(self._changes)
        except (OSError, RuntimeError) as error:  # RuntimeError: watchfiles' own
            if _is_refused(error) and not self._apart:
                self._apart = True
                self._open()
            else:
                self._fail(error)
            return True  # something may have been missed
        gone = {path for change, path in changes if change.name == "deleted"}
        came = {path for change, path in changes if change.name != "deleted"}
        concerned = [self._concerns_photos(path, path in gone, path in came) for _, path in changes]
        return any(concerned)

    def renew(self) -> None:
        """Watch anew where folders came, before they are looked through.

        The system's limit may have left one of them out without a word.
        """
        if self._outdated:
            self._open()

    def close(self) -> None:
        """End the watch."""
        if self._changes is not None:
            self._changes.close()
        self._changes = None

    def _open(self) -> None:
        self.close()
        self._outdated = False
        self._identity = _identity(self.root)
        if self._identity is None:
            return
        try:
            if not self._apart:
                try:
                    self._begin([self.root], recursive=True)
                    return
                except (OSError, RuntimeError) as error:
                    if not _is_refused(error):
                        raise
            # A folder below that may not be read would leave others out of a recursive watch.
            self._apart, self._changes = True, None
            if readable := [Path(folder) for folder, _, _ in os.walk(self.root)]:
                self._begin(readable, recursive=False)
        except FileNotFoundError:
            self._changes, self._identity = None, None
        except (OSError, RuntimeError) as error:
            self._fail(error)

    def _begin(self, paths: Sequence[Path], *, recursive: bool) -> None:
        self._changes = _watch(paths, recursive, self.slice_ms, self.polls)
        next(self._changes)  # it is in place; what it tells was there before the next update

    def _fail(self, error: Exception) -> None:
        """Go over to polling; where that fails, to looking whether the folder is another one."""
        self._changes = None
        reason = str(error).split(" about [")[0].rstrip(".") or type(error).__name__
        if not self.polls:
            self.polls = True
            self._tell(
                f"{self.root}: the system cannot watch it ({reason}), so it is looked through "
                f"every {POLL_SECONDS:g} seconds; raise fs.inotify.max_user_watches to have it "
                "watched."
            )
            self._open()
        else:
            self._tell(f"{self.root}: cannot be watched ({reason}); index it by hand.")

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.say(text)

    def _concerns_photos(self, path: str, gone: bool, came: bool) -> bool:
        if any(path == folder or path.startswith(folder + os.sep) for folder in self.ignored):
            return False
        if path == str(self.root):
            self._outdated = self._outdated or gone
            return True
        if os.path.isdir(path):  # noqa: PTH112 - of hundreds of paths a second
            self._outdated = True
            return True
        if _is_read(path):
            return True
        if os.path.lexists(path):
            if len(self._others) >= MOST_OTHERS:
                self._others.clear()
            self._others.add(path)
            return False
        if path in self._others:
            self._others.discard(path)
            return False
        return gone and not came  # it may have been a folder


def _watch(
    paths: Sequence[Path], recursive: bool, slice_ms: int, polls: bool
) -> Generator[set[FileChange], None, None]:
    try:
        from watchfiles import watch
    except ImportError:
        raise MissingExtraError(
            "watching folders needs one more package; run `pip install user-itr[app]`."
        ) from None
    return watch(
        *paths,
        watch_filter=None,
        step=slice_ms,
        debounce=4 * slice_ms,
        rust_timeout=slice_ms,
        yield_on_timeout=True,
        force_polling=True if polls else None,
        poll_delay_ms=int(1000 * POLL_SECONDS),
        recursive=recursive,
        ignore_permission_denied=False,  # with it, watchfiles keeps every error to itself
    )


def _is_refused(error: Exception) -> bool:
    """Whether a folder may not be read, which polling tells by an error of watchfiles' own."""
    return isinstance(error, PermissionError) or "ermission denied" in str(error)


def _is_read(path: str) -> bool:
    """Whether a file of that name has to do with photos."""
    name = os.path.basename(path)  # noqa: PTH119
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
    return ending in IMAGE_SUFFIXES or ending in COMPANIONS or name == IGNORE_FILE


def _identity(path: Path) -> tuple[int, ...] | None:
    """What tells a folder from another one of its name, or from itself under other rights."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mode
