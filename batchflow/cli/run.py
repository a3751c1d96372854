"""`batchflow run`: carry a study through, or go on with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.find import find_run, spec_path
from batchflow.cli.options import Json, ProviderOption, RunnableArgument
from batchflow.cli.signals import Interruptible, ending_in_order
from batchflow.errors import BatchflowError, ExitStatus, UsageError


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
    provider: ProviderOption = None,
    as_json: Json = False,
) -> None:
    """Run a study, or go on with it; nothing is bought twice.

    However often this is called: it continues what is unfinished, and makes no call where nothing is left to do.
    """
    with Interruptible() as moment:
        last = _step(until)
        if (spec / "manifest.json").is_file():
            if fresh or provider is not None:
                raise UsageError("--fresh and --provider go with a spec, not with a run's folder")
            order = _resume(spec)
        else:
            order = _plan(spec_path(spec), provider, fresh=fresh, key=last != "build")
        status = _Command(order, moment, wait=not no_wait, until=last).carry_out(yes=yes, as_json=as_json)
    sys.exit(status)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be carried through: a planned run, and the settings that hold for this call."""

    named: Path
    experiment: Any
    target: Any
    project: Path
    planned: Any
    detour: bool = False  # --provider: without it, the same words ask somebody else


def _plan(path: Path, provider: str | None, *, fresh: bool, key: bool) -> _Order:
    """The run of a spec, found or built."""
    from batchflow.engine.other_runs import workshop
    from batchflow.engine.planning import plan_run
    from batchflow.plan.project import Project
    from batchflow.plan.study import compile_study
    from batchflow.plan.target import resolve
    from batchflow.spec.load import load_spec

    spec = load_spec(path)
    target = resolve(spec.experiment.provider, provider)
    if key and not target.simulated:
        target.key()  # a missing key is said before anything is built
    with workshop() as place:
        study = compile_study(spec, provider, place)
        for line in [*study.notes(), *Project(spec.folder).check_names()]:
            render.note(f"note: {line}")
        planned = plan_run(study, fresh=fresh, hold=True)
    detour = provider not in {None, spec.experiment.provider.name}
    return _Order(path, spec.experiment, target, spec.folder, planned, detour)


def _resume(path: Path) -> _Order:
    """A run from its folder alone, with the settings of the spec it was compiled from."""
    from batchflow.engine.planning import reopen
    from batchflow.plan.copies import SPEC_NAME
    from batchflow.plan.target import resolve
    from batchflow.spec.load import load_spec

    folder = find_run(str(path)).folder
    experiment = load_spec(folder.spec / SPEC_NAME).experiment
    planned = reopen(folder)
    plan = planned.run.plan
    target = resolve(experiment.provider, plan.provider)
    if target.scope != plan.scope:
        if planned.lock is not None:
            planned.lock.release()
        raise UsageError(
            f"the run {plan.run} asks {plan.scope}, the settings here lead to {target.scope}",
            hint="set the address it was started with (OPENAI_BASE_URL) and run again",
        )
    return _Order(path, experiment, target, folder.project, planned)


def _step(until: str | None) -> str:
    from batchflow.steps.base import StepName

    names = [step.value for step in StepName]
    if until is not None and until not in names:
        raise UsageError(f"--until {until}: there is no such step", hint=f"the steps are {', '.join(names)}")
    return until or "load"


class _Command:
    """One call of `batchflow run` on a planned run, whose lock it holds."""

    def __init__(self, order: _Order, moment: Interruptible, *, wait: bool, until: str) -> None:
        from batchflow.steps.base import StepName
        from batchflow.steps.load import Loader

        self._order, self._planned, self._moment = order, order.planned, moment
        self._wait, self._until = wait, StepName(until)
        self._view = order.planned.run
        database = order.project / order.experiment.output.database
        # whether bodies are stored shapes no request: the spec of today decides
        plan = replace(self._view.plan, raw=order.experiment.output.raw)
        self._loader = Loader(self._view.folder, plan, database)

    def carry_out(self, *, yes: bool, as_json: bool) -> ExitStatus:
        from batchflow.engine.rebuild import ensure_loaded
        from batchflow.steps.base import StepName
        from batchflow.steps.summary import may_continue

        try:
            for line in self._planned.notes:
                render.note(f"note: {line}")
            ended = not may_continue(self._view.state, self._order.experiment.retry.max_rounds)
            if ended:
                ensure_loaded(self._order.project, self._loader, self._view.state, say=render.note)
            elif self._until is not StepName.BUILD:
                self._confirm(yes=yes)
                ended = self._drive()
        finally:
            self._planned.lock.release()
        return self._report(ended=ended, as_json=as_json)

    def _confirm(self, *, yes: bool) -> None:
        """Nothing leaves the machine unasked; what was agreed to once is only fetched."""
        from batchflow.journal.state import Phase
        from batchflow.steps.take import reused

        target, view = self._order.target, self._view
        unsent = {Phase.UPLOAD, Phase.START, Phase.DOUBT, Phase.REJECTED}
        shards = [shard for shard in view.state.shards(view.state.round) if shard.phase in unsent]
        waiting = sum(shard.lines for shard in shards)
        again = waiting or sum(1 for shard in view.state.shards(view.state.round) if shard.collected is None) == 0
        if target.simulated or not again:
            return
        requests = render.plural(waiting, "request") if waiting else "the requests that are still owed"
        line = f"Send {requests} for {view.plan.model} to {target.host}. The cost is not known in this version."
        if taken := reused(view.state):
            line += f" {taken:,} more are taken over from earlier runs at no cost."
        if self._planned.answered:
            line += (
                f" {self._planned.answered:,} of them have a final answer in other runs of this project and would be"
                " bought again on purpose (reuse: none, or --fresh)."
            )
        render.note(line)
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                "nobody is there to agree to the bill: nothing was sent", hint="add --yes to send without asking"
            )
        if not render.ask("Go on?"):
            raise UsageError("not agreed: nothing was sent")

    def _drive(self) -> bool:
        """Advance the run; True if it has ended."""
        from batchflow.cli.progress import Progress
        from batchflow.engine.lanes import Settings, Shared
        from batchflow.engine.run import OpenRun, view
        from batchflow.engine.runner import Ending, Runner

        experiment, target = self._order.experiment, self._order.target
        opened = OpenRun(self._view.folder, self._planned.lock)
        progress = Progress(opened)
        settings = Settings(
            interval=target.interval(experiment.polling.interval),
            settle=target.settle,
            batches_in_flight=experiment.limits.batches_in_flight,
            max_rounds=experiment.retry.max_rounds,
            requests_per_batch=experiment.limits.requests_per_batch,
            bytes_per_batch=experiment.limits.bytes_per_batch,
            until=self._until,
            wait=self._wait,
        )
        try:
            self._moment.check()
            self._moment.sent = True
            with ending_in_order() as signals, self._provider() as provider:
                shared = Shared(opened, provider, settings, progress.say)
                ending = Runner(shared, self._loader, progress, signals).drive()
                progress.progress(opened.state)  # what was sent just before it rested
        finally:
            progress.close()
            opened.close()
        self._view = view(self._view.folder)
        return ending is Ending.ENDED

    @contextmanager
    def _provider(self) -> Iterator[Any]:
        """The provider, let go of at the end; a local server stays for a command that does not wait."""
        from batchflow.providers.local import LocalProvider, LocalServer
        from batchflow.providers.openai import connect

        target = self._order.target
        if not target.simulated:
            provider = connect(target)
            try:
                yield provider
            finally:
                provider.close()
            return
        local = LocalProvider(LocalServer(self._view.folder.server, target.seed))
        stays = not self._wait
        try:
            yield local
        finally:
            local.close()
            if not stays:
                local.stop()

    def _named(self, *, ended: bool) -> Path:
        """What the next command is given: the words of this one, where they lead to this run, else its folder."""
        named: Path = self._order.named
        folder: Path = self._view.folder.path
        if not ended:
            return folder if self._order.detour else named
        try:
            found = find_run(str(named)).folder.path
        except BatchflowError:  # another run of the project cannot be read
            return folder
        return named if found.resolve() == folder.resolve() else folder

    def _report(self, *, ended: bool, as_json: bool) -> ExitStatus:
        from batchflow.cli.report import run_json, run_text

        untouched = self._view is self._planned.run
        up_to_date = ended and untouched and not self._planned.new
        record = run_json(self._view, self._loader.database) | {"up_to_date": up_to_date}
        named = self._named(ended=ended)
        render.note(run_text(self._view, self._loader.database, named, ended=ended, untouched=untouched))
        if as_json:
            render.emit("run", record)
        if not ended:
            return ExitStatus.UNFINISHED
        short = record["requests"]["answered"] < record["requests"]["total"]
        return ExitStatus.ENDED_SHORT if short else ExitStatus.COMPLETE
