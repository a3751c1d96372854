"""The program `batchflow`: its commands, and how an error ends it. Imports nothing heavy: `--help` must be instant."""

import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import typer

from batchflow import __version__
from batchflow.cli import render
from batchflow.cli.batches import cancel_batch, list_batches, show_batch
from batchflow.cli.cancel import cancel
from batchflow.cli.chat_complete import chat_complete
from batchflow.cli.config import config
from batchflow.cli.display import display
from batchflow.cli.files_there import delete_file, list_files
from batchflow.cli.forget import forget
from batchflow.cli.get_batch_results import get_batch_results
from batchflow.cli.init import init
from batchflow.cli.load import load
from batchflow.cli.make_batch_file import make_batch_file
from batchflow.cli.pdf2text import pdf2text
from batchflow.cli.plain import PlainCommand, PlainGroup
from batchflow.cli.plan import plan
from batchflow.cli.preview import preview
from batchflow.cli.rest import rest
from batchflow.cli.results import results
from batchflow.cli.retry import retry
from batchflow.cli.run import run
from batchflow.cli.runs import runs
from batchflow.cli.schema import schema
from batchflow.cli.serve import serve_app
from batchflow.cli.show import show
from batchflow.cli.start_batch import start_batch
from batchflow.cli.status import status
from batchflow.cli.upload_batch_file import upload_batch_file
from batchflow.cli.usage import in_our_words, is_help
from batchflow.cli.validate import validate
from batchflow.errors import BatchflowError, ExitStatus, InvalidInput, SetupError

DEBUG = "BATCHFLOW_DEBUG"

HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="batchflow",
    cls=PlainGroup,
    context_settings=HELP,
    help="Ask an LLM about every row of a table, through a Batch API: declared in YAML, resumable, bought once.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

COMMANDS = (init, validate, preview, plan, run, status, runs, results, show, cancel, retry, forget, load, schema)
# the steps of the Kellogg deck, one command each
DECK = (
    *(make_batch_file, upload_batch_file, start_batch, list_batches, show_batch, get_batch_results),
    *(cancel_batch, list_files, delete_file),
)

for command in (*COMMANDS, *DECK):
    app.command(cls=PlainCommand)(command)
app.add_typer(serve_app, name="serve")

utils = typer.Typer(
    help="Tools: config, display, chat-complete, rest, pdf2text.", no_args_is_help=True, rich_markup_mode=None
)
for tool in (config, display, chat_complete, rest, pdf2text):
    utils.command(cls=PlainCommand)(tool)
app.add_typer(utils, name="utils")
# what they have not sent goes without saying
_NEVER_SEND = frozenset(
    {"init", "validate", "preview", "plan", "schema", "make-batch-file", "config", "display", "rest", "pdf2text"}
)


def _version(*, wanted: bool) -> None:
    if wanted:
        render.write(f"batchflow {__version__}\n")
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
    _open_closed_streams()
    _leave(_carry_out())


def _carry_out() -> object:
    """The status to end with."""
    try:
        status = app(
            prog_name="batchflow", standalone_mode=False
        )  # the status of --help, --version and Ctrl-C; else None
    except SystemExit as leaving:
        return leaving.code
    except typer.TyperException as error:
        return _tell_usage(error)
    except BatchflowError as error:
        return _tell(error)
    except OSError as error:
        return _tell_refusal(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        return _tell_bug(error)
    if status == ExitStatus.INTERRUPTED:
        render.note("\nInterrupted. The same command can be given again.")
    return status or ExitStatus.COMPLETE


def _open_closed_streams() -> None:
    """A standard stream that is closed becomes /dev/null: else the next file, the journal even, would get its number
    and every stray word with it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _leave(status: object) -> NoReturn:
    """End at once: everything of ours is closed, a call that hangs in a thread must not keep the process, and DuckDB's
    binding tells its own leaks at an ordinary exit.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _tell(error: BatchflowError) -> ExitStatus:
    _trace(error)
    if isinstance(error, InvalidInput):
        error.could_send = not _NEVER_SEND.intersection(sys.argv[1:3])
    render.note(error.text())
    _tell_json(error)
    return error.exit_status


def _tell_usage(error: typer.TyperException) -> ExitStatus:
    """The words of the command line cannot be understood; of a group without a command, the error is its help."""
    if is_help(error):
        render.note(error.format_message())
        return ExitStatus.USAGE
    return _tell(in_our_words(error))


def _tell_refusal(error: OSError) -> ExitStatus:
    """The system said no where nobody expected it: a full disk, a file without the right to read it."""
    _trace(error)
    where = f"{error.filename}: " if error.filename else ""
    known = SetupError(
        f"{where}{error.strerror or error}",
        hint="check the file, its rights and the disk, then run the same command again",
    )
    return _tell(known)


def _tell_bug(error: Exception) -> ExitStatus:
    _trace(error)
    hint = "this is a bug of batchflow; what was sent is on record, and the same command goes on from there.\n"
    return _tell(
        BatchflowError(f"{type(error).__name__}: {error}", hint=f"{hint}Set {DEBUG}=1 to see where it happened.")
    )


def _trace(error: Exception) -> None:
    if os.environ.get(DEBUG) and error.__traceback__ is not None:
        render.note("".join(traceback.format_exception(error)))


def _tell_json(error: BatchflowError) -> None:
    """With --json an error is an object on stdout as well."""
    if "--json" not in sys.argv:
        return
    record = {"code": error.code, "exit": int(error.exit_status), "message": error.message, "hint": error.hint}
    faults = error.faults if isinstance(error, InvalidInput) else ()
    told = [
        {"file": fault.file, "line": fault.line, "column": fault.column, "cause": fault.cause, "remedy": fault.remedy}
        for fault in faults
    ]
    with suppress(OSError):  # the error may be that stdout takes nothing more
        render.emit("error", {**record, "faults": told})
