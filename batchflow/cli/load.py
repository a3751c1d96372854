"""`batchflow load`: the tables of a run, from its folder."""

import sys
from typing import Annotated

import typer

from batchflow.cli import render
from batchflow.cli.options import Json, RunArgument
from batchflow.errors import ExitStatus


def load(
    run: RunArgument = None,
    *,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the run's tables anew, from its folder alone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Load a run's answers into its database, offline.

    Exits with the run's own status.
    """
    from batchflow.cli.bar import bar
    from batchflow.cli.report import outcome_table, run_json
    from batchflow.engine.finding import find_run
    from batchflow.engine.rebuild import load_run
    from batchflow.engine.run import view
    from batchflow.steps.load import Loader

    target = find_run(run)
    found = view(target.folder)
    loader = Loader(target.folder, target.plan, target.database)
    notes: list[str] = []
    with bar("loading the answers into the tables"):
        rows = load_run(target.project.folder, loader, found.state, say=notes.append, anew=rebuild)
    for line in notes:
        render.note(line)
    record = run_json(found, target.database)
    name = target.plan.run + render.simulated(really=target.plan.simulated)
    render.note(f"{name}: {render.plural(rows, 'response')} loaded into {target.database}\n\n{outcome_table(found)}")
    if as_json:
        render.emit("load", {**record, "rows": rows})
    requests = record["requests"]
    if record["state"] == "in_progress":
        sys.exit(ExitStatus.UNFINISHED)
    sys.exit(ExitStatus.COMPLETE if requests["answered"] == requests["total"] else ExitStatus.ENDED_SHORT)
