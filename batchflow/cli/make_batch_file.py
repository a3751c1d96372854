"""`batchflow make-batch-file`: the deck's first step, a batch file from a template and a table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.bar import bar
from batchflow.cli.deck import check_out
from batchflow.cli.options import Force, Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import UsageError

REQUESTS = "batch-requests.jsonl"


def make_batch_file(
    template: Annotated[Path, typer.Argument(metavar="TEMPLATE", help="JSON file with the body of a request.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The table: CSV, TSV or Excel, one request per row.")],
    *,
    id_col: Annotated[
        str | None, typer.Option("--id-col", metavar="COL", help="Column of custom_ids; without it id_0, id_1, …")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")] = Path(REQUESTS),
    sheet: Annotated[str | None, typer.Option("--sheet", help="Sheet of an Excel file; else its first.")] = None,
    missing: Annotated[str, typer.Option("--missing", help="A cell that is missing: error or empty.")] = "error",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a batch file from a JSON template and a table.

    Sends nothing. More than 50,000 rows or 200 MB become several files: the next is FILE-00002.
    """
    from batchflow.plan.batch_file import Order, make, standing

    if missing not in {"error", "empty"}:
        raise UsageError(f"--missing {missing}: there is no such way", hint="write --missing error or --missing empty")
    _check(template, data, out)
    before = standing(out)
    if before and not force:
        raise UsageError(
            f"{before[0]} is there already; nothing was written", hint="name another file with --out, or add --force"
        )
    order = Order(template, data, out, id_col, "empty" if missing == "empty" else "error", sheet)
    with Interruptible(), bar("Processing...") as advance:
        made = make(order, advance)
    _tell(made, before, as_json=as_json)


def _tell(made: Any, before: list[Path], *, as_json: bool) -> None:
    """What was made; files that an earlier call with more rows left go with it."""
    for note in made.notes:
        render.note(f"note: {note}")
    paths = [file.path for file in made.files]
    for stale in before:
        if stale not in paths:
            stale.unlink()
            render.note(f"{stale} of an earlier call was removed")
    for file in made.files:
        render.note(f"Batch file created: {file.path} ({render.plural(file.requests, 'request')} for {made.model})")
    render.note(f"Next: {render.command('upload-batch-file', paths[0])}")
    if as_json:
        described = [
            {"path": str(file.path), "requests": file.requests, "bytes": file.bytes, "sha256": file.sha256}
            for file in made.files
        ]
        total = sum(file.requests for file in made.files)
        record = {"files": described, "requests": total, "model": made.model, "notes": list(made.notes)}
        render.emit("make-batch-file", record)


def _check(template: Path, data: Path, out: Path) -> None:
    """What is not there, before anything is read."""
    for path, what in ((template, "template"), (data, "table")):
        if not path.is_file():
            cause = "is a folder" if path.is_dir() else "is not there"
            raise UsageError(f"{path} {cause}", hint=f"name the {what}: batchflow make-batch-file TEMPLATE DATA")
    check_out(out, template, data)
