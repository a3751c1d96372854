"""`batchflow upload-batch-file`: the deck's second step, a batch file to the provider."""

from pathlib import Path
from typing import Annotated

import typer

from batchflow.cli import render
from batchflow.cli.deck import Service, Who, file_json, service
from batchflow.cli.options import Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import UsageError


def upload_batch_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A batch file, one request a line.")],
    *,
    provider: Who = "openai",
    as_json: Json = False,
) -> None:
    """Upload a batch file; it costs nothing yet.

    Every line is checked before. What was uploaded is noted in .batchflow/ of this folder.
    """
    from batchflow import files
    from batchflow.engine.single import Record, Upload, patiently
    from batchflow.plan.checking import check

    if not file.is_file():
        raise UsageError(f"{file} is not there", hint="`batchflow make-batch-file TEMPLATE DATA` makes one")
    asked = service(provider)
    with Interruptible() as moment:
        checked = check(file)
        requests, digest = checked.requests, files.sha256_of(file)
        before = _uploads(asked, digest)
        for note in [*checked.notes, *before.values()]:
            render.note(f"note: {note}")
        name = file.name if file.suffix == ".jsonl" else f"{file.name}.jsonl"
        with asked.connected() as connection:
            moment.sent = True
            remote = patiently(lambda: connection.upload(file, name), render.note)
        with Record.open(asked.root, asked.target.host, Upload(remote, requests, digest)):
            pass
    render.note(
        f"Uploaded batch file: {file} ({render.plural(requests, 'request')}) to {asked.target.host}{asked.marker}"
    )
    render.note(f"File id: {remote.id}\nNext: {asked.command('start-batch', remote.id)}")
    if as_json:
        record = {"file": str(file), "requests": requests, "sha256": digest, "host": asked.target.host}
        record |= {"simulated": asked.target.simulated, "uploaded": file_json(remote), "uploaded_before": list(before)}
        render.emit("upload-batch-file", record)


def _uploads(asked: Service, sha256: str) -> dict[str, str]:
    """The ids under which this content was uploaded before, each with what is to be said of it."""
    from batchflow.engine.earlier import uploads_of

    told = {}
    for shard in uploads_of(asked.root, asked.target.host, sha256):
        batches = ", ".join(batch.batch_id for batch in shard.batches)
        doubt = "perhaps started" if shard.open_intent is not None else "not started yet"
        started = f"started: {batches}" if batches else doubt
        told[shard.file_id] = f"the same content was uploaded before as {shard.file_id} ({started})"
    return told
