"""`batchflow utils display`: a file of requests or of results, as people read it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.deck import Limit
from batchflow.cli.options import Json
from batchflow.errors import DataError, Fault, UsageError

SIMULATED_MODEL = "simulated/"


def display(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A batch file, or a file of results.")],
    *,
    limit: Limit = 10,
    custom_id: Annotated[str | None, typer.Option("--id", metavar="CUSTOM_ID", help="Only this one.")] = None,
    as_json: Json = False,
) -> None:
    """Show requests or results of a file, readable.

    The first ten, or one by its custom_id. Sends nothing.
    """
    from batchflow.results.lines import records

    if not file.is_file():
        raise UsageError(f"{file} is not there", hint="name a file of requests or results: JSON lines")
    shown: list[dict[str, Any]] = []
    total = 0
    for number, record in records(file):
        entry = _entry(file, number, record)
        total += 1
        if len(shown) < limit and custom_id in {None, entry["custom_id"]}:
            shown.append(entry)
    if custom_id is not None and not shown:
        raise UsageError(f"{file} holds no {custom_id}", hint="the ids are shown without --id")
    if as_json:
        render.emit("utils-display", {"file": str(file), "total": total, "entries": shown})
        return
    render.show("\n\n".join(_text(entry) for entry in shown))
    render.note(f"{len(shown):,} of {render.plural(total, 'line')} of {file}")


def _entry(file: Path, number: int, record: bytes) -> dict[str, Any]:
    """A line as it is shown; raises DataError for one that is neither request nor result."""
    from batchflow.results.lines import parse

    try:
        value = json.loads(record.decode("utf-8", "replace"))
        if isinstance(value.get("body"), dict) and isinstance(value["custom_id"], str):
            return _request(value)
    except (ValueError, RecursionError, AttributeError, KeyError):
        pass
    answer = parse(record)
    if answer is None:
        cause = "the line is neither a request nor a result"
        raise DataError([Fault(str(file), cause, "name a file of requests or results: JSON lines", number)])
    return {
        "custom_id": answer.custom_id,
        "kind": "result",
        "outcome": answer.outcome.value,
        "simulated": (answer.model_answered or "").startswith(SIMULATED_MODEL),
        "model": answer.model_answered,
        "content": answer.content,
        "refusal": answer.refusal,
        "error_code": answer.error_code,
        "error_message": answer.error_message,
    }


def _request(value: dict[str, Any]) -> dict[str, Any]:
    from batchflow.prompts.reading import readable

    body = value["body"]
    messages = [{"role": part.role, "text": part.text} for part in readable(body).said]
    model, url = body.get("model"), value.get("url")
    return {"custom_id": value["custom_id"], "kind": "request", "url": url, "model": model, "messages": messages}


def _text(entry: dict[str, Any]) -> str:
    if entry["kind"] == "request":
        lines = [f"{entry['custom_id']}: asks {entry['model']}"]
        lines += [f"{message['role']}: {message['text']}" for message in entry["messages"]]
    else:
        lines = [f"{entry['custom_id']}: {entry['outcome']}{render.simulated(really=entry['simulated'])}"]
        told = [entry[name] for name in ("content", "refusal", "error_code", "error_message")]
        lines += [str(words) for words in told if words]
    return "\n".join([lines[0].replace("\n", "\\n"), *("  " + line.replace("\n", "\n  ") for line in lines[1:])])
