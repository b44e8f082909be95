"""The commands of `user-itr`, each in a module that is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import typer
import typer.core
import typer.main


class Entry(NamedTuple):
    """Where a command is.

    Args:
        module: in `user_itr.cli`.
        name: of its function, or of the Typer application of a group of commands.
        help: a line that fits a terminal of 80 columns.
    """

    module: str
    name: str
    help: str


COMMANDS = {
    "index": Entry("index", "index_command", "Index folders of photos for search."),
    "search": Entry("search", "search_command", "Find photos by words, by a photo, or by both."),
    "serve": Entry("serve", "serve_command", "Serve an index as a web page and a REST interface."),
    "albums": Entry("albums", "albums_command", "List albums; write or read them as JSON."),
    "duplicates": Entry("duplicates", "duplicates_command", "List copies and near copies."),
    "sentences": Entry("describe", "sentences_command", "Index sentences for `describe`."),
    "describe": Entry("describe", "describe_command", "Find the sentences that fit a photo best."),
    "models": Entry("models", "app", "List published models, and fetch one."),
    "demo": Entry("demo", "demo_command", "Index sample photos and search them, offline."),
    "train": Entry("train", "train_command", "Train USER."),
    "evaluate": Entry("evaluate", "evaluate_command", "Print recall at K, ranks and rsum."),
    "compare": Entry("compare", "compare_command", "Show where one model is better than another."),
    "ablate": Entry("ablate", "ablate_command", "Train a grid with several seeds, and compare."),
    "encode": Entry("encode", "encode_command", "Encode large collections into shards."),
    "export": Entry("export", "export_command", "Write a model to share, for ONNX Runtime."),
    "convert": Entry("convert", "convert_command", "Convert an official checkpoint."),
    "data": Entry("data", "app", "Check a captioned image set, or write the demo's."),
    "features": Entry("features", "app", "Extract region features; look into their store."),
}


class LazyCommands(typer.core.TyperGroup):
    """A group that knows its commands' names and lines of help, and imports the one called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: dict[str, Any] = dict.fromkeys(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        if self.commands[cmd_name] is None:
            entry = COMMANDS[cmd_name]
            found = getattr(import_module(f"user_itr.cli.{entry.module}"), entry.name)
            if not isinstance(found, typer.Typer):
                alone = typer.Typer(
                    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
                )
                alone.command(cmd_name)(found)
                found = alone
            command = typer.main.get_command(found)
            command.name = cmd_name
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command's name and line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])
