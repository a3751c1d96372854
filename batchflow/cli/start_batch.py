"""`batchflow start-batch`: the deck's third step, and the one call of it that costs money."""

import json
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.deck import FileId, Service, Who, Yes, agree, batch_json, service
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

    A file is started once, and so is its content: while its batch lives, and after it, only --again starts it anew.
    If the reply was lost, the same command finds the batch again.
    """
    if len(desc) > MOST_DESCRIPTION:
        raise UsageError(f"--desc has {len(desc)} characters, {MOST_DESCRIPTION} are the most", hint="shorten it")
    asked = service(provider)
    file_id = asked.file_id(file_id)
    ask = asked.must_agree(yes=yes)
    with Interruptible() as moment, asked.connected() as connection:
        starting = _Start(asked, connection, asked.target.settle if settle is None else settle, desc)
        batch, found = starting.carry_out(file_id, moment, again=again, ask=ask)
    render.note(f"Batch {batch.id}{asked.marker} {'runs already' if found else 'was created'}: {batch.status}")
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
        from batchflow.engine.single import Record, Starting, Upload

        file = self._asked.must_find_file(self._provider, file_id)
        with Record.open(self._asked.root, self._asked.target.host, Upload(file)) as record:
            start = Starting(self._provider, record, self._settle, self._description, render.note)
            found = start.settle_doubt()
            if found is not None:
                return found, True
            if not again:
                self._must_be_new(file, record.shard)
            endpoint, model = _first_line(self._provider, file_id)
            agree(self._question(record.shard.requests, file, model), ask=ask)
            moment.check()
            moment.sent = True
            return start.create(endpoint), False

    def _must_be_new(self, file: Any, shard: Any) -> None:
        """Raises UsageError where the file, or its content under another id, has a batch: all would be bought again."""
        from batchflow.engine.earlier import batches_with, look_for, uploads_of
        from batchflow.engine.single import batches_of

        seen = look_for(self._provider, file, render.note)
        started = batches_of(self._provider, file, shard.batches, render.note, seen)
        if started:
            raise self._second(f"{file.id} has been started already", started)
        uploads = uploads_of(self._asked.root, self._asked.target.host, shard.sha256, but=file.id)
        doubtful = next((upload.file_id for upload in uploads if upload.open_intent is not None), None)
        if doubtful is not None:
            raise UsageError(
                f"the same content was uploaded before as {doubtful}, whose batch may have been started; "
                "nothing was created",
                hint=f"`{self._asked.command('start-batch', doubtful)}` finds out; `--again` buys the content anyway",
            )
        same = batches_with(self._provider, file, shard.sha256, seen, uploads=uploads, say=render.note)
        if same:
            raise self._second(f"the content of {file.id} has been started already as {same[0].input_file_id}", same)

    def _second(self, what: str, batches: list[Any]) -> UsageError:
        named = ", ".join(f"{batch.id} ({batch.status})" for batch in batches)
        return UsageError(
            f"{what}: {named}; nothing was created",
            hint=f"`{self._asked.command('get-batch-results', batches[0].id)}` fetches its answers; "
            "`--again` buys all of them again",
        )

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
