"""`batchflow status`: how far a run is, without disturbing it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchflow import clock
from batchflow.cli import render
from batchflow.cli.options import Json, RunArgument
from batchflow.cli.plan import SHOWN_CELLS, dag_text
from batchflow.cost.dollars import usd
from batchflow.errors import UsageError

if TYPE_CHECKING:
    from batchflow.engine.finding import Target


def status(
    run: RunArgument = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far a run is, without disturbing it.

    Shows its DAG, batches and outcomes, read from its folder alone.
    """
    from batchflow.engine.finding import find_run

    if watch and as_json:
        raise UsageError(
            "--watch and --json exclude one another", hint="--json is one object: call it as often as needed"
        )
    reading = True
    while reading:
        described = describe(find_run(run))
        if as_json:
            render.emit("status", described)
            return
        if watch:
            render.clear_screen()
        reading = render.show(text(described)) and watch
        clock.sleep(2 if reading else 0)


def describe(target: "Target") -> dict[str, Any]:
    """The status object."""
    from batchflow.cli.remote import remote_json
    from batchflow.cli.report import run_json
    from batchflow.engine.run import view
    from batchflow.engine.stalling import read_progress
    from batchflow.steps.dag import nodes

    run = view(target.folder)
    record = run_json(run, target.database)
    if not run.state.sent and record["requests"]["owed"]:
        record["state"] = "planned"
    live = read_progress(target.folder.progress)
    shards = [
        _described(shard, live) for shard in run.state.shards() if shard.round
    ]  # what was taken over was never sent
    dag = [{"step": n.step, "round": n.round, "shard": n.shard, "state": n.state} for n in nodes(run.state)]
    return {
        **record,
        "remote": remote_json(run.state, deletes=target.plan.delete_remote),
        "experiment": run.plan.experiment,
        "scope": run.plan.scope,
        "spec_differs": target.differs,
        "cancelling": run.state.cancelled and any(True for _ in run.state.in_flight()),
        "updated": run.state.updated,
        "shards": shards,
        "dag": dag,
    }


def _described(shard: Any, live: Mapping[str, Any]) -> dict[str, Any]:
    """A request file and the batch that works on it. live: what the last look showed."""
    batch = shard.batch
    return {
        "shard": shard.name,
        "state": shard.phase.value,
        "requests": shard.requests,
        "batch_id": None if batch is None else batch.batch_id,
        "status": None if batch is None else batch.status,
        "counts": {} if batch is None else _counts(batch, live),
        "expires_at": None if batch is None else batch.facts.get("moments", {}).get("expires_at"),
        "moved_at": _moved_at(shard, live),
    }


def _counts(batch: Any, live: Mapping[str, Any]) -> dict[str, int]:
    """The counts of the last look, which hold no truth, else the last ones on record."""
    found: dict[str, int] = live.get(batch.batch_id, {}).get("counts") or batch.facts.get("counts", {})
    return found


def _moved_at(shard: Any, live: Mapping[str, Any]) -> str | None:
    """Since when an open batch has shown no change; None for a shard that has none."""
    if shard.batch is None or shard.phase.value != "poll":
        return None
    moved: str = live.get(shard.batch.batch_id, {}).get("moved") or shard.batch.seen
    return moved


def text(described: dict[str, Any]) -> str:
    """The same for people."""
    from batchflow.cli.remote import remote_text
    from batchflow.cli.report import bad_lines_text

    marker = render.simulated(really=described["simulated"])
    requests = described["requests"]
    shards = described["shards"]
    nothing = bool(shards) and all(shard["state"] == "upload" and shard["batch_id"] is None for shard in shards)
    state = "planned, nothing was sent yet" if nothing else described["state"]
    if described["cancelling"]:
        state = "being cancelled"
    lines = [f"Run {described['run']}{marker}: {state}, last event {described['updated']}"]
    if described["spec_differs"]:
        lines.append("The spec was changed since this run was planned; this is the newest run of its experiment.")
    lines += [f"Folder {described['folder']}", "", dag_text(described["dag"]), ""]
    rows = []
    for shard in described["shards"]:
        counts = shard["counts"]
        done = counts.get("completed", 0) + counts.get("failed", 0)
        progress = f"{done:,}/{counts['total']:,}" if counts.get("total") else ""
        rows.append(
            (shard["shard"], f"{shard['requests']:,}", shard["state"], shard["batch_id"], shard["status"], progress)
        )
    lines.append(render.table(("shard", "requests", "state", "batch", "status", "done"), rows, right=frozenset({1, 5})))
    lines += _waiting(shards)
    answered, failed, owed = (f"{requests[kind]:,}" for kind in ("answered", "failed", "owed"))
    lines += ["", f"{answered} answered, {failed} with another final outcome, {owed} owed of {requests['total']:,}"]
    if described["cost_usd"] is not None and not described["simulated"]:
        lines.append(f"Cost so far: {usd(described['cost_usd'])}")
        lines += _costs(described["conditions"])
    if unreadable := described["lines"]["unreadable"]:
        lines += ["", f"Result lines that are none: {unreadable:,}.", *bad_lines_text(described["bad_lines"])]
    lines += remote_text(described["remote"])
    return "\n".join(lines)


def _costs(conditions: list[dict[str, Any]]) -> list[str]:
    """What each condition has cost."""
    rows = [
        (
            each["condition"],
            f"{each['prompt_tokens']:,}",
            f"{each['completion_tokens']:,}",
            "not known" if each["cost_usd"] is None else usd(each["cost_usd"]),
        )
        for each in conditions[:SHOWN_CELLS]
    ]
    headers = ("condition", "input tokens", "output tokens", "cost")
    return ["", render.table(headers, rows, right=frozenset({1, 2, 3}))] if rows else []


def _waiting(shards: list[dict[str, Any]]) -> list[str]:
    """Since when the open batches have shown no change: the one that has rested longest."""
    from batchflow.engine.stalling import in_words, seconds_since

    moved = min((shard["moved_at"] for shard in shards if shard["moved_at"]), default=None)
    return [] if moved is None else ["", f"No change at the provider since {moved}, {in_words(seconds_since(moved))}."]
