"""`batchflow upload-batch-file`: the deck's second step, a batch file to the provider."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow import files
from batchflow.cli import render
from batchflow.cli.deck import Who, file_json, service
from batchflow.cli.options import Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import DataError, Fault, UsageError

SHOWN = 20


def upload_batch_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A batch file, one request a line.")],
    *,
    provider: Who = "openai",
    as_json: Json = False,
) -> None:
    """Upload a batch file; it costs nothing yet.

    Every line is checked before. What was uploaded is noted in .batchflow/ of this folder.
    """
    from batchflow.engine.single import Record, Upload, patiently

    if not file.is_file():
        raise UsageError(f"{file} is not there", hint="`batchflow make-batch-file TEMPLATE DATA` makes one")
    asked = service(provider)
    with Interruptible() as moment:
        requests = check(file)
        digest = files.sha256_of(file)
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
        render.emit("upload-batch-file", {**record, "simulated": asked.target.simulated, "uploaded": file_json(remote)})


def check(file: Path) -> int:
    """The number of requests; raises DataError for what would make the provider refuse the whole file."""
    faults: list[Fault] = []
    seen: set[str] = set()
    urls: set[str] = set()
    count = 0
    with file.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            count += 1
            cause = _wrong(line, seen, urls)
            if cause and len(faults) < SHOWN:
                faults.append(Fault(str(file), cause, "make the file anew with `batchflow make-batch-file`", number))
    if not count:
        faults.append(Fault(str(file), "the file holds no request", "`batchflow make-batch-file` writes one a row"))
    if faults:
        raise DataError(faults)
    return count


def _wrong(line: bytes, seen: set[str], urls: set[str]) -> str:
    """What is wrong with a line; empty for one that is sound."""
    try:
        record: Any = json.loads(line)
        custom_id, url, body = record["custom_id"], record["url"], record["body"]
    except (ValueError, RecursionError):
        return "the line is not JSON"
    except (KeyError, TypeError):
        return "the line is no request: custom_id, method, url and body belong in it"
    if not isinstance(custom_id, str) or not isinstance(body, dict) or record.get("method") != "POST":
        return "the line is no request: custom_id is a text, method is POST, body an object"
    if custom_id in seen:
        return f"the custom_id {custom_id!r} stands in an earlier line as well"
    seen.add(custom_id)
    urls.add(str(url))
    return f"this line goes to {url}, an earlier one elsewhere: a batch has one endpoint" if len(urls) > 1 else ""
