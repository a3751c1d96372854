"""`batchflow utils chat-complete`: the requests of a batch file, asked at once and at the full price."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.bar import bar
from batchflow.cli.deck import Service, Who, Yes, agree, check_out, service
from batchflow.cli.options import Json
from batchflow.cli.signals import Interruptible, ending_in_order
from batchflow.errors import ExitStatus, Interrupted, UsageError

MOST = 8


def chat_complete(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A batch file, one request a line.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File for the answers. [default: beside FILE]", show_default=False),
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Requests at a time.", min=1, max=MOST)] = 4,
    yes: Yes = False,
    provider: Who = "openai",
    as_json: Json = False,
) -> None:
    """Ask the requests of a batch file at once, at the full price.

    Answers are kept as they come; the same command asks only the rest.
    """
    from batchflow.cli.upload_batch_file import check
    from batchflow.engine.asking import Answers, Asking, outcomes, requests

    asked = service(provider)
    ask = asked.must_agree(yes=yes)
    target = out or file.with_name(f"{file.stem}-answers.jsonl")
    if not file.is_file():
        raise UsageError(f"{file} is not there", hint="`batchflow make-batch-file TEMPLATE DATA` makes one")
    check_out(target, file)
    total = check(file)
    with Answers(target, asked.target.scope) as answers:
        with Interruptible():
            owed = [request.model for request in requests(file, asked.target.scope) if not answers.has(request)]
            if owed:
                agree(_question(asked, owed, total), ask=ask)
        rest = (request for request in requests(file, asked.target.scope) if not answers.has(request))
        make = partial(Asking, answers=answers, concurrency=concurrency, say=render.note)
        count = _drive(asked, make, rest, owed) if owed else 0
    told = outcomes(target, {request.custom_id for request in requests(file, asked.target.scope)})
    record = {"file": str(file), "out": str(target), "requests": total, "asked": count, "owed": total - told.total()}
    sys.exit(_tell(asked, record | {"outcomes": dict(sorted(told.items()))}, as_json=as_json))


def _question(asked: Service, owed: list[str], total: int) -> str:
    models = ", ".join(sorted(set(owed))[:3])
    some = "" if len(owed) == total else f" of {total:,}; the others are answered"
    cost = "" if asked.free else " This costs the full price, twice that of a batch."
    return f"Ask {render.plural(len(owed), 'request')}{some}, for {models} at {asked.target.host}{asked.marker}.{cost}"


def _drive(asked: Service, make: Any, rest: Iterator[Any], owed: list[str]) -> int:
    """Ask the rest; returns how many answers came."""
    with ending_in_order() as signals, asked.connected() as connection, bar("Asking...") as advance:
        asking = make(connection, advance=lambda done: advance(done, len(owed)), ending=lambda: bool(signals.name))
        asking.drive(rest)
        if signals.name:
            raise Interrupted(
                f"interrupted by {signals.name}; {render.plural(asking.asked, 'answer')} of this call kept",
                hint="give the same command again to ask the rest",
            )
    return int(asking.asked)


def _tell(asked: Service, record: dict[str, Any], *, as_json: bool) -> ExitStatus:
    words = ", ".join(f"{count:,} {outcome}" for outcome, count in record["outcomes"].items())
    render.note(
        f"{words or 'nothing'} of {render.plural(record['requests'], 'request')} in {record['out']}{asked.marker}"
    )
    if record["owed"]:
        render.note(f"{record['owed']:,} are owed: the same command asks them again")
    if as_json:
        whom = {"host": asked.target.host, "simulated": asked.target.simulated}
        render.emit("utils-chat-complete", {**whom, **record})
    return ExitStatus.COMPLETE if record["outcomes"].get("answered") == record["requests"] else ExitStatus.ENDED_SHORT
