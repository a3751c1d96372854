"""`batchflow plan`: compile and build, and show what would be sent."""

from typing import Any

from batchflow.cli import render
from batchflow.cli.find import spec_path
from batchflow.cli.options import Json, ProviderOption, SpecArgument


def plan(spec: SpecArgument, *, provider: ProviderOption = None, as_json: Json = False) -> None:
    """Build the request files and show them; send nothing.

    Shows the DAG with its state, the shards and their sizes. Needs no key.
    """
    from batchflow.engine.planning import plan_run
    from batchflow.plan.project import Project
    from batchflow.plan.study import compile_study
    from batchflow.spec.load import load_spec

    path = spec_path(spec)
    spec_ = load_spec(path)
    study = compile_study(spec_, provider)
    for line in [*study.notes(), *Project(spec_.folder).check_names()]:
        render.note(f"note: {line}")
    planned = plan_run(study)
    described = describe(planned.run, answered=planned.answered)
    if as_json:
        render.emit("plan", {**described, "new": planned.new, "spec": str(path)})
        return
    render.show(text(described))
    render.note(f"Nothing was sent. Next: {render.command('run', path)}")


def describe(run: Any, *, answered: int) -> dict[str, Any]:
    """The plan of a run with its state, as --json shows it."""
    from batchflow.steps.dag import nodes
    from batchflow.steps.summary import state_of

    plan_, state = run.plan, run.state
    return {
        "run": plan_.run,
        "folder": str(run.folder.path),
        "state": state_of(state).value if state.sent else "planned",
        "scope": plan_.scope,
        "simulated": plan_.simulated,
        "provider": plan_.provider,
        "host": plan_.host,
        "endpoint": plan_.endpoint,
        "model": plan_.model,
        "requests": plan_.requests,
        "distinct_prompts": plan_.distinct,
        "equal_prompts": plan_.requests - plan_.distinct,
        "answered_before": answered,
        "cost_usd": None,
        "shards": [
            {"name": s.name, "requests": s.requests, "bytes": s.bytes, "sha256": s.sha256, "state": s.phase.value}
            for s in state.shards()
        ],
        "dag": [{"step": n.step, "shard": n.shard, "needs": list(n.needs), "state": n.state} for n in nodes(state)],
    }


def text(described: dict[str, Any]) -> str:
    """The same for people."""
    shards = described["shards"]
    marker = render.simulated(really=described["simulated"])
    rows = [(s["name"], f"{s['requests']:,}", render.size(s["bytes"]), s["sha256"][:12], s["state"]) for s in shards]
    lines = [
        f"Run {described['run']} in {described['folder']}",
        f"Asks {described['model']} at {described['host']}{described['endpoint']}{marker}",
        f"{described['requests']:,} requests, {described['equal_prompts']:,} of them equal to an earlier one",
    ]
    if described["answered_before"]:
        lines.append(
            f"{described['answered_before']:,} of these requests are already answered in other runs of this project;"
            " taking answers over is not supported yet, they would be asked again"
        )
    lines += ["", dag_text(described["dag"]), ""]
    lines.append(render.table(("shard", "requests", "size", "sha256", "next"), rows, right=frozenset({1, 2})))
    total = sum(s["bytes"] for s in shards)
    lines += ["", f"{render.plural(len(shards), 'shard')}, {render.size(total)}; the cost is not known in this version"]
    return "\n".join(lines)


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
