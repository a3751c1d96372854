"""`batchflow run`: carry a study through, or go on with it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from batchflow.cli import render
from batchflow.cli.advance import Advance, Order, reopened
from batchflow.cli.choice import RowOptions
from batchflow.cli.options import (
    IdsOption,
    Json,
    ProviderOption,
    RunnableArgument,
    SampleOption,
    SeedOption,
    WhereOption,
)
from batchflow.cli.signals import Interruptible
from batchflow.errors import ExitStatus, UsageError


def run(
    spec: RunnableArgument,
    *,
    until: Annotated[
        str | None,
        typer.Option(metavar="STEP", help="Stop after this step: build, upload, start, poll, collect or load."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do what can be done at once, then leave.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make another run and ask everything again.")] = False,
    sample: SampleOption = None,
    seed: SeedOption = None,
    ids: IdsOption = None,
    where: WhereOption = None,
    provider: ProviderOption = None,
    as_json: Json = False,
) -> None:
    """Run a study, or go on with it; nothing is bought twice.

    However often this is called: it continues what is unfinished, and makes no call where nothing is left to do.
    """
    from batchflow.engine.studies import spec_path

    rows = RowOptions(sample, seed, ids, where)
    with Interruptible() as moment:
        last = _step(until)
        if (spec / "manifest.json").is_file():
            if fresh or rows or provider is not None:
                raise UsageError("--fresh, --provider and a choice of rows go with a spec, not with a run's folder")
            order = reopened(str(spec))
        else:
            order = _plan(spec_path(spec), rows, provider, fresh=fresh, key=last != "build")
        advance = Advance(order, moment, wait=not no_wait, until=last)
        try:
            ended = advance.go_on(yes=yes)
        finally:
            advance.release()
        status = _report(advance, ended=ended, as_json=as_json)
    sys.exit(status)


def _plan(path: Path, rows: RowOptions, provider: str | None, *, fresh: bool, key: bool) -> Order:
    """The run of a spec, found or built."""
    from batchflow.cli.bar import BUILDING, bar
    from batchflow.engine.planning import plan_run
    from batchflow.engine.studies import workshop
    from batchflow.plan.project import Project
    from batchflow.plan.study import compile_study
    from batchflow.plan.target import resolve
    from batchflow.prompts.personal import warnings
    from batchflow.spec.load import load_spec

    spec = load_spec(path)

    target = resolve(spec.experiment.provider, provider)
    if key and not target.simulated:
        target.key()  # a missing key is said before anything is built
    with workshop() as place:
        study = compile_study(spec, provider, place, rows.choice(spec))
        for line in [*study.notes(), *Project(spec.folder).check_names()]:
            render.note(f"note: {line}")
        with bar(BUILDING) as watch:
            planned = plan_run(study, fresh=fresh, hold=True, watch=watch)
    if spec.experiment.data.lint and not planned.run.state.sent:
        for line in warnings(planned.run.plan.personal or ()):
            render.note(f"note: {line}")
    detour = bool(rows) or provider not in {None, spec.experiment.provider.name}
    return Order(path, spec.experiment, target, spec.folder, planned, detour)


def _step(until: str | None) -> str:
    from batchflow.steps.base import StepName

    names = [step.value for step in StepName]
    if until is not None and until not in names:
        raise UsageError(f"--until {until}: there is no such step", hint=f"the steps are {', '.join(names)}")
    return until or "load"


def _report(advance: Advance, *, ended: bool, as_json: bool) -> ExitStatus:
    planned = advance.order.planned
    untouched = advance.view is planned.run
    advance.tell(ended=ended, untouched=untouched)
    if as_json:
        render.emit("run", advance.describe() | {"up_to_date": ended and untouched and not planned.new})
    return advance.status(ended=ended)
