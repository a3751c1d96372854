"""How the program `batchflow` starts, and how an error ends it. Imports nothing heavy: `--help` must be instant."""

import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import typer

from batchflow.cli import render
from batchflow.cli.program import program
from batchflow.cli.usage import in_our_words, is_help
from batchflow.errors import BatchflowError, ExitStatus, InvalidInput, SetupError

DEBUG = "BATCHFLOW_DEBUG"
# what they have not sent goes without saying
_NEVER_SEND = frozenset(
    {"init", "validate", "preview", "plan", "schema", "make-batch-file", "config", "display", "rest", "pdf2text"}
)


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
        app = program(sys.argv[1] if len(sys.argv) > 1 else "")
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
