"""The `user-itr` command. One command a file, each thin: parse, call the library, print.

A command's file is imported when it is called, and nothing heavy at its top: `user-itr --help` must
answer in under half a second, so numpy, torch and the like load inside the command that needs them.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import typer

from user_itr import __version__
from user_itr.cli.commands import LazyCommands
from user_itr.cli.printing import escape_what_cannot_be_encoded, printable, sentence
from user_itr.cli.streams import ReaderGone, standard_streams
from user_itr.errors import UserItrError
from user_itr.extras import missing_extra

app = typer.Typer(
    name="user-itr",
    cls=LazyCommands,
    help="Image-text retrieval: train USER, evaluate it, index a folder of photos, search it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"user-itr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def _say(error: UserItrError) -> int:
    """Print what is wrong, unless nobody reads or another process says it; the exit code."""
    from user_itr.training.launching import report

    # Where another process started this one, that process prints the error once for all.
    if not isinstance(error, ReaderGone) and not report(error=str(error)):
        typer.echo(f"user-itr: {sentence(error)}", err=True)
    return error.exit_code


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed in part, 2 a mistake in the input.

    Ctrl-C exits with 130, by typer's own doing. Standard output that cannot be written is a
    mistake; where its reader has ended, as `head` does, the command ends with 141 and in silence.

    Args:
        arguments: words of the command line; those of the process by default.
    """
    escape_what_cannot_be_encoded()
    with standard_streams():
        code = _run(arguments)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int | str | None:
    """Run the command line; returns the exit code."""
    try:
        try:
            app(args=None if arguments is None else list(arguments))
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        return end.code
    except UserItrError as error:
        return _say(error)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, "this command")
        if missing is None:
            raise
        return _say(missing)
    except OSError as error:  # a full disk, a name that is too long
        if isinstance(error.filename, str | bytes):
            place = f"{printable(os.fsdecode(error.filename))}: "
        elif error.errno in _DISK:
            place = ""
        else:
            raise
        typer.echo(
            f"user-itr: {place}{error.strerror}; check the path, its disk and its permissions.",
            err=True,
        )
        return UserItrError.exit_code
    return 0


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)
"""Errors of a disk, which do not tell the file where one that is open is written to."""
