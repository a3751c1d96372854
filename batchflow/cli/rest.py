"""`batchflow utils rest`: a batch file of the requests that a batch left without a final outcome."""

from pathlib import Path
from typing import Annotated

import typer

from batchflow.cli import render
from batchflow.cli.deck import check_out
from batchflow.cli.options import Force, Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import UsageError


def rest(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The batch file that was asked.")],
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS", help="All its files of answers and of errors.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="NEW", help="Batch file to write.")] = Path("batch-rest.jsonl"),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a batch file of the requests without a final outcome.

    Those that expired, were cancelled, failed for the moment, or are not in the results at all. Sends nothing.
    """
    from batchflow.engine.rest import write_rest
    from batchflow.plan.checking import check

    for path in (file, *results):
        if not path.is_file():
            raise UsageError(f"{path} is not there", hint="name the batch file, then its files of answers and errors")
    check_out(out, file, *results)
    if out.exists() and not force:
        raise UsageError(
            f"{out} is there already; nothing was written", hint="name another file with --out, or add --force"
        )
    with Interruptible():
        check(file, one_batch=False)
        account = write_rest(file, results, out)
    owed = sum(account.owed.values())
    kinds = ", ".join(f"{count:,} {outcome}" for outcome, count in account.owed.items())
    render.note(f"{account.final:,} of {render.plural(account.requests, 'request')} have a final outcome")
    if owed:
        render.note(f"Batch file created: {out} ({render.plural(owed, 'request')}: {kinds})")
        render.note(f"Next: {render.command('upload-batch-file', out)}")
    else:
        render.note("nothing is owed: no file was written")
    if as_json:
        record = {"file": str(file), "out": str(out) if owed else None, "requests": account.requests}
        render.emit("utils-rest", {**record, "final": account.final, "owed": dict(account.owed)})
