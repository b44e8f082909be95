"""The `user-itr` command. One command a file, each thin: parse, call the library, print.

A command's file is imported when it is called, and nothing heavy at its top: `user-itr --help` must
answer in under half a second, so numpy, torch and the like load inside the command that needs them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from user_itr import __version__
from user_itr.cli.commands import LazyCommands
from user_itr.cli.printing import escape_what_cannot_be_encoded, printable, sentence
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


def _fail(error: UserItrError) -> NoReturn:
    from user_itr.training.launching import report

    # The process that started this one says it once, whoever else fails with it.
    if not report(error=str(error)):
        typer.echo(f"user-itr: {sentence(error)}", err=True)
    sys.exit(error.exit_code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed in part, 2 a mistake in the input.

    Ctrl-C exits with 130, by typer's own doing.

    Args:
        arguments: words of the command line; those of the process by default.
    """
    escape_what_cannot_be_encoded()
    try:
        app(args=None if arguments is None else list(arguments))
    except UserItrError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, "this command")
        if missing is None:
            raise
        _fail(missing)
    except OSError as error:  # a full disk, a name that is too long
        if not isinstance(error.filename, str | bytes):
            raise
        place = printable(os.fsdecode(error.filename))
        typer.echo(
            f"user-itr: {place}: {error.strerror}; check the path, its disk and its permissions.",
            err=True,
        )
        sys.exit(UserItrError.exit_code)
