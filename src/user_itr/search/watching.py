"""Noticing that the photos of a folder changed, for `user-itr index --watch`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from user_itr.data.images import IMAGE_SUFFIXES
from user_itr.errors import MissingExtraError

QUIET_MS = 1_000
"""Changes are told after this long without another: a file that is being copied is complete."""


def changed_folders(folders: Sequence[Path], stop: Event | None = None) -> Iterator[list[Path]]:
    """Wait for changes; yields, each time, which of `folders` hold changed photos or folders.

    Args:
        folders: that exist.
        stop: ends the iteration when set.

    Raises:
        MissingExtraError: if watchfiles is not installed.
    """
    try:
        from watchfiles import DefaultFilter, watch
    except ImportError:
        raise MissingExtraError(
            "watching folders needs one more package; run `pip install user-itr[app]`."
        ) from None

    class _Photos(DefaultFilter):
        def __call__(self, change: object, path: str) -> bool:
            suffix = Path(path).suffix.lower()
            return suffix in IMAGE_SUFFIXES or not suffix  # without one it may be a folder

    roots = [folder.resolve() for folder in folders]
    for changes in watch(
        *roots, watch_filter=_Photos(), debounce=60_000, step=QUIET_MS, stop_event=stop
    ):
        paths = [Path(path) for _, path in changes]
        yield [root for root in roots if any(path.is_relative_to(root) for path in paths)]
