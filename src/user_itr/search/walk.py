"""Finding the photos of a folder: what is there, what is passed over, what cannot be looked at."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from user_itr.data.formats import IMAGE_SUFFIXES, RAW_SUFFIXES, raw_installed, why_passed_over
from user_itr.data.reading import IRREGULAR
from user_itr.errors import ConfigError, DataError
from user_itr.search.file_state import state_of
from user_itr.search.leaving_out import (
    DOUBLES,
    EXCLUDED,
    FOLDER_LINKS,
    HIDDEN,
    IGNORE_FILE,
    IN_CLOUD,
    RAW_TWINS,
    WITH_HIDDEN,
    Patterns,
    WalkOptions,
    usual_reason,
)
from user_itr.search.photos import Skipped
from user_itr.search.store.base import FileState, fitting

SIDECAR = ".xmp"
NO_ENDING = "no ending"
_VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mts", ".m2ts", ".3gp", ".mkv", ".mpg"})
_MARKED = ".$#@"
"""First letters of the names that may be special."""
_WINDOWS = os.name == "nt"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """An XMP file beside a photo; its path, and size and mtime in ns."""

    path: str
    state: tuple[int, int]


@dataclass(slots=True)
class Walk:
    """What was found below a folder.

    Attributes:
        root: the folder, or the photo, absolute.
        files: photos with their states.
        sidecars: XMP files by the photo that they are beside.
        present: photos that are there but cannot be read here and now.
        left_out: folders and photos that were passed over by a rule or a pattern.
        troubles: folders that could not be gone through, with the reason.
        signs: of folders without photos, a file that shows that the folder is in use.
        skipped: files that should have been taken in and were not, and why.
        passed_over: how many files and folders were passed over, by reason or ending.
    """

    root: str
    files: dict[str, FileState] = field(default_factory=dict)
    sidecars: dict[str, Sidecar] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    troubles: dict[str, str] = field(default_factory=dict)
    signs: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)


def walk(root: str, options: WalkOptions | None = None, index: str | None = None) -> Walk:
    """Go through a folder; what cannot be read is in the result and stops nothing.

    Args:
        root: the folder, absolute, without links.
        options: what to take in.
        index: folder of the index, which is passed over.

    Raises:
        ConfigError: if a pattern is invalid.
    """
    return _Walker(root, options or WalkOptions(), index).run()


def walk_photo(path: str) -> Walk:
    """A photo that is named itself: no rule passes over it.

    Raises:
        DataError: see `require_photo`.
    """
    require_photo(path)
    folder, name = os.path.split(path)
    found = Walk(path)
    try:
        _add(found, path, os.stat(path))  # noqa: PTH116
    except OSError as error:
        found.present.add(path)
        found.skipped.append((Path(path), unreadable(error)))
    beside = [start + end for start in (name, _stem(name)) for end in (SIDECAR, SIDECAR.upper())]
    there = [one for one in beside if os.path.lexists(os.path.join(folder, one))]  # noqa: PTH118
    _add_sidecars(found, folder, [name], there)
    return found


def require_photo(path: str) -> None:
    """Make sure, by its ending, that a file is a photo.

    Raises:
        DataError: if it is no image, or of a kind that is not read.
    """
    name = os.path.basename(path)  # noqa: PTH119 - on text
    ending = _ending(name)
    if ending not in IMAGE_SUFFIXES and not (ending in RAW_SUFFIXES and raw_installed()):
        why = why_passed_over(name) or "is no image by its ending; give a folder or a photo."
        raise DataError(f"{path}: {why}")


def unreadable(error: OSError) -> str:
    """Why a file was left out."""
    return f"cannot be read ({error.strerror}); check the file."


class _Walker:
    def __init__(self, root: str, options: WalkOptions, index: str | None) -> None:
        self.found = Walk(root)
        self.options = options
        self.index = index
        self.folders: list[tuple[str, Patterns]] = []
        self.folder_links: list[tuple[str, Patterns]] = []
        self.file_links: list[str] = []
        self.visited: set[tuple[int, int]] = set()
        self.reads_raw = raw_installed()

    def run(self) -> Walk:
        root = self.found.root
        try:
            self.folders.append((root, Patterns.of(root, self.options.exclude)))
        except OSError as error:
            self.found.troubles[root] = f"{error.filename} cannot be read ({error.strerror})"
        while self.folders or self.folder_links:
            while self.folders:
                self._folder(*self.folders.pop())
            if self.folder_links:
                self._follow(*self.folder_links.pop())
        for link in self.file_links:
            if os.path.realpath(link) in self.found.files:
                self._pass_over(link, DOUBLES)
            else:
                self._stat_link(link)
        self.found.skipped.sort()
        return self.found

    def _folder(self, folder: str, patterns: Patterns) -> None:
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
            if self.options.follow_links and not self._first_visit(folder):
                return
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.found.troubles[folder] = f"cannot be listed ({error.strerror})"
            return
        if any(entry.name == IGNORE_FILE for entry in entries):
            try:
                patterns = patterns.with_file(folder)
            except (OSError, ConfigError) as error:
                self.found.troubles[folder] = f"its {IGNORE_FILE} cannot be read ({error})"
                return
        base = os.path.join(folder, "")  # noqa: PTH118 - with the separator at its end
        folders: list[str] = []
        photos: list[os.DirEntry[str]] = []
        raws: list[os.DirEntry[str]] = []
        sidecars: list[str] = []
        for entry in entries:
            name = entry.name
            is_folder = _is_folder(entry)
            ending = "" if is_folder else _ending(name)
            wanted = is_folder or ending in IMAGE_SUFFIXES or ending in RAW_SUFFIXES
            if (is_folder or name[0] in _MARKED or _WINDOWS) and self._unusual(
                entry, folder, base, wanted
            ):
                continue
            if not is_folder and entry.is_symlink():
                self._link(base + name, wanted, patterns)
                continue
            if not wanted:
                self._other(folder, name, ending, sidecars)
            elif patterns and patterns.exclude(base + name, folder=is_folder):
                self._pass_over(base + name, EXCLUDED)
            elif is_folder:
                folders.append(base + name)
            elif ending in IMAGE_SUFFIXES:
                photos.append(entry)
            else:
                raws.append(entry)
        if raws:
            photos += self._alone(base, raws, photos)
        if self._stat(folder, base, photos):
            self.folders += [(below, patterns) for below in folders]
            if sidecars:
                _add_sidecars(self.found, folder, [photo.name for photo in photos], sidecars)

    def _unusual(self, entry: os.DirEntry[str], folder: str, base: str, wanted: bool) -> bool:
        """Whether an entry is passed over by its name or attributes; it is counted then."""
        name = entry.name
        if base + name == self.index:
            return True
        if name.startswith(".") and name.lower().endswith(".icloud"):
            self.found.present.add(base + name[1:-7])
            self.found.signs[folder] = base + name
            self.found.passed_over[IN_CLOUD] += 1
            return True
        reason = usual_reason(name, folder)
        if reason is None and _WINDOWS and _has_hidden_attribute(entry):
            reason = HIDDEN
        if reason is None or (self.options.include_hidden and reason in WITH_HIDDEN):
            return name.startswith("._")  # what macOS keeps beside files on other disks
        if name != IGNORE_FILE:
            self._pass_over(base + name, reason, wanted)
        return True

    def _pass_over(self, path: str, reason: str, remember: bool = True) -> None:
        self.found.passed_over[reason] += 1
        if remember:
            self.found.left_out.add(path)

    def _other(self, folder: str, name: str, ending: str, sidecars: list[str]) -> None:
        """Count a file that is no photo."""
        if ending == SIDECAR:
            sidecars.append(name)
        else:
            self._count(name)
        if ending == SIDECAR or ending in _VIDEOS:
            self.found.signs[folder] = os.path.join(folder, name)  # noqa: PTH118

    def _count(self, name: str) -> None:
        """Count a file that no decoder reads, by its ending."""
        reason = usual_reason(name, "")
        if reason is None:
            why = why_passed_over(name)
            ending = _ending(name) or NO_ENDING
            reason = ending if why is None else f"{ending}: {why.rstrip('.')}"
        self.found.passed_over[reason] += 1

    def _link(self, path: str, wanted: bool, patterns: Patterns) -> None:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - on text
        if not is_folder and not wanted:
            self._count(os.path.basename(path))  # noqa: PTH119 - on text
        elif patterns and patterns.exclude(path, folder=is_folder):
            self._pass_over(path, EXCLUDED)
        elif not is_folder:
            self.file_links.append(path)
        elif self.options.follow_links:
            self.folder_links.append((path, patterns))
        else:
            self._pass_over(path, FOLDER_LINKS)

    def _follow(self, link: str, patterns: Patterns) -> None:
        with suppress(OSError):
            status = os.stat(link)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in self.visited:
                self._pass_over(link, DOUBLES)
                return
        self.folders.append((link, patterns))

    def _first_visit(self, folder: str) -> bool:
        status = os.stat(folder)  # noqa: PTH116
        key = (status.st_dev, status.st_ino)
        if key in self.visited:
            return False
        self.visited.add(key)
        return True

    def _alone(
        self, base: str, raws: list[os.DirEntry[str]], photos: list[os.DirEntry[str]]
    ) -> list[os.DirEntry[str]]:
        """Raw photographs to take in; with a developed twin they are passed over."""
        developed = {_stem(photo.name).lower() for photo in photos}
        alone = []
        for raw in raws:
            if _stem(raw.name).lower() in developed:
                self._pass_over(base + raw.name, RAW_TWINS)
            elif self.reads_raw:
                alone.append(raw)
            else:
                self._count(raw.name)
                self.found.present.add(base + raw.name)
        return alone

    def _stat(self, folder: str, base: str, photos: list[os.DirEntry[str]]) -> bool:
        """Take in the photos of a folder; False if none can be looked at."""
        failed: list[tuple[str, OSError]] = []
        for photo in photos:
            try:
                _add(self.found, base + photo.name, photo.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
            except OSError as error:
                failed.append((base + photo.name, error))
        if failed and len(failed) == len(photos):
            reason = failed[0][1].strerror
            self.found.troubles[folder] = f"its files cannot be looked at ({reason})"
            return False
        for path, what in failed:
            self.found.present.add(path)
            self.found.skipped.append((Path(path), unreadable(what)))
        return True

    def _stat_link(self, link: str) -> None:
        try:
            _add(self.found, link, os.stat(link))  # noqa: PTH116
        except OSError as error:
            self.found.present.add(link)
            self.found.skipped.append((Path(link), unreadable(error)))


def _add(found: Walk, path: str, status: os.stat_result) -> None:
    if not path.isascii() and not _is_utf8(path):
        found.skipped.append((Path(path), "its name is not valid UTF-8; rename the file."))
    elif stat.S_ISREG(status.st_mode):
        found.files[path] = state_of(status)
    else:
        found.left_out.add(path)
        found.skipped.append((Path(path), IRREGULAR))


def _add_sidecars(found: Walk, folder: str, photos: Iterable[str], sidecars: list[str]) -> None:
    by_name = {name.lower(): name for name in sorted(sidecars, reverse=True)}
    for photo in photos:
        low = photo.lower()
        name = by_name.get(low + SIDECAR) or by_name.get(_stem(low) + SIDECAR)
        if name is not None:
            path = os.path.join(folder, name)  # noqa: PTH118
            with suppress(OSError):
                status = os.stat(path)  # noqa: PTH116
                state = (status.st_size, fitting(status.st_mtime_ns))
                found.sidecars[os.path.join(folder, photo)] = Sidecar(path, state)  # noqa: PTH118


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _has_hidden_attribute(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
        return bool(attributes & stat.FILE_ATTRIBUTE_HIDDEN)
    return False


def _ending(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def _stem(name: str) -> str:
    return name[: name.rfind(".")]


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
