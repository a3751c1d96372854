"""The deck's commands about batches that exist: `list-batches`, `show-batch`, `cancel-batch`."""

from functools import partial
from typing import Any

from batchflow.cli import render
from batchflow.cli.deck import (
    BatchId,
    Limit,
    Service,
    Who,
    all_of,
    batch_json,
    file_json,
    moment,
    must_find_batch,
    progress,
    service,
    timeline,
)
from batchflow.cli.options import Json
from batchflow.cli.signals import Interruptible

SHOWN_ERRORS = 20


def list_batches(*, limit: Limit = 20, provider: Who = "openai", as_json: Json = False) -> None:
    """List the batches of your account, newest first."""
    asked = service(provider)
    with Interruptible(), asked.connected() as connection:
        batches = all_of(connection.page, "batches", limit)
    if as_json:
        render.emit("list-batches", {**_whom(asked), "batches": [batch_json(batch) for batch in batches]})
        return
    if not batches:
        render.note(f"no batches at {asked.target.host}{asked.marker} for this key")
        return
    rows = [
        (
            b.id,
            b.status,
            moment(b.created_at),
            b.endpoint,
            _counts(b),
            progress(b),
            (b.metadata or {}).get("description"),
        )
        for b in batches
    ]
    headers = ("id", "status", "created (UTC)", "endpoint", "done/failed/total", "progress", "description")
    if asked.marker:
        render.note(f"Batches of the local server{asked.marker}:")
    render.show(render.table(headers, rows, right=frozenset({4, 5})))


def _whom(asked: Service) -> dict[str, Any]:
    return {"host": asked.target.host, "simulated": asked.target.simulated}


def _counts(batch: Any) -> str:
    return "/".join(str(batch.counts.get(name, "?")) for name in ("completed", "failed", "total"))


def show_batch(batch_id: BatchId, *, provider: Who = "openai", as_json: Json = False) -> None:
    """Show one batch: its timeline, counts and files."""
    asked = service(provider)
    with Interruptible(), asked.connected() as connection:
        batch = must_find_batch(connection, batch_id, asked.target.host)
        ids = {"input": batch.input_file_id, "output": batch.output_file_id, "error": batch.error_file_id}
        files = {kind: connection.find_file(name) if name else None for kind, name in ids.items()}
    if as_json:
        shown = {kind: None if file is None else file_json(file) for kind, file in files.items()}
        render.emit("show-batch", {**_whom(asked), "batch": batch_json(batch), "files": shown})
        return
    render.show(text(batch, ids, files, asked.marker))


def text(batch: Any, ids: dict[str, Any], files: dict[str, Any], marker: str) -> str:
    """A batch as the console shows it."""
    counts = {name: batch.counts.get(name, 0) for name in ("completed", "failed", "total")}
    done = f"{counts['completed']:,} completed, {counts['failed']:,} failed of {counts['total']:,} total requests"
    lines = [
        f"{batch.id}{marker}",
        "",
        f"Status             {batch.status}",
        f"Created at (UTC)   {moment(batch.created_at)}",
        f"Endpoint           {batch.endpoint}",
        f"Completion window  {batch.window}",
        f"Completion time    {_took(batch)}",
        f"Request counts     {done}",
    ]
    lines += [
        f"Label              {_in_a_line(key)} = {_in_a_line(value)}" for key, value in (batch.metadata or {}).items()
    ]
    lines += ["", "Files"]
    for kind, file_id in ids.items():
        file = files[kind]
        told = "" if not file_id else " (gone)" if file is None else f" {_in_a_line(file.name)}"
        lines.append(f"  {kind:7}{file_id or '-'}{told}")
    lines += ["", "Timeline (UTC)", *(f"  {at}  batch {name}" for at, name in timeline(batch))]
    errors = [
        f"  line {e.line or '?'}: {_in_a_line(e.code)}: {_in_a_line(e.message)}" for e in batch.errors[:SHOWN_ERRORS]
    ]
    return "\n".join([*lines, *(["", "Errors", *errors] if errors else [])])


def _in_a_line(told: object) -> str:
    """What somebody else wrote, so that it cannot look like a line of ours."""
    return str(told).replace("\n", "\\n")


def _took(batch: Any) -> str:
    ended = [batch.moments[f"{name}_at"] for name in ("completed", "failed", "expired", "cancelled")
             if f"{name}_at" in batch.moments]  # fmt: skip
    if not ended or batch.created_at is None:
        return "not ended"
    minutes, seconds = divmod(round(ended[0] - batch.created_at), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "hour"), (minutes, "minute"), (seconds, "second"))
    return ", ".join(render.plural(count, word) for count, word in parts if count or word == "second")


def _cancelled(connection: Any, batch: Any) -> Any:
    """The batch, asked to end; as it is now where it ended by itself meanwhile."""
    return connection.cancel(batch.id) or connection.find_batch(batch.id) or batch


def cancel_batch(batch_id: BatchId, *, provider: Who = "openai", as_json: Json = False) -> None:
    """Cancel a batch; what is answered by then is billed."""
    from batchflow.engine.single import patiently

    asked = service(provider)
    with Interruptible(), asked.connected() as connection:
        batch = must_find_batch(connection, batch_id, asked.target.host)
        ended = batch.ended
        if not ended and batch.status != "cancelling":
            batch = patiently(partial(_cancelled, connection, batch), render.note)
            ended = batch.ended and batch.status != "cancelled"
    word = "had ended before" if ended else "is asked to end; what is in flight may take up to 10 minutes"
    render.note(f"Batch {batch.id}{asked.marker} {word}: {batch.status}")
    render.note(f"Next: {asked.command('get-batch-results', batch.id)}")
    if as_json:
        render.emit("cancel-batch", {**_whom(asked), "batch": batch_json(batch)})
