"""The commands of `batchflow`: what they are called, where they are, and how they become a program. Where a command is
named at once, no other is imported.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import typer

from batchflow import __version__
from batchflow.cli import render
from batchflow.cli.plain import PlainCommand, PlainGroup

COMMANDS: Final = (  # in the order of --help; each is a function of that name, in a module of that name
    *("init", "validate", "preview", "plan", "run", "status", "runs", "results", "show", "cancel", "retry", "forget"),
    *("load", "schema"),
    # the steps of the Kellogg deck, one command each
    *("make-batch-file", "upload-batch-file", "start-batch", "list-batches", "show-batch", "get-batch-results"),
    *("cancel-batch", "list-files", "delete-file"),
)
_TOGETHER: Final = {  # but for these
    **dict.fromkeys(("list-batches", "show-batch", "cancel-batch"), "batches"),
    **dict.fromkeys(("list-files", "delete-file"), "files_there"),
}
TOOLS: Final = ("config", "display", "chat-complete", "rest", "pdf2text")


def program(first: str = "") -> typer.Typer:
    """The program with all its commands; where `first`, the first word that it is given, is the name of one of them,
    with no other.
    """
    app = typer.Typer(
        name="batchflow",
        cls=PlainGroup,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Ask an LLM about every row of a table, through a Batch API: declared in YAML, resumable, bought once.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in (first,) if first in COMMANDS else COMMANDS:
        app.command(cls=PlainCommand)(_function(name))
    if first in COMMANDS:
        return app
    app.add_typer(import_module("batchflow.cli.serve").serve_app, name="serve")
    app.add_typer(_tools(), name="utils")
    return app


def _tools() -> typer.Typer:
    utils = typer.Typer(help=f"Tools: {', '.join(TOOLS)}.", no_args_is_help=True, rich_markup_mode=None)
    for name in TOOLS:
        utils.command(cls=PlainCommand)(_function(name))
    return utils


def _function(command: str) -> Callable[..., Any]:
    name = command.replace("-", "_")
    found: Callable[..., Any] = getattr(import_module(f"batchflow.cli.{_TOGETHER.get(command, name)}"), name)
    return found


def _version(*, wanted: bool) -> None:
    if wanted:
        render.write(f"batchflow {__version__}\n")
        raise typer.Exit


def _options(
    *,
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=lambda v: _version(wanted=v)
    ),
) -> None:
    del version
