"""Which image files there are: one directory listing a folder instead of one `stat` an image."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from user_itr.errors import DataError

_SAMPLE = 100


class ImageFolder:
    """Looks image files up by their name relative to a root folder.

    Args:
        root: the images folder.
        needed: whether an image without a file is missing; else its path is where it would be.
    """

    def __init__(self, root: Path, *, needed: bool = True) -> None:
        self.root = root
        self.needed = needed
        self._listings: dict[str, dict[str, str]] = {}

    def locate(self, name: str) -> tuple[str, Path | None]:
        r"""The image id of `name` and its file, None where there is no such file below the root.

        The id is the relative name with forward slashes ("train/1.jpg" for "./train\1.jpg"). Names
        that differ from the file's only in Unicode normalisation (NFC, NFD) are found; names that
        leave the root ("../1.jpg", "/1.jpg") are not.
        """
        path = self._find(name)
        if path is None and "\\" in name:
            forward = name.replace("\\", "/")
            path = self._find(forward)
            name = name if path is None else forward
        if path is None and not self.needed and name:
            name = name.replace("\\", "/")
            path = self.root / name.lstrip("/")
        if "/" in name and not name.startswith("/"):
            name = "/".join(part for part in name.split("/") if part not in ("", "."))
        return name, path

    def holds(self, name: str) -> bool:
        """Whether there is such a file below the root."""
        return any(self._find(one) is not None for one in (name, name.replace("\\", "/")))

    def _find(self, name: str) -> Path | None:
        parent, _, base = name.rpartition("/")
        if name.startswith("/") or ".." in name.split("/"):
            return None
        listing = self._listings.get(parent)
        if listing is None:
            listing = self._listings[parent] = _list_files(self.root / parent)
        found = listing.get(base)
        if found is None and not base.isascii():
            found = listing.get(unicodedata.normalize("NFC", base))
        return None if found is None else self.root / parent / found


def _list_files(folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file():
                    files[entry.name] = entry.name
    except (OSError, ValueError):  # no such folder, or no folder name at all
        return {}
    for name in [name for name in files if not name.isascii()]:
        files.setdefault(unicodedata.normalize("NFC", name), name)
    return files


def guess_image_folder(
    root: Path,
    given: Path | None,
    beside: Iterable[Path],
    names: Sequence[str],
    *,
    needed: bool = True,
) -> ImageFolder:
    """The images folder of a set: the given one, else the first guess that holds its images.

    Args:
        root: the data set, for messages.
        given: the folder that the user named, or a parent of a folder in `beside` of that name.
        beside: folders where such sets keep their images, the likeliest first.
        names: image names relative to the folder; the first hundred are looked up.
        needed: whether pictures must be there.

    Returns:
        The first folder that holds one of the images; where none does, the first that exists.

    Raises:
        DataError: if `given` is no folder, or none of the guesses exists.
    """
    guesses = list(dict.fromkeys(beside))
    if given is not None:
        if not given.is_dir():
            raise DataError(f"{given}: no such images folder; check --images.")
        guesses = [given, *(given / guess.name for guess in guesses)]
    folders = [ImageFolder(guess, needed=needed) for guess in guesses if guess.is_dir()]
    if not folders and not needed:
        return ImageFolder(guesses[0], needed=False)
    if not folders:
        tried = ", ".join(str(guess) for guess in guesses)
        raise DataError(
            f"{root}: found no images folder (looked for {tried}); name it by --images."
        )
    for folder in folders:
        if any(folder.holds(name) for name in islice(names, _SAMPLE)):
            return folder
    return folders[0]
