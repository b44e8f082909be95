"""What a walk passes over: hidden things, bins, caches, and what the user's patterns name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from user_itr.errors import ConfigError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".user-itr-ignore"
"""A file of patterns as in `.gitignore`, in any folder; they hold for what is below it."""

HIDDEN = "hidden files and folders"
BINS = "bins"
THUMBNAILS = "thumbnail caches"
SYSTEM = "system folders"
EXCLUDED = "excluded by a pattern"
FOLDER_LINKS = "links to folders"
DOUBLES = "links to what is there already"
RAW_TWINS = "raw photographs beside a developed one"
IN_CLOUD = "photos that are in iCloud only"

WITH_HIDDEN = frozenset({HIDDEN, BINS, THUMBNAILS})
"""What `include_hidden` takes in."""

_BINS = {"$recycle.bin", "recycler", "recycled", "#recycle", "@recycle", "#recycled"}
_THUMBNAILS = {"@eadir", "thumbs", ".@__thumb", "thumbs.db", "ehthumbs.db"}
_SYSTEM = {"lost+found", "system volume information", "found.000", "#snapshot"}


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """What of a folder is taken in.

    Args:
        include_hidden: also hidden files and folders, bins and thumbnail caches.
        exclude: patterns as in `.gitignore` of what is left out, relative to the folder.
        follow_links: go through links to folders, each folder once.
    """

    include_hidden: bool = False
    exclude: tuple[str, ...] = ()
    follow_links: bool = False


def usual_reason(name: str, folder: str) -> str | None:
    """Why an entry `name` of a folder is passed over by its name; None if it is not."""
    low = name.lower()
    if low.startswith(".trash") or low in _BINS or low == ".recycle":
        return BINS
    if low.startswith((".thumb", ".@__thumb")) or low in _THUMBNAILS:
        return THUMBNAILS
    if low == "resources" and folder.lower().endswith(".photoslibrary"):
        return THUMBNAILS
    if low in _SYSTEM:
        return SYSTEM
    return HIDDEN if low.startswith(".") else None


class Patterns:
    """The patterns that hold in one folder; a deeper file's come before those above it."""

    def __init__(self, exclude: GitIgnoreSpec | None, root: str) -> None:
        self._exclude = exclude
        self._root = _with_end(root)
        self._files: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    @classmethod
    def of(cls, root: str, exclude: Sequence[str]) -> Patterns:
        """Those of a command, and of the ignore files above `root`.

        Raises:
            ConfigError: if one of `exclude` is no pattern.
            OSError: if an ignore file cannot be read.
        """
        lines = [_below(os.path.expanduser(one), root) for one in exclude]  # noqa: PTH111
        found = cls(_spec(lines, "--exclude") if lines else None, root)
        for parent in reversed(Path(root).parents):
            file = parent / IGNORE_FILE
            if file.is_file():
                found = found.with_file(str(parent))
        return found

    def with_file(self, folder: str) -> Patterns:
        """These and those of the ignore file in `folder`.

        Raises:
            ConfigError: if a line of it is no pattern.
            OSError: if it cannot be read.
        """
        file = Path(folder, IGNORE_FILE)
        lines = file.read_text("utf-8-sig", "replace").splitlines()
        more = Patterns(self._exclude, self._root)
        more._files = ((_with_end(folder), _spec(lines, str(file))), *self._files)
        return more

    def __bool__(self) -> bool:
        return self._exclude is not None or bool(self._files)

    def exclude(self, path: str, *, folder: bool) -> bool:
        """Whether an absolute path is left out."""
        end = "/" if folder else ""
        if self._exclude is not None and self._exclude.match_file(
            _relative(path, self._root) + end
        ):
            return True
        for base, spec in self._files:
            verdict = spec.check_file(_relative(path, base) + end).include
            if verdict is not None:
                return verdict
        return False


def _spec(lines: Sequence[str], where: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}; write patterns as in a .gitignore file.") from None


def _below(pattern: str, root: str) -> str:
    """A pattern that names a place below the root by its whole path, relative to the root."""
    start = _with_end(root)
    return f"/{_relative(pattern, start)}" if pattern.startswith(start) else pattern


def _with_end(folder: str) -> str:
    return os.path.join(folder, "")  # noqa: PTH118 - with the separator at its end


def _relative(path: str, base: str) -> str:
    return path[len(base) :].replace(os.sep, "/")
