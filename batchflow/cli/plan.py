"""`batchflow plan`: compile and build, and show what would be sent."""

from dataclasses import asdict
from typing import Any

from batchflow.cli import render
from batchflow.cli.choice import RowOptions
from batchflow.cli.money import beside_text, forecast_text, share_text
from batchflow.cli.options import IdsOption, Json, ProviderOption, SampleOption, SeedOption, SpecArgument, WhereOption

SHOWN_CELLS = 40
_BEGUN = {  # by the state of the run: whose the numbers of the cost are
    "planned": (),
    "complete": ("This run is complete: the numbers are those of all that it asked.",),
    "in_progress": ("This run was begun: the numbers are those of all that it asks. `run` says what the rest costs.",),
}


def plan(
    spec: SpecArgument,
    *,
    sample: SampleOption = None,
    seed: SeedOption = None,
    ids: IdsOption = None,
    where: WhereOption = None,
    provider: ProviderOption = None,
    as_json: Json = False,
) -> None:
    """Build the request files and show them; send nothing.

    Shows the DAG with its state, the shards and their sizes. Needs no key.
    """
    from batchflow.engine.studies import spec_path
    from batchflow.spec.load import load_spec
    from batchflow.steps.forecasting import FirstRound, price_book

    path = spec_path(spec)
    spec_ = load_spec(path)
    rows = RowOptions(sample, seed, ids, where)
    study, planned = _planned(spec_, rows, provider)
    run = planned.run
    _review(study, run, new=planned.new)
    book = price_book(spec_.experiment, study.target)
    cost = FirstRound(run.folder, run.plan, run.state, book)
    _hold_against_budget(study, run, book)
    described = describe(run, planned, cost)
    if as_json:
        render.emit("plan", {**described, "new": planned.new, "spec": str(path)})
        return
    render.show(text(described, cost.whole))
    if described["state"] == "complete":
        then = "The run is complete: to run it would buy nothing."
    else:  # by its folder, where the spec alone would ask other rows, or somebody else
        detour = rows or provider not in {None, spec_.experiment.provider.name}
        then = f"Next: {render.command('run', run.folder.path if detour else path)}"
    render.note(f"Nothing was sent. {then}")


def _planned(spec: Any, rows: RowOptions, provider: str | None) -> tuple[Any, Any]:
    """The study and its run, found or built; what is worth a word about them is said."""
    from batchflow.cli.bar import BUILDING, bar
    from batchflow.engine.planning import plan_run
    from batchflow.engine.studies import workshop
    from batchflow.plan.project import Project
    from batchflow.plan.study import compile_study

    with workshop() as place:
        study = compile_study(spec, provider, place, rows.choice(spec))
        for line in [*study.notes(), *Project(spec.folder).check_names()]:
            render.note(f"note: {line}")
        with bar(BUILDING) as watch:
            planned = plan_run(study, watch=watch)
    for line in planned.notes:
        render.note(f"note: {line}")
    return study, planned


def _hold_against_budget(study: Any, run: Any, book: Any) -> None:
    """Whether `run` would send what is next, where the spec has a budget and something is paid."""
    from batchflow.cost.dollars import usd
    from batchflow.engine.budget import Budget
    from batchflow.errors import OverBudget
    from batchflow.steps.forecasting import sent_next

    budget = study.spec.experiment.budget
    if budget is None or run.plan.simulated:
        return
    try:
        Budget(budget, book, run.folder, run.plan).check(run.state, sent_next(run.folder, run.plan, run.state))
        render.note(f"note: within the budget of {usd(budget.max_usd)} for this run")
    except OverBudget as error:
        render.note(f"note: `run` would send nothing: {error.message}\n  hint: {error.hint}")


def _review(study: Any, run: Any, *, new: bool) -> None:
    """What is in the request files that a person wants to know. new: they were built just now; else, whether they still
    are what was built, and the page about them.
    """
    from batchflow.engine.reviewing import write_review
    from batchflow.prompts.personal import warnings
    from batchflow.steps.evidence import check_unsent

    if study.spec.experiment.data.lint:
        for line in warnings(run.plan.personal or ()):
            render.note(f"note: {line}")
    if not new:
        check_unsent(run.folder, run.state)
        write_review(run, study)


def describe(run: Any, planned: Any, cost: Any) -> dict[str, Any]:
    """The plan of a run with its state, as --json shows it. cost: the forecast of what it asks."""
    from batchflow.steps.dag import nodes
    from batchflow.steps.summary import reused, state_of

    plan_, state, forecast = run.plan, run.state, cost.whole.to_json()
    cells = {number: each.real or each for number, each in cost.of_conditions().items()}
    asked = any(shard.round for shard in state.shards())
    return {
        "run": plan_.run,
        "folder": str(run.folder.path),
        "review": str(run.folder.review),
        "state": "planned" if asked and not state.sent else state_of(state).value,
        "scope": plan_.scope,
        "simulated": plan_.simulated,
        "provider": plan_.provider,
        "host": plan_.host,
        "endpoint": plan_.endpoint,
        "model": plan_.model,
        "requests": plan_.requests,
        "distinct_prompts": plan_.distinct,
        "equal_prompts": plan_.requests - plan_.distinct,
        "answered_before": planned.answered,
        "taken_over": reused(state),
        "to_ask": sum(shard.requests for shard in state.shards(1)),
        "compared": _compared(planned.difference, cells),
        "sample": plan_.sample,
        "rows": plan_.source.rows,
        "design": _design(run, cells),
        "personal": [asdict(each) for each in plan_.personal or ()],
        "cost_usd": forecast["bound_usd"],
        "cost": forecast,
        "shards": [
            {"name": s.name, "requests": s.requests, "bytes": s.bytes, "sha256": s.sha256, "state": s.phase.value}
            for s in state.shards()
            if s.round
        ],
        "dag": [{"step": n.step, "shard": n.shard, "needs": list(n.needs), "state": n.state} for n in nodes(state)],
    }


def _compared(compared: Any, costs: dict[int, Any]) -> dict[str, Any] | None:
    """The requests beside those of the run before, told apart by row id, condition and replicate."""
    from batchflow.steps.comparing import beside, paid_for_one

    if compared is None:
        return None
    before = compared.run
    found = beside(compared.changes, costs, paid_for_one(before.folder, before.plan, before.state))
    counts = {kind: each.requests for kind, each in found.items()}
    return {"run": before.plan.run, **counts, "money": {kind: asdict(each) for kind, each in found.items()}}


def _design(run: Any, costs: dict[int, Any]) -> dict[str, Any] | None:
    """Cells and how many are asked in each; None where nothing varies and each row is asked once."""
    from batchflow.sources.maps import count_conditions

    plan_ = run.plan
    if not plan_.conditions and plan_.replicates == 1:
        return None
    counts = count_conditions(run.folder.first_maps())
    cells = [
        {
            "number": c.number,
            "condition": c.text,
            "rows": counts[c.number].rows,
            "requests": counts[c.number].requests,
            **_share(costs.get(c.number)),
        }
        for c in plan_.conditions
        if c.number in counts
    ]
    sizes = [cell["requests"] for cell in cells]
    return {
        "factors": dict(plan_.factors),
        "replicates": plan_.replicates,
        "cells": cells,
        "empty_cells": len(plan_.conditions) - len(cells),
        "imbalance": max(sizes) - min(sizes) if sizes else 0,
    }


def _share(cost: Any) -> dict[str, Any]:
    """What a cell has of the cost of what is asked; None: it asks nothing."""
    if cost is None:
        return {"input_tokens": 0, "bound_usd": 0.0, "expected_usd": None}
    facts = cost.to_json()
    expected = facts["expected"] or {"usd": None}
    return {name: facts[name] for name in ("input_tokens", "bound_usd")} | {"expected_usd": expected["usd"]}


def design_text(design: dict[str, Any]) -> list[str]:
    """The cells of a design as a table."""
    cells, times = design["cells"], render.plural(design["replicates"], "replicate")
    if not cells:
        return ["", f"Each row is asked in {times}"]
    rows = [
        (c["number"], c["condition"], f"{c['rows']:,}", f"{c['requests']:,}", f"{c['input_tokens']:,}", share_text(c))
        for c in cells[:SHOWN_CELLS]
    ]
    headers = ("cell", "condition", "rows", "requests", "input tokens to buy", "cost")
    lines = ["", render.table(headers, rows, right=frozenset({0, 2, 3, 4, 5}))]
    if len(cells) > SHOWN_CELLS:
        lines.append(f"… and {len(cells) - SHOWN_CELLS:,} more cells")
    sizes = [cell["requests"] for cell in cells]
    spread = "all of one size" if design["imbalance"] == 0 else f"from {min(sizes):,} to {max(sizes):,} requests"
    empty = f"; {render.plural(design['empty_cells'], 'cell')} without any" if design["empty_cells"] else ""
    return [*lines, f"{render.plural(len(cells), 'cell')}, {times}, {spread}{empty}"]


def text(described: dict[str, Any], cost: Any) -> str:
    """The same for people."""
    shards = described["shards"]
    marker = render.simulated(really=described["simulated"])
    rows = [(s["name"], f"{s['requests']:,}", render.size(s["bytes"]), s["sha256"][:12], s["state"]) for s in shards]
    lines = [
        f"Run {described['run']} in {described['folder']}",
        f"Asks {described['model']} at {described['host']}{described['endpoint']}{marker}",
        _sizes(described),
    ]
    lines += _reuse_text(described)
    if described["design"]:
        lines += design_text(described["design"])
    lines += ["", dag_text(described["dag"]), ""]
    lines.append(render.table(("shard", "requests", "size", "sha256", "next"), rows, right=frozenset({1, 2})))
    total = sum(s["bytes"] for s in shards)
    lines += ["", f"{render.plural(len(shards), 'shard')}, {render.size(total)}"]
    if cost.requests:
        lines += ["", *_BEGUN.get(described["state"], _BEGUN["in_progress"]), *forecast_text(cost)]
    lines += ["", f"For people to review: {described['review']}"]
    return "\n".join(lines)


def _sizes(described: dict[str, Any]) -> str:
    """How many requests, and how many of them ask what another one asks: replicates do so on purpose."""
    requests, equal = described["requests"], described["equal_prompts"]
    shown, replicates = render.plural(requests, "request"), (described["design"] or {"replicates": 1})["replicates"]
    if replicates == 1:
        return f"{shown}, {equal:,} of them equal to an earlier one"
    repeats = requests - requests // replicates
    return f"{shown}, {repeats:,} of them replicates of another, {equal - repeats:,} more equal to an earlier one"


def _reuse_text(described: dict[str, Any]) -> list[str]:
    """What is bought already, and what became of the requests of the run before."""
    lines = []
    if described["taken_over"]:
        new, taken = described["to_ask"], described["taken_over"]
        lines.append(f"{new:,} new, {taken:,} taken over from earlier runs at no cost, whichever row asked the same")
    if described["answered_before"]:
        lines.append(
            f"{described['answered_before']:,} of these requests have a final answer in other runs of this project and"
            " would be asked again on purpose (reuse: none, or --fresh)"
        )
    return [*lines, *(beside_text(described["compared"]) if described["compared"] else ())]


def dag_text(dag: list[dict[str, Any]]) -> str:
    """The steps in their order, with how many of their shards are done."""
    steps: dict[str, list[str]] = {}
    for node in dag:
        steps.setdefault(node["step"], []).append(node["state"])
    parts = []
    for step, states in steps.items():
        done = states.count("done")
        parts.append(f"{step} {'✓' if done == len(states) else f'{done}/{len(states)}'}")
    return " → ".join(parts)
