"""`batchflow runs`: the runs of a project."""

from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.options import Json
from batchflow.cost.dollars import usd
from batchflow.errors import UsageError


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.")] = Path(),
    *,
    as_json: Json = False,
) -> None:
    """List the runs of a project, oldest first."""
    from batchflow.plan.project import Project

    if not folder.exists():
        raise UsageError(
            f"there is no folder {folder}", hint="name a project's folder: the one with its experiment.yaml"
        )
    project = Project(folder if folder.is_dir() else folder.parent)
    found = [_entry(each) for each in project.folders()]
    found += [_misnamed(folder, plan) for folder, plan in project.misnamed()]
    found.sort(key=lambda entry: str(entry["created_at"]))
    if as_json:
        render.emit("runs", {"folder": str(project.folder), "runs": found})
        return
    for entry in found:
        if entry["error"] is not None:
            word = "cannot be read" if entry["state"] == "unreadable" else "is left out"
            render.note(f"{entry['run']} {word}: {entry['error']}")
    if not found:
        render.note(f"no runs in {project.runs} yet; `batchflow run SPEC` makes one beside its spec")
        return
    rows = [
        (
            entry["run"] + render.simulated(really=entry["simulated"]),
            entry["created_at"],
            entry["state"] + (" (pilot)" if entry["pilot"] else ""),
            *("" if entry[count] is None else f"{entry[count]:,}" for count in ("requests", "answered", "owed")),
            "" if entry["cost_usd"] is None else usd(entry["cost_usd"]),
        )
        for entry in found
    ]
    headers = ("run", "created", "state", "requests", "answered", "owed", "cost")
    render.show(render.table(headers, rows, right=frozenset({3, 4, 5, 6})))


def _entry(folder: Any) -> dict[str, Any]:
    """One run; one that cannot be read says so and hides nothing else."""
    from batchflow.engine.run import view
    from batchflow.errors import BatchflowError
    from batchflow.steps.spending import spent
    from batchflow.steps.summary import account_of, state_of

    try:
        run = view(folder)
    except (BatchflowError, ValueError, OSError) as error:
        return _unknown(folder, "unreadable", str(error))
    account = account_of(run.state)
    owed = account.owed.total()
    return {
        "run": folder.run,
        "created_at": run.plan.created_at,
        "state": "planned" if owed and not run.state.sent else state_of(run.state).value,
        "simulated": run.plan.simulated,
        "experiment": run.plan.experiment,
        "model": run.plan.model,
        "pilot": run.plan.sample is not None,
        "scope": run.plan.scope,
        "requests": run.plan.requests,
        "answered": account.answered,
        "owed": owed,
        "cost_usd": spent(run.state).cost_usd,
        "error": None,
    }


def _misnamed(folder: Any, plan: Any) -> dict[str, Any]:
    return _unknown(folder, "misnamed", f"it holds the run {plan.run} under another name")


def _unknown(folder: Any, state: str, error: str) -> dict[str, Any]:
    """A folder of which nothing is said but why."""
    known = {"run": folder.run, "created_at": "", "state": state, "simulated": False, "error": error}
    return known | dict.fromkeys(("experiment", "model", "pilot", "scope", "requests", "answered", "owed", "cost_usd"))
