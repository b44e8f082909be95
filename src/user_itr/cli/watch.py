"""What `user-itr index --watch` does from the first run on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import typer

from user_itr.cli.printing import printable
from user_itr.errors import UserItrError

T = TypeVar("T")


def tell(text: str) -> None:
    """Say something on standard error, if anybody listens."""
    typer.echo(printable(text), err=True)


def watch_folders(
    folders: list[Path],
    index: Path | None,
    *,
    update: Callable[[list[Path]], T],
    show: Callable[[T], object],
    whole: Callable[[], None] | None,
    total: Callable[[], None],
) -> None:
    """Update folders, and go on with what changes in them, until a signal raises an exception.

    Args:
        folders: to watch.
        index: its folder, whose changes are not those of photos.
        update: brings the index up to date with folders.
        show: prints what `update` gave; a service goes on where nothing can be printed.
        whole: for an index that is rebuilt: called once all folders are in it, to put it in the old
            one's place. A folder that fails before that ends all.
        total: prints how many photos there are.
    """
    from user_itr.search.service import keep_current, when_free
    from user_itr.search.watching import FolderWatcher

    def update_and_show(changed: list[Path]) -> None:
        given = update(changed)
        with suppress(UserItrError):
            show(given)

    def watching() -> None:
        with suppress(UserItrError):
            total()
            typer.echo("watching; Ctrl-C or SIGTERM ends it")

    due = [folder.resolve() for folder in folders]
    with FolderWatcher(due, ignored=[] if index is None else [index], say=tell) as watcher:
        if whole is not None:
            when_free(lambda: update_and_show(due), tell)
            when_free(whole, tell)
            due = []
        keep_current(watcher, update_and_show, tell, due=due, caught_up=watching)
