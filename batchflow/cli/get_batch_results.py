"""`batchflow get-batch-results`: the deck's last step, both result files of an ended batch."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.deck import RESPONSES, BatchId, Service, Who, batch_json, check_out, must_find_batch, service
from batchflow.cli.options import Force, Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import ExitStatus, ProviderRefused, UsageError

GONE = 404


def get_batch_results(
    batch_id: BatchId,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File for the answers.")] = Path(RESPONSES),
    force: Force = False,
    provider: Who = "openai",
    as_json: Json = False,
) -> None:
    """Fetch the results of a batch that has ended.

    The answers go to FILE, the errors to FILE-errors beside it; whatever way it ended, what it wrote is fetched.
    """
    asked = service(provider)
    targets = {"output": out, "error": out.with_name(f"{out.stem}-errors{out.suffix}")}
    check_out(out)
    check_out(targets["error"])
    before = [path for path in targets.values() if path.exists()]
    if before and not force:
        raise UsageError(
            f"{before[0]} is there already; nothing was fetched", hint="name another file with --out, or add --force"
        )
    with Interruptible(), asked.connected() as connection:
        batch = must_find_batch(connection, batch_id, asked.target.host)
        ready = batch.ended and not batch.silent
        fetched = _fetch(connection, batch, targets) if ready else {}
    for kind, path in targets.items():
        if ready and path in before and kind not in fetched:
            path.unlink()  # of another batch: it must not be taken for this one's
    status = _status(batch, fetched, ready=ready)
    render.note(_words(asked, batch, fetched, ready=ready))
    if as_json:
        files = {
            kind: {"path": str(file.path), "lines": file.lines, "bytes": file.bytes} for kind, file in fetched.items()
        }
        whom = {"host": asked.target.host, "simulated": asked.target.simulated}
        shown = {"output": files.get("output"), "error": files.get("error")}
        render.emit("get-batch-results", {**whom, "batch": batch_json(batch), "files": shown})
    sys.exit(status)


def _fetch(connection: Any, batch: Any, targets: dict[str, Path]) -> dict[str, Any]:
    from functools import partial

    from batchflow.engine.single import patiently
    from batchflow.steps.fetch import fetch

    fetched = {}
    expected = {"output": batch.counts.get("completed"), "error": None}
    for kind, file_id in (("error", batch.error_file_id), ("output", batch.output_file_id)):
        if file_id:
            try:
                call = partial(fetch, connection, file_id, targets[kind], expected=expected[kind])
                fetched[kind] = patiently(call, render.note)
            except ProviderRefused as refusal:
                if refusal.status != GONE:
                    raise
                raise ProviderRefused(
                    f"the provider no longer shows the {kind} file {file_id} of {batch.id}",
                    status=GONE,
                    hint="files are kept for a time only (OpenAI: 30 days); `batchflow show-batch` tells more",
                ) from refusal
    return fetched


def _status(batch: Any, fetched: dict[str, Any], *, ready: bool) -> ExitStatus:
    if not ready:
        return ExitStatus.UNFINISHED
    short = batch.status != "completed" or "error" in fetched or bool(batch.counts.get("failed"))
    return ExitStatus.ENDED_SHORT if short else ExitStatus.COMPLETE


def _words(asked: Service, batch: Any, fetched: dict[str, Any], *, ready: bool) -> str:
    done, total = batch.executed, batch.counts.get("total", 0)
    head = f"Batch {batch.id}{asked.marker}: {batch.status}, {done:,} of {render.plural(total, 'request')} done"
    if not ready:
        waits = "it names no result file yet" if batch.ended else "it has not ended"
        return f"{head}; {waits}: nothing was written\nNext: {asked.command('get-batch-results', batch.id)}"
    lines = [head]
    lines += [
        f"{'Answers' if kind == 'output' else 'Errors'}: {render.plural(fetched[kind].lines, 'line')} in "
        f"{fetched[kind].path}{asked.marker}"
        for kind in ("output", "error")
        if kind in fetched
    ]
    if not fetched:
        lines.append("It has written no file.")
    lines += [f"line {e.line or '?'}: {e.code}: {e.message}" for e in batch.errors[:5]]
    return "\n".join(lines)
