"""A run that a command advances, under its lock: what is asked before money is spent, the drive, the report. Shared by
`run`, `cancel` and `retry`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from batchflow.cli import render
from batchflow.cli.signals import Interruptible
from batchflow.errors import BatchflowError, ExitStatus, RunBusy, SetupError, UsageError

CANCELLED = "This run was cancelled. "


class Order(NamedTuple):
    """What is to be carried through: a planned run, and the settings that hold for this call."""

    named: Path
    experiment: Any
    target: Any
    project: Path
    planned: Any
    detour: bool = False  # options without which the same words ask other rows, or somebody else


def reopened(argument: str, *, buys: bool | None = None, busy: str = "", same: bool = False) -> Order:
    """A run that exists, locked. Its settings are today's, where it was found by its spec, else those it was planned
    with.

    buys: whether the command is about to send; None: where something waits for it. busy: the way out of a run that
    another process advances. same: refuse a spec that asks something else than its newest run.
    """
    from batchflow.engine.finding import find_run
    from batchflow.engine.planning import reopen
    from batchflow.engine.studies import spec_path
    from batchflow.plan.copies import SPEC_NAME
    from batchflow.plan.target import resolve
    from batchflow.spec.load import load_spec

    found = find_run(argument)
    if same and found.asks_other:
        raise UsageError(
            f"{argument} was changed since {found.folder.run} was planned: that would be asked again as it was",
            hint=f"if that is meant, name the run: {render.command('retry', found.folder.path)}; "
            f"the changed study is asked by {render.command('run', Path(argument))}",
        )
    today = found.by_spec and not found.asks_other
    spec = spec_path(Path(argument)) if today else found.folder.spec / SPEC_NAME
    experiment = load_spec(spec).experiment
    planned = reopen(found.folder, experiment.retry.max_rounds, buys=buys, busy=busy)
    plan = planned.run.plan
    target = resolve(experiment.provider, plan.provider)
    if target.scope != plan.scope:
        if planned.lock is not None:
            planned.lock.release()
        raise UsageError(
            f"the run {plan.run} asks {plan.scope}, the settings here lead to {target.scope}",
            hint="set the address it was started with (OPENAI_BASE_URL) and run again",
        )
    if found.asks_other:
        render.note(f"note: the spec was changed since; this is about its newest run, {plan.run}")
    return Order(Path(argument), experiment, target, found.folder.project, planned)


def agree(line: str, *, yes: bool) -> None:
    """Say what would be bought, and ask. Raises UsageError where nobody agrees."""
    render.note(line)
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nobody is there to agree to the bill: nothing was sent", hint="add --yes to send without asking"
        )
    if not render.ask("Go on?"):
        raise UsageError("not agreed: nothing was sent")


class Advance:
    """One call of a command on a planned run, whose lock it holds."""

    def __init__(self, order: Order, moment: Interruptible, *, wait: bool, until: str = "load") -> None:
        from batchflow.steps.base import StepName
        from batchflow.steps.load import Loader

        self._order, self._planned, self._moment = order, order.planned, moment
        self._wait, self._until = wait, StepName(until)
        self._view = order.planned.run
        database = order.project / order.experiment.output.database
        # whether bodies are stored shapes no request: the spec of today decides
        plan = replace(self._view.plan, raw=order.experiment.output.raw)
        self._loader = Loader(self._view.folder, plan, database)

    @property
    def view(self) -> Any:
        """The run as it is now."""
        return self._view

    @property
    def order(self) -> Order:
        return self._order

    @property
    def limits(self) -> Any:
        """The sizes of the files of a further round."""
        from batchflow.steps.rounds import Limits

        limits = self._order.experiment.limits
        return Limits(limits.requests_per_batch, limits.bytes_per_batch)

    def go_on(self, *, yes: bool) -> bool:
        """Carry the run on as far as it goes, and ask before anything is bought; True if it has ended."""
        from batchflow.steps.base import StepName
        from batchflow.steps.evidence import check_unsent
        from batchflow.steps.summary import may_continue

        for line in self._planned.notes:
            render.note(f"note: {line}")
        if not may_continue(self._view.state, self._order.experiment.retry.max_rounds):
            if self._until is not StepName.LOAD and self._view.state.loaded is None:
                return False  # every answer was taken over
            self.load()
            self._tidy()
            return True
        if self._until is StepName.BUILD:
            return False
        if self._view.state.cancelled and not self._settle():
            return False
        if not may_continue(self._view.state, self._order.experiment.retry.max_rounds):
            return True  # everything had been answered before it could be cancelled
        check_unsent(self._view.folder, self._view.state)
        self._confirm(yes=yes)
        return self.drive(first=_resumed(self._view.state))

    def ask_again(self, again: Any) -> bool:
        """Carry out a round that asks again on purpose, and what follows from it; True if the run has ended."""
        from batchflow.steps.rounds import build_retry

        state = self._view.state
        built = build_retry(self._view.folder, state, again, self.limits)
        return self.drive(first=[*_resumed(state), built])

    def _settle(self) -> bool:
        """End what is open of a cancelled run, before the question whether to go on; True where nothing is."""
        if not any(True for _ in self._view.state.in_flight()):
            return True
        render.note(f"{CANCELLED}First its open batches are ended, and what they have answered is fetched.")
        if not self.drive(buys=False, tidies=False):
            return False
        self._hold()
        return True

    def _hold(self) -> None:
        """Lock the run again, which a drive has let go of. Raises RunBusy."""
        from batchflow.engine.run import lock

        self._planned = self._planned._replace(lock=lock(self._view.folder))

    def release(self) -> None:
        """Let go of the run."""
        self._planned.lock.release()

    def load(self) -> None:
        """Bring the tables up to a run that goes no further."""
        from batchflow.engine.rebuild import ensure_loaded
        from batchflow.engine.run import OpenRun
        from batchflow.journal.events import Event

        ensure_loaded(self._order.project, self._loader, self._view.state, say=render.note)
        if self._view.state.loaded is None:  # nothing had to be asked, or a process died here
            opened = OpenRun(self._view.folder, self._planned.lock)
            opened.record([Event("loaded", {"database": str(opened.plan.database), "rows": 0}, step="load")])
            opened.close()

    def _confirm(self, *, yes: bool) -> None:
        """Nothing leaves the machine unasked; what was agreed to once is only fetched."""
        from batchflow.steps.forecasting import unsent
        from batchflow.steps.summary import owed_now, reused

        target, view = self._order.target, self._view
        waiting = sum(shard.lines for shard in unsent(view.state))
        again = waiting or sum(1 for shard in view.state.shards(view.state.round) if shard.collected is None) == 0
        if target.simulated or not again:
            return
        requests = render.plural(waiting, "request") if waiting else "the requests that are still owed"
        before = ""
        if view.state.cancelled:
            before, requests = CANCELLED, f"the rest, {render.plural(owed_now(view.state), 'request')},"
        cost = self._cost_of_next()  # raises OverBudget
        line = f"{before}Send {requests} for {view.plan.model} to {target.host}: {cost}"
        if taken := reused(view.state):
            line += f" {taken:,} more are taken over from earlier runs at no cost."
        if self._planned.answered:
            line += (
                f" {self._planned.answered:,} of them have a final answer in other runs of this project and would be"
                " bought again."
            )
        agree(line, yes=yes)

    def _cost_of_next(self) -> str:
        from batchflow.steps.forecasting import sent_next

        view = self._view
        waits = any(True for _ in view.state.in_flight())  # what is at the provider is fetched in any case
        groups = sent_next(view.folder, view.plan, view.state)
        return self.cost_of(groups, refuse=not waits)

    def cost_of(self, groups: Sequence[Any], *, refuse: bool = True) -> str:
        """What requests would cost, in a sentence. refuse: raises OverBudget where that could be too much."""
        from batchflow.cli.money import forecast_sentence
        from batchflow.steps.forecasting import of_next

        view = self._view
        if refuse and (budget := self._budget()) is not None:
            budget.check(view.state, groups)
        return forecast_sentence(of_next(view.folder, view.plan, view.state, self.book, groups))

    def _budget(self) -> Any:
        """What the run may cost; None where that is not said, or nothing is paid."""
        from batchflow.engine.budget import Budget

        spec, view = self._order.experiment.budget, self._view
        if spec is None or self._order.target.simulated:
            return None
        return Budget(spec, self.book, view.folder, view.plan)

    @property
    def book(self) -> Any:
        """The prices of whoever is asked."""
        from batchflow.steps.forecasting import price_book

        return price_book(self._order.experiment, self._order.target)

    def drive(
        self,
        *,
        buys: bool = True,
        first: Sequence[Any] = (),
        then: Callable[[], None] | None = None,
        tidies: bool = True,
    ) -> bool:
        """Advance the run; True if it goes no further.

        buys: whether it may send; else what is open is ended. first: what is recorded before; then: called after that.
        tidies: whether a run that has ended is let go of at the provider, where the spec says so.
        """
        from batchflow.engine.runner import Ending

        with self._runner(buys=buys, first=first, then=then) as runner:
            ended = runner.drive() is Ending.ENDED
            if ended and tidies and self._order.experiment.output.delete_remote:
                runner.tidy()
        return ended

    def _tidy(self) -> None:
        """Delete what earlier calls have left at the provider, where the spec says so. Where there is nothing, no call
        is made; where it cannot be done, the run has ended all the same.
        """
        from batchflow.steps.delete import deletable

        wanted = self._order.experiment.output.delete_remote and self._until == "load"
        if not wanted or not deletable(self._view.state):
            return
        self.release()  # loading may have done so already
        try:
            self._hold()
            with self._runner(buys=False) as runner:
                runner.tidy()
        except (RunBusy, SetupError) as error:
            render.note(f"warning: nothing was deleted at the provider: {error.message}")

    @contextmanager
    def _runner(
        self, *, buys: bool, first: Sequence[Any] = (), then: Callable[[], None] | None = None
    ) -> Iterator[Any]:
        """The engine on the open run; afterwards the run is let go of, and seen anew."""
        from batchflow.cli.connecting import connected
        from batchflow.cli.progress import Progress
        from batchflow.cli.signals import ending_in_order
        from batchflow.engine.lanes import Shared
        from batchflow.engine.run import OpenRun, view
        from batchflow.engine.runner import Runner

        target, server = self._order.target, self._view.folder.server
        opened = OpenRun(self._view.folder, self._planned.lock)
        progress = Progress(opened, announces=buys)
        try:
            self._moment.check()
            self._moment.sent = True
            with ending_in_order() as signals, connected(target, server, stays=not self._wait) as provider:
                opened.record(first)
                if then is not None:
                    then()
                shared = Shared(opened, provider, self._settings(buys=buys), progress.say)
                yield Runner(shared, self._loader, progress, signals)
                progress.progress(opened.state)  # what was sent just before it rested
        finally:
            progress.close()
            opened.close()
        self._view = view(self._view.folder)

    def _settings(self, *, buys: bool) -> Any:
        from batchflow.engine.lanes import Settings
        from batchflow.steps.base import StepName

        experiment, target = self._order.experiment, self._order.target
        return Settings(
            interval=target.interval(experiment.polling.interval),
            settle=target.settle,
            batches_in_flight=experiment.limits.batches_in_flight,
            max_rounds=experiment.retry.max_rounds,
            requests_per_batch=experiment.limits.requests_per_batch,
            bytes_per_batch=experiment.limits.bytes_per_batch,
            until=self._until if buys else StepName.LOAD,
            wait=self._wait,
            buys=buys,
            stalled_after=experiment.polling.stalled_after,
            prices=self.book,
            budget=self._budget(),
            expires_after=experiment.output.expires_after,
        )

    def _named(self, *, ended: bool) -> Path:
        """What the next command is given: the words of this one, where they lead to this run, else its folder."""
        from batchflow.engine.finding import find_run

        named: Path = self._order.named
        folder: Path = self._view.folder.path
        if not ended:
            return folder if self._order.detour else named
        try:
            found = find_run(str(named)).folder.path
        except BatchflowError:  # another run of the project cannot be read
            return folder
        return named if found.resolve() == folder.resolve() else folder

    def describe(self) -> dict[str, Any]:
        """What the run has come to, for --json."""
        from batchflow.cli.report import run_json

        return run_json(self._view, self._loader.database) | {"remote": self._remote()}

    def _remote(self) -> dict[str, Any]:
        """What is known of the files at the provider."""
        from batchflow.cli.remote import remote_json

        return remote_json(self._view.state, deletes=self._order.experiment.output.delete_remote)

    def tell(self, *, ended: bool, untouched: bool = False) -> None:
        """What the run has come to, for people."""
        from batchflow.cli.remote import remote_text
        from batchflow.cli.report import run_text

        named, remote = self._named(ended=ended), remote_text(self._remote())
        database = self._loader.database
        render.note(run_text(self._view, database, named, ended=ended, untouched=untouched, remote=remote))

    def status(self, *, ended: bool) -> ExitStatus:
        """What a command that did its part ends with."""
        if not ended:
            return ExitStatus.UNFINISHED
        requests = self.describe()["requests"]
        return ExitStatus.ENDED_SHORT if requests["answered"] < requests["total"] else ExitStatus.COMPLETE


def _resumed(state: Any) -> list[Any]:
    """The event of a cancelled run that goes on."""
    from batchflow.journal.events import Event
    from batchflow.steps.summary import owed_now

    return [Event("resumed", {"requests": owed_now(state)}, round=state.round)] if state.cancelled else []
