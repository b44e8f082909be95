"""The `user-itr` command. One command a file, each thin: parse, call the library, print.

Nothing heavy is imported here or at the top of a command's file: `user-itr --help` must answer in
under half a second, so torch, lancedb and the like load inside the command that needs them.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import typer

from user_itr import __version__
from user_itr.cli.printing import escape_what_cannot_be_encoded, printable, sentence
from user_itr.cli.streams import ReaderGone, standard_streams
from user_itr.errors import UserItrError
from user_itr.training.launching import report

app = typer.Typer(
    name="user-itr",
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


def _register() -> None:
    from user_itr.cli import (
        ablate,
        compare,
        convert,
        data,
        demo,
        describe,
        encode,
        evaluate,
        export,
        features,
        index,
        search,
        serve,
        train,
    )

    app.add_typer(data.app, name="data")
    app.add_typer(features.app, name="features")
    app.command("train")(train.train_command)
    app.command("evaluate")(evaluate.evaluate_command)
    app.command("compare")(compare.compare_command)
    app.command("ablate")(ablate.ablate_command)
    app.command("index")(index.index_command)
    app.command("encode")(encode.encode_command)
    app.command("search")(search.search_command)
    app.command("serve")(serve.serve_command)
    app.command("sentences")(describe.sentences_command)
    app.command("describe")(describe.describe_command)
    app.command("export")(export.export_command)
    app.command("convert")(convert.convert_command)
    app.command("demo")(demo.demo_command)


_register()


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
        # The process that started this one says it once, whoever else fails with it.
        if not isinstance(error, ReaderGone) and not report(error=str(error)):
            typer.echo(f"user-itr: {sentence(error)}", err=True)
        return error.exit_code
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
