"""The other runs of a project: what they have bought already, what they have at the provider, and what of a run would
be bought a second time if it went on (law 1).
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from batchflow.engine.run import RunView, lock, view
from batchflow.errors import BatchflowError, RunBusy, SetupError
from batchflow.journal.state import Phase
from batchflow.plan.folder import RunFolder
from batchflow.plan.project import Project, again_of
from batchflow.sources.maps import Others, count_shared
from batchflow.steps.summary import reused
from batchflow.steps.take import TAKEN_ROUND, Prior

FRESH: Final = "fresh"  # what a manifest says of a run that was made by --fresh, in place of the spec's `reuse`
_UNSENT: Final = frozenset({Phase.UPLOAD, Phase.START, Phase.REJECTED})


def others(project: Project, run: RunFolder) -> Iterator[RunView]:
    """The other runs of the project that can be read."""
    for folder in project.folders():
        if folder.path != run.path:
            with suppress(BatchflowError, ValueError, OSError):
                yield view(folder)


def priors(project: Project, scope: str) -> list[Prior]:
    """The runs of this scope whose answers may be taken over, the one planned last first."""
    found = []
    for folder, plan in project.newest_first():
        if plan.scope == scope:
            with suppress(BatchflowError, ValueError, OSError):
                found.append(Prior(folder, view(folder).state))
    return [prior for prior in found if any(shard.collected is not None for shard in prior.state.shards())]


def priors_but(project: Project, run: RunView) -> list[Prior]:
    """The other runs of its scope that have answers."""
    return [prior for prior in priors(project, run.plan.scope) if prior.folder != run.folder]


def check_readable(project: Project, run: RunView) -> None:
    """Before a run that takes answers over is sent for the first time: raises SetupError for a run of which nobody can
    tell what it has bought.
    """
    if run.state.sent or run.plan.reuse != "project":
        return
    for path in project.unreadable():
        raise _unreadable(path.name, "its manifest is damaged")
    for folder, plan in project.plans():
        if plan.scope == run.plan.scope:
            try:
                view(folder)
            except (BatchflowError, ValueError, OSError) as error:
                raise _unreadable(folder.run, str(error)) from error


def _unreadable(run: str, cause: str) -> SetupError:
    return SetupError(
        f"what the run {run} has bought cannot be read: {cause}",
        hint="put its folder back from a backup; or move it out of the runs folder, or write `reuse: none`: then "
        "everything that only it holds is bought again",
    )


def on_purpose(run: RunView) -> bool:
    """Whether a run was made by --fresh, to ask what was asked before."""
    unsaid = again_of(run.folder.run) > 1 and run.plan.reuse == "project" and TAKEN_ROUND not in run.state.rounds
    return run.plan.reuse == FRESH or unsaid  # older versions did not write it down


def due(run: RunView, rounds: int | None) -> Iterator[Others]:
    """What a run would still send by itself: files that wait, and what is owed as long as there are rounds left.

    rounds: how many it may have; None: whatever it ever asked may be asked again.
    """
    if rounds is None:
        yield from (Others(path, every=True) for path in run.folder.first_maps())
        return
    state = run.state
    for round_ in state.rounds:
        if waiting := [shard.number for shard in state.shards(round_) if shard.phase in _UNSENT]:
            yield Others(run.folder.map(round_), shards=waiting)
    if state.counted < rounds:
        yield from Prior(run.folder, state).owed()


def answered(project: Project, run: RunView, rounds: int) -> int:
    """How many requests that a run would still ask have a final answer in others of its scope; those left out that it
    asks again because the user named them.
    """
    named = {run.folder.map(round_) for round_ in run.state.retries}
    asked, finals = [each for each in due(run, rounds) if each.path not in named], priors_but(project, run)
    if not asked or not finals:
        return 0
    return count_shared(asked, (requests for prior in finals for _, requests in prior.finals()))


def spare(project: Project, run: RunView) -> bool:
    """Whether every answer that a run has taken over is held by another run as well."""
    taken = reused(run.state)
    if not taken:
        return True
    if all(shard.phase is Phase.COLLECTED for shard in run.state.shards()):  # complete as it is
        return False
    finals = (requests for prior in priors_but(project, run) for _, requests in prior.finals())
    return count_shared([Others(run.folder.map(TAKEN_ROUND), every=True)], finals) == taken


def conflicts(
    project: Project, run: RunView, rounds: int | None, *, fresh: bool = False, looks: bool = False
) -> Iterator[str]:
    """Other runs that have at the provider what this one would send; only `--fresh` may go on beside them, and is told.

    rounds: as for `due`. looks: nothing is to be sent, so that a word will do. Raises RunBusy.
    """
    if run.state.sent and on_purpose(run):
        return  # a `--fresh` run that was begun was begun on purpose
    asked = list(due(run, rounds))
    for other in others(project, run.folder) if asked else ():
        if other.plan.scope != run.plan.scope:
            continue
        shared = count_shared(asked, _in_flight(other))
        if not shared:
            continue
        if fresh:
            yield f"{shared} of these requests are in flight in {other.folder.run} as well; --fresh asks them again"
            continue
        requests = "1 request of this study is" if shared == 1 else f"{shared:,} requests of this study are"
        flying = f"{requests} in flight in the run {other.folder.run}"
        way = f"finish it first: `batchflow run {other.folder.path}`; or end it: `batchflow cancel {other.folder.path}`"
        if not looks:
            raise RunBusy(flying, hint=f"{way}; or `batchflow run SPEC --fresh` asks them again on purpose")
        yield f"{flying}: `run` would stop; {way}"


def open_elsewhere(project: Project, run: RunView) -> list[RunView]:
    """The other runs of the same study that have something at the provider."""
    same = (other for other in others(project, run.folder) if other.plan.experiment == run.plan.experiment)
    return [other for other in same if any(True for _ in other.state.in_flight())]


def _in_flight(other: RunView) -> Iterator[Others]:
    """What the provider has of a run, or what a process is about to send, the next round included."""
    try:
        lock(other.folder).release()
        flying = list(other.state.in_flight())
    except RunBusy:
        flying = [shard for shard in other.state.shards() if shard.phase is not Phase.COLLECTED]
        yield from Prior(other.folder, other.state).owed()
    for round_ in {shard.round for shard in flying}:
        numbers = [shard.number for shard in flying if shard.round == round_]
        yield Others(other.folder.map(round_), shards=numbers)
