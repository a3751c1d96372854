"""The commands of `batchflow`: what they are called, where they are, and how they become a program. Where a command is
named at once, no other is imported.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

import typer

from batchflow import __version__
from batchflow.cli import render
from batchflow.cli.plain import PlainCommand, PlainGroup

# every command in the order of --help, and the module that has the function of its name
COMMANDS: Final[Mapping[str, str]] = {
    **{name: name for name in ("init", "validate", "preview", "plan", "run", "status", "runs", "results", "show")},
    **{name: name for name in ("cancel", "retry", "forget", "load", "schema")},
    # the steps of the Kellogg deck, one command each
    "make-batch-file": "make_batch_file",
    "upload-batch-file": "upload_batch_file",
    "start-batch": "start_batch",
    "list-batches": "batches",
    "show-batch": "batches",
    "get-batch-results": "get_batch_results",
    "cancel-batch": "batches",
    "list-files": "files_there",
    "delete-file": "files_there",
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
    if first in COMMANDS:
        app.command(cls=PlainCommand)(_function(COMMANDS[first], first))
        return app
    for name, module in COMMANDS.items():
        app.command(cls=PlainCommand)(_function(module, name))
    app.add_typer(import_module("batchflow.cli.serve").serve_app, name="serve")
    app.add_typer(_tools(), name="utils")
    return app


def _tools() -> typer.Typer:
    utils = typer.Typer(help=f"Tools: {', '.join(TOOLS)}.", no_args_is_help=True, rich_markup_mode=None)
    for name in TOOLS:
        utils.command(cls=PlainCommand)(_function(name.replace("-", "_"), name))
    return utils


def _function(module: str, command: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(f"batchflow.cli.{module}"), command.replace("-", "_"))
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
