"""`batchflow show`: one request, from question to answer."""

import json
import re
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.options import Json
from batchflow.errors import UsageError

SHOWN_OTHERS = 12
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")
_ID = re.compile(r"[0-9]+-[0-9]+-[0-9]+-[0-9a-f]{8}\Z")


def show(
    request: Annotated[
        str,
        typer.Argument(metavar="CUSTOM_ID|ROW_ID", help="A request's id, as in the column custom_id, or a row's."),
    ],
    where: Annotated[
        str | None, typer.Argument(metavar="SPEC|RUN", help="Where to look; else the runs near this folder.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show one request: what was asked, and what came back.

    Also where both lie.
    """
    custom_id = request if _ID.match(request) else _of_row(request, where)
    found = [describe(folder, custom_id) for folder in _folders(custom_id, where)]
    described = [entry for entry in found if entry is not None]
    if not described:
        raise UsageError(
            f"there is no request {custom_id} in {where or 'the runs near this folder'}",
            hint="see the column custom_id of `batchflow results SPEC --format csv`"
            + ("" if where else "; or name the run as well: batchflow show CUSTOM_ID SPEC|RUN"),
        )
    *others, newest = described
    for other in others:
        render.note(f"The run {other['run']} in {other['folder']} has a request of this id as well.")
    if as_json:
        render.emit("show", newest)
    else:
        render.show(text(newest))


def _of_row(row_id: str, where: str | None) -> str:
    """The request of a row in one run: the named one, that of the study in this folder, or the newest near it that has
    the row.
    """
    from batchflow.engine.finding import find_run
    from batchflow.engine.studies import DEFAULT
    from batchflow.sources.maps import lookup

    if where is None and not Path(DEFAULT).is_file() and Path(row_id).exists():
        raise UsageError(
            f"{row_id} is a study or a run; which of its requests is to be shown?",
            hint=f"name a row, or a request, first: {render.command('show', 'ROW_ID', row_id)}",
        )
    runs = _runs_near("*") if where is None and not Path(DEFAULT).is_file() else []
    runs = runs or [find_run(where).folder]
    looked = ((each, [one for path in each.first_maps() for one in lookup(path, row_id=row_id)]) for each in runs[::-1])
    folder, found = next((pair for pair in looked if pair[1]), (runs[-1], []))
    if not found:
        nowhere = f"{folder.run} has no" if len(runs) == 1 else f"none of the {len(runs):,} runs near this folder has a"
        raise UsageError(
            f"{nowhere} row with the id {row_id}, and that is no request's id either",
            hint="row ids stand in the column row_id of the results; requests' ids look like 0000123-1-1-3f9c2a71 and "
            "stand in the column custom_id; where to look comes second: batchflow show ID SPEC|RUN",
        )
    if len(runs) > 1:
        render.note(f"note: of {len(runs):,} runs near this folder this is {folder.run}; another one is named second")
    if len(found) > 1:
        others = ", ".join(each.custom_id for each in found[1:SHOWN_OTHERS])
        more = f", and {len(found) - SHOWN_OTHERS:,} more" if len(found) > SHOWN_OTHERS else ""
        render.note(f"note: the row is asked {len(found):,} times; also: {others}{more}")
    return found[0].custom_id


def _folders(custom_id: str, where: str | None) -> list[Any]:
    """The runs that may hold the request, oldest first: its id ends with their hash."""
    from batchflow.engine.finding import find_run

    if where is not None:
        return [find_run(where).folder]
    return _runs_near(f"*-{custom_id.rpartition('-')[2]}*")


def _runs_near(names: str) -> list[Any]:
    """The runs near this folder that are called so, oldest first."""
    from batchflow.engine.finding import near
    from batchflow.plan.folder import RunFolder
    from batchflow.plan.model import read_plan

    found = {path.resolve() for prefix in ("", "*/", "*/*/", "../") for path in Path().glob(f"{prefix}runs/{names}")}
    runs = [RunFolder(near(path)) for path in found if (path / "manifest.json").is_file()]
    plans = [(read_plan(run.manifest), run) for run in runs]
    return [run for plan, run in sorted(plans, key=lambda pair: pair[0].created_at) if plan.run == run.run]


def describe(folder: Any, custom_id: str) -> dict[str, Any] | None:
    """Everything about a request in one run; None if it is not there."""
    from batchflow.engine.run import view
    from batchflow.plan.shards import shard_name
    from batchflow.sources.maps import lookup

    run = view(folder)
    maps = {round_: folder.map(round_) for round_ in (0, 1) if folder.map(round_).is_file()}
    first = [(round_, each) for round_, path in maps.items() for each in lookup(path, custom_id=custom_id)]
    if not first:
        return None
    round_, request = first[0]
    path = folder.shard(shard_name(round_, request.shard))
    own = request.asked_as == custom_id
    rounds = [entry for round_ in sorted(run.state.rounds) for entry in _round(run, round_, request.asked_as, own=own)]
    texts = {condition.number: condition.text for condition in run.plan.conditions}
    return {
        "custom_id": custom_id,
        "run": run.plan.run,
        "folder": str(folder.path),
        "simulated": run.plan.simulated,
        "row_number": request.row_number,
        "row_id": request.row_id,
        "condition": texts.get(request.condition, ""),
        "condition_number": request.condition,
        "replicate": request.replicate,
        "draw": request.draw,
        "request_key": request.request_key,
        "asked_as": request.asked_as,
        "request": {"file": str(path), "line": request.line, "body": json.loads(_line(path, request.line))["body"]},
        "responses": rounds,
    }


def _round(run: Any, round_: int, custom_id: str, *, own: bool) -> Any:
    """What one round brought for the request. own: the line is its own, and paid for it alone."""
    from batchflow.results.judge import judge_of
    from batchflow.results.lines import records
    from batchflow.results.taken import TakenJudge
    from batchflow.sources.maps import lookup

    judge: Any = TakenJudge(judge_of(run.plan)) if round_ == 0 else judge_of(run.plan)
    for request in lookup(run.folder.map(round_), custom_id=custom_id):
        shard = run.state.shard(round_, request.shard)
        batch_id = None if shard.batch is None else shard.batch.batch_id
        files = [] if shard.collected is None else [file["name"] for file in shard.collected["files"]]
        told = False
        for path in (run.folder.responses / name for name in files):
            if not path.is_file():
                render.note(f"{path} is missing: put it back from a backup of the run's folder")
                continue
            for number, record in records(path):
                answer = judge(record) if custom_id.encode() in record else None
                if answer is not None and answer.custom_id == custom_id:
                    told = True
                    yield {
                        "round": round_, "batch_id": batch_id, "file": str(path), "line": number,
                        "taken_from": answer.taken_from, "outcome": answer.outcome.value,
                        "owed": answer.owed, "http_status": answer.http_status,
                        "error_code": answer.error_code, "error_message": answer.error_message,
                        "content": answer.content, "refusal": answer.refusal, "finish_reason": answer.finish_reason,
                        **_usage(answer, shard, own=own),
                    }  # fmt: skip
        if not told:
            yield {"round": round_, "batch_id": batch_id, "state": shard.phase.value, "outcome": None}


def _usage(answer: Any, shard: Any, *, own: bool) -> dict[str, Any]:
    """The tokens of an answer, and what was paid for it."""
    from batchflow.cli.report import rounded
    from batchflow.steps.spending import cost_of, prices_kept

    cost = cost_of(answer, prices_kept(shard)) if own else 0.0
    return {name: getattr(answer, name) for name in _TOKENS} | {"cost_usd": rounded(cost)}


def _line(path: Path, number: int) -> bytes:
    with path.open("rb") as handle:
        return next(islice(handle, number - 1, None))


def _draw(draw: int) -> str:
    """A word on a request that equals earlier ones."""
    return "" if draw == 1 else f", draw {draw} (number {draw} of the requests that ask exactly this)"


def _whence(response: dict[str, Any]) -> str:
    if taken := response.get("taken_from"):
        return f"taken over from {taken}"
    return f"round {response['round']}, batch {response['batch_id']}"


def text(described: dict[str, Any]) -> str:
    """The same for people."""
    marker = render.simulated(really=described["simulated"])
    request = described["request"]
    condition = described["condition"] or described["condition_number"]
    lines = [
        f"{described['custom_id']} of {described['run']}{marker}",
        f"row {described['row_id']} (number {described['row_number']})",
        f"condition {condition}, replicate {described['replicate']}{_draw(described['draw'])}",
        "",
        f"asked, line {request['line']} of {request['file']}:",
        json.dumps(request["body"], ensure_ascii=False, indent=2),
    ]
    for response in described["responses"]:
        lines += [
            "",
            f"{_whence(response)}: {response['outcome'] or response['state']}",
        ]
        if response.get("file"):
            lines.append(f"line {response['line']} of {response['file']}{marker}:")
        for key in ("content", "refusal", "error_code", "error_message"):
            if response.get(key):
                lines.append(f"{key}: {response[key]}")
        lines += _paid(response, described)
    return "\n".join(lines)


def _paid(response: dict[str, Any], described: dict[str, Any]) -> list[str]:
    """Tokens and money of one answer; nothing of a line that tells neither."""
    if response.get("prompt_tokens") is None and not response.get("cost_usd"):
        return []
    counted = [f"{response['prompt_tokens'] or 0:,} input"]
    counted[0] += f" ({response['cached_tokens']:,} cached)" if response["cached_tokens"] else ""
    if (written := response["completion_tokens"]) is not None:
        reasoning = response["reasoning_tokens"]
        counted.append(f"{written:,} output" + (f" ({reasoning:,} reasoning)" if reasoning else ""))
    return [f"tokens: {', '.join(counted)}", f"cost: {_cost(response, described)}"]


def _cost(response: dict[str, Any], described: dict[str, Any]) -> str:
    from batchflow.cost.dollars import usd

    if response["taken_from"]:
        return f"$0, bought by the run {response['taken_from']}"
    if described["asked_as"] != described["custom_id"]:
        return f"$0, paid with the request {described['asked_as']}, whose answer this is"
    if described["simulated"]:
        return f"nothing{render.simulated(really=True)}"
    return "not known, there was no price" if response["cost_usd"] is None else usd(response["cost_usd"])
