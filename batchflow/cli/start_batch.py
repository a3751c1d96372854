"""`batchflow start-batch`: the deck's third step, and the one call of it that costs money."""

import json
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.deck import FileId, Service, Who, Yes, agree, batch_json, must_find_file, service
from batchflow.cli.options import Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import ProviderError, UsageError

MOST_DESCRIPTION = 512  # characters of a label, by OpenAI
DEFAULT_ENDPOINT = "/v1/chat/completions"
FIRST_LINE = 1_000_000  # bytes of a file that are looked at for its first line


def start_batch(
    file_id: FileId,
    *,
    desc: Annotated[str, typer.Option("--desc", help="Your own word about the batch.")] = "batch job",
    again: Annotated[bool, typer.Option("--again", help="Buy the answers of this file once more.")] = False,
    yes: Yes = False,
    settle: Annotated[
        float | None, typer.Option("--settle", help="Seconds that a new batch may be missing from the list.", min=0)
    ] = None,
    provider: Who = "openai",
    as_json: Json = False,
) -> None:
    """Start the batch of an uploaded file; this costs money.

    A file is started once: while its batch lives, and after it, only --again starts it anew. If the reply was lost,
    the same command finds the batch again.
    """
    if len(desc) > MOST_DESCRIPTION:
        raise UsageError(f"--desc has {len(desc)} characters, {MOST_DESCRIPTION} are the most", hint="shorten it")
    asked = service(provider)
    ask = asked.must_agree(yes=yes)
    with Interruptible() as moment, asked.connected() as connection:
        starting = _Start(asked, connection, asked.target.settle if settle is None else settle, desc)
        batch, found = starting.carry_out(file_id, moment, again=again, ask=ask)
    word = "was created by an earlier call; nothing was bought twice" if found else "was created"
    render.note(f"Batch {batch.id}{asked.marker} {word}: {batch.status}")
    if not asked.free and not batch.ended:
        render.note("The provider may take up to 24 h.")
    render.note(f"Next: {asked.command('get-batch-results', batch.id)}")
    if as_json:
        facts = {"host": asked.target.host, "simulated": asked.target.simulated, "found_again": found}
        render.emit("start-batch", {**facts, "batch": batch_json(batch)})


class _Start:
    def __init__(self, asked: Service, provider: Any, settle: float, description: str) -> None:
        self._asked, self._provider, self._settle, self._description = asked, provider, settle, description

    def carry_out(self, file_id: str, moment: Interruptible, *, again: bool, ask: bool) -> tuple[Any, bool]:
        """The batch, and whether an earlier call had created it."""
        from batchflow.engine.single import Record, Starting, Upload, batches_of, refuse_second

        file = must_find_file(self._provider, file_id, self._asked.target.host)
        with Record.open(self._asked.root, self._asked.target.host, Upload(file)) as record:
            endpoint, model = _first_line(self._provider, file_id)
            start = Starting(self._provider, record, endpoint, self._settle, self._description, render.note)
            found = start.settle_doubt()
            if found is not None:
                return found, True
            if not again:
                refuse_second(file_id, batches_of(self._provider, file, record.shard.batches, render.note))
            agree(self._question(record.shard.requests, file, model), ask=ask)
            moment.check()
            moment.sent = True
            return start.create(), False

    def _question(self, requests: int, file: Any, model: str) -> str:
        what = render.plural(requests, "request") if requests else "all requests"
        size = "" if file.bytes is None else f" ({render.size(file.bytes)})"
        whom = f" for {model}" if model else ""
        cost = "" if self._asked.free else " This costs money; how much is not known in this version."
        return f"Start {what} of {file.id}{size}{whom} at {self._asked.target.host}{self._asked.marker}.{cost}"


def _first_line(provider: Any, file_id: str) -> tuple[str, str]:
    """The endpoint and the model that a file asks, from its first line; a service that does not show it is believed to
    have a file of chat completions.
    """
    content = b""
    try:
        for piece in provider.download(file_id):
            content += piece
            if b"\n" in content or len(content) > FIRST_LINE:
                break
        record = json.loads(content.partition(b"\n")[0])
        return str(record["url"]), str(record["body"].get("model", ""))
    except (ProviderError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return DEFAULT_ENDPOINT, ""
