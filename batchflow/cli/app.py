"""The program `batchflow`: its commands, and how an error ends it. Imports nothing heavy: `--help` must be instant."""

import json
import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import typer

from batchflow import __version__
from batchflow.cli import render
from batchflow.cli.init import init
from batchflow.cli.load import load
from batchflow.cli.plan import plan
from batchflow.cli.results import results
from batchflow.cli.run import run
from batchflow.cli.runs import runs
from batchflow.cli.schema import schema
from batchflow.cli.serve import serve
from batchflow.cli.show import show
from batchflow.cli.status import status
from batchflow.cli.validate import validate
from batchflow.errors import BatchflowError, ExitStatus, InvalidInput, redact

app = typer.Typer(
    name="batchflow",
    help="Ask an LLM about every row of a table, through a Batch API: declared in YAML, resumable, bought once.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for command in (init, validate, plan, run, status, runs, results, show, load, schema, serve):
    app.command()(command)


def _version(*, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"batchflow {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=lambda v: _version(wanted=v)
    ),
) -> None:
    del version


def main() -> None:
    """The entry point: runs a command, tells its error in words, ends with its status."""
    if sys.platform == "win32":
        sys.stderr.write("batchflow runs on Linux and macOS; on Windows use it inside WSL\n")
        sys.exit(ExitStatus.INVALID)
    status: object
    try:
        app()
        status = ExitStatus.COMPLETE
    except SystemExit as leaving:
        status = leaving.code
    except BatchflowError as error:
        status = _tell(error)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = ExitStatus.COMPLETE
    except KeyboardInterrupt:
        status = ExitStatus.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        status = _tell_bug(error)
    _leave(status)


def _leave(status: object) -> NoReturn:
    """End at once: everything of ours is closed, a call that hangs in a thread must not keep the process, and DuckDB's
    binding tells its own leaks at an ordinary exit.
    """
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _tell(error: BatchflowError) -> ExitStatus:
    sys.stdout.flush()
    render.note(error.text())
    if "--json" in sys.argv:
        faults = error.faults if isinstance(error, InvalidInput) else ()
        render.emit(
            "error",
            {
                "code": error.code,
                "exit": int(error.exit_status),
                "message": redact(error.message),
                "hint": redact(error.hint),
                "faults": [
                    {
                        "file": fault.file,
                        "line": fault.line,
                        "column": fault.column,
                        "cause": redact(fault.cause),
                        "remedy": fault.remedy,
                    }
                    for fault in faults
                ],
            },
        )
    return error.exit_status


def _tell_bug(error: Exception) -> ExitStatus:
    if os.environ.get("BATCHFLOW_DEBUG"):
        render.note("".join(traceback.format_exception(error)))
    text = f"error[{BatchflowError.code}]: {type(error).__name__}: {error}"
    hint = "this is a bug of batchflow; what was sent is on record, and the same command goes on from there.\n"
    more = "Set BATCHFLOW_DEBUG=1 to see where it happened."
    render.note(f"{text}\n\nhint: {hint}{more}")
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"schema": "batchflow.error/1", "code": BatchflowError.code, "exit": 1}) + "\n")
    return ExitStatus.BUG
