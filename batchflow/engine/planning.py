"""From a compiled study to the run that carries it: found by its hash, or built; alone, under the project's lock."""

import platform
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from shutil import which

from batchflow import __version__, clock, failpoints, files
from batchflow.engine.run import RunView, lock, view
from batchflow.errors import BatchflowError, JournalDamaged, RunBusy, SetupError
from batchflow.identity import IDENTITY_VERSION
from batchflow.journal.journal import Journal
from batchflow.journal.state import Phase
from batchflow.plan.copies import SPEC_NAME, copies
from batchflow.plan.design import Design
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import ConditionFacts, Plan, SourceFacts
from batchflow.plan.project import Project, again_of, name_run
from batchflow.plan.study import Study
from batchflow.sources.maps import Conditioned, Difference, Others, compare, count_shared
from batchflow.sources.rows import Rows
from batchflow.sources.table import Imported
from batchflow.steps.build import BuiltFirst, build_first, built_event, lines
from batchflow.steps.take import TAKEN_ROUND, Prior, reused, taken_events

LIBRARIES = ("duckdb", "openai", "pydantic")


@dataclass(frozen=True, slots=True)
class Compared:
    """A run beside the run of the same study that was sent last."""

    run: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Planned:
    """A run that is ready: built just now, or found. lock is held where the caller means to advance it.

    answered counts the requests that it would ask though other runs of this project have a final answer to them.
    difference: what became of the requests of the run before it; None where there was none.
    """

    run: RunView
    new: bool
    lock: files.FileLock | None = None
    answered: int = 0
    notes: tuple[str, ...] = ()
    difference: Compared | None = None


def check_only(study: Study) -> int:
    """Render and check every request and write nothing; returns how many there are."""
    with files.scratch_folder() as scratch:
        target = scratch / "rows.parquet"
        study.import_rows(target)
        return sum(len(part) for part in lines(study, Rows(target), "0" * 64))


def plan_run(study: Study, *, fresh: bool = False, hold: bool = False) -> Planned:
    """The run of a study: the newest with its hash, or a new one. `fresh` makes another; `hold` locks it for advancing.

    Raises RunBusy if another run has requests of this one in flight, or somebody else advances it.
    """
    project = Project(study.spec.folder)
    with project.locked():
        folder, new = _find_or_build(study, project, fresh=fresh)
        held = lock(folder) if hold else None
        try:
            found = view(folder)
            notes = tuple(_conflicts(project, found, fresh=fresh)) if (hold or new) and _wants_to_send(found) else ()
            notes += tuple(f"the run {path.name} cannot be read and is left out" for path in project.unreadable())
            answered = _answered(project, found) if _wants_to_send(found) else 0
            difference = _compared(project, found)
        except BaseException:
            if held is not None:
                held.release()
            raise
    return Planned(found, new, held, answered, notes, difference)


def reopen(folder: RunFolder, *, buys: bool | None = None, busy: str = "") -> Planned:
    """A run that exists, locked for advancing; its study is not looked at. Raises RunBusy as `plan_run` does.

    buys: whether something is about to be sent; None: where something waits for it. busy: the way out of a run that
    another process advances.
    """
    project = Project(folder.project)
    with project.locked():
        held = lock(folder, hint=busy)
        try:
            found = view(folder)
            sends = _wants_to_send(found) if buys is None else buys
            notes = tuple(_conflicts(project, found, fresh=False)) if sends else ()
            answered = _answered(project, found) if _wants_to_send(found) else 0
            return Planned(found, new=False, lock=held, answered=answered, notes=notes)
        except BaseException:
            held.release()
            raise


def _find_or_build(study: Study, project: Project, *, fresh: bool) -> tuple[RunFolder, bool]:
    source_sha256 = study.source.digest()
    known = None if source_sha256 is None else _known_rows(study, project, source_sha256)
    if known is not None:
        found = _usable(project, study.fingerprint(known), fresh=fresh)
        if found is not None and not _outdated(project, study, view(found), fresh=fresh):
            _remove_unsent(project, study, keep=found)
            return found, False
    building = project.runs / f".building-{token_hex(4)}{files.PART}"
    files.make_folder(building, private=True)
    try:
        folder, new = _build(study, project, RunFolder(building), fresh=fresh)
    finally:
        files.remove_folder(building)
    _remove_unsent(project, study, keep=folder)
    return folder, new


def _known_rows(study: Study, project: Project, source_sha256: str) -> str | None:
    """The hash of the rows, where some run has read the same bytes in the same way."""
    for _, plan in project.plans():
        source = plan.source
        if (source.sha256, source.reading_sha256) == (source_sha256, study.reading_digest()):
            return source.rows_sha256
    return None


def _usable(project: Project, fingerprint: str, *, fresh: bool) -> RunFolder | None:
    """The run to go on with: the newest of this hash; for `--fresh` only one of which nothing was sent or taken
    over.
    """
    found = project.same(fingerprint)
    if not found or (fresh and _was_sent(found[-1])):
        return None
    return found[-1]


def _outdated(project: Project, study: Study, run: RunView, *, fresh: bool) -> bool:
    """Whether a run of which nothing was sent should be built anew: other runs have got answers since, or the spec says
    otherwise about using them.
    """
    if fresh or run.state.sent or again_of(run.folder.run) > 1:
        return False
    wanted = study.spec.experiment.reuse
    return run.plan.reuse != wanted or (wanted == "project" and _answered(project, run) > 0)


def _was_sent(folder: RunFolder) -> bool:
    """Whether anything of a run may have reached the provider, or was taken over; one whose journal cannot be read
    counts as sent.
    """
    try:
        state = view(folder).state
    except JournalDamaged:
        return True
    return state.sent or TAKEN_ROUND in state.rounds


def _build(study: Study, project: Project, building: RunFolder, *, fresh: bool) -> tuple[RunFolder, bool]:
    imported = study.import_rows(building.rows)
    fingerprint = study.fingerprint(imported.sha256)
    found = _usable(project, fingerprint, fresh=fresh)
    if found is not None and not _outdated(project, study, view(found), fresh=fresh):
        return found, False
    reuse = not fresh and study.spec.experiment.reuse == "project"
    priors = _priors(project, study.target.scope) if reuse else []
    built = build_first(study, building, Rows(building.rows), fingerprint, priors)
    again = max((again_of(folder.run) for folder in project.same(fingerprint) if folder != found), default=0) + 1
    run = name_run(study.spec.experiment.name, fingerprint, again)
    plan = _plan(study, run, fingerprint, imported, built, reuse=reuse)
    files.atomic_write(building.manifest, plan.to_bytes())
    _copy_spec(study, building)
    _write_journal(building, run, built)
    failpoints.hit("build.before-publish")
    final = RunFolder(project.runs / run)
    if found is not None:
        with lock(found):  # nothing of it was sent
            files.remove_folder(found.path)
    if final.path.exists():
        raise SetupError(
            f"{final.path} exists but is not a run of this study", hint="move it out of the runs folder and try again"
        )
    files.publish_folder(building.path, final.path)
    failpoints.hit("build.after-publish")
    return final, True


def _write_journal(building: RunFolder, run: str, built: BuiltFirst) -> None:
    events = taken_events(building, built.taken, built_event(TAKEN_ROUND, built.taken)) if built.taken else []
    if built.asked:
        events.append(built_event(1, built.asked))
    journal = Journal.create(building.journal, run)
    journal.append(events)
    journal.close()


def _priors(project: Project, scope: str) -> list[Prior]:
    """The runs of this scope whose answers may be taken over, the one planned last first."""
    priors = []
    for folder, plan in project.newest_first():
        if plan.scope == scope:
            with suppress(BatchflowError, ValueError, OSError):
                priors.append(Prior(folder, view(folder).state))
    return [prior for prior in priors if any(shard.collected is not None for shard in prior.state.shards())]


def _plan(study: Study, run: str, fingerprint: str, imported: Imported, built: BuiltFirst, *, reuse: bool) -> Plan:
    experiment, target, design = study.spec.experiment, study.target, study.design
    return Plan(
        run=run,
        experiment=experiment.name,
        description=experiment.description or "",
        created_at=clock.stamp(),
        fingerprint=fingerprint,
        identity_version=IDENTITY_VERSION,
        scope=target.scope,
        provider=target.name,
        host=target.host,
        simulated=target.simulated,
        endpoint=experiment.endpoint,
        model=study.model,
        models=design.models if len(design.models) > 1 else (),
        factors={factor.name: factor.type for factor in design.factors},
        conditions=_conditions(design),
        replicates=design.spec.replicates,
        duplicates=experiment.duplicates,
        reuse="project" if reuse else "none",
        requests=built.requests,
        distinct=built.distinct,
        source=_source_facts(study, imported),
        columns=study.columns.data,
        answer=study.columns.answers,
        template_sha256=design.digest,
        database=experiment.output.database,
        raw=experiment.output.raw,
        git_commit=_git_commit(study.spec.folder),
        versions={
            "batchflow": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
    )


def _source_facts(study: Study, imported: Imported) -> SourceFacts:
    return SourceFacts(
        path=study.source_shown,
        sha256=imported.source_sha256,
        rows_sha256=imported.sha256,
        reading_sha256=study.reading_digest(),
        rows=imported.rows,
        delimiter=study.reading.delimiter,
        drop_blank=study.reading.drop_blank,
        kind=study.source.kind,
    )


def _conditions(design: Design) -> tuple[ConditionFacts, ...]:
    """The conditions as the manifest keeps them; none where nothing varies."""
    if not design.factors:
        return ()
    return tuple(
        ConditionFacts(
            condition.number,
            condition.text,
            tuple(factor.cell(condition.levels[factor.name]) for factor in design.factors),
        )
        for condition in (cell.condition for cell in design.cells)
    )


def _copy_spec(study: Study, building: RunFolder) -> None:
    files.make_folder(building.spec)
    files.atomic_write(building.spec / SPEC_NAME, study.spec.content)
    for path, name in copies(study.files):
        files.copy_in(path, building.spec / name)


def _git_commit(folder: Path) -> str:
    """The commit that the spec's folder stands at, with `-dirty` where files differ; empty outside a repository."""
    git = which("git")
    if git is None:
        return ""
    commands = ([git, "-C", str(folder), "rev-parse", "HEAD"], [git, "-C", str(folder), "status", "--porcelain", "."])
    with suppress(OSError, subprocess.SubprocessError):
        commit, status = (
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()  # noqa: S603 - a fixed command on the user's own folder
            for command in commands
        )
        return commit + ("-dirty" if status else "")
    return ""


def _remove_unsent(project: Project, study: Study, *, keep: RunFolder) -> None:
    """A run of which nothing was sent goes when its study has changed."""
    for other in _others(project, keep):
        if other.plan.experiment != study.spec.experiment.name or other.state.sent or not _spare(project, other):
            continue
        with suppress(RunBusy), lock(other.folder):
            files.remove_folder(other.folder.path)


def _spare(project: Project, run: RunView) -> bool:
    """Whether every answer that a run has taken over is held by another run as well."""
    taken = reused(run.state)
    if not taken:
        return True
    if not _wants_to_send(run):  # complete as it is
        return False
    finals = (requests for prior in priors_but(project, run) for _, requests in prior.finals())
    return count_shared([run.folder.map(TAKEN_ROUND)], finals) == taken


def priors_but(project: Project, run: RunView) -> list[Prior]:
    """The other runs of its scope that have answers."""
    return [prior for prior in _priors(project, run.plan.scope) if prior.folder != run.folder]


def _compared(project: Project, run: RunView) -> Compared | None:
    """The run beside the one of the same experiment and scope that was planned last before it and sent."""
    for folder, plan in project.newest_first():
        same = (plan.experiment, plan.scope) == (run.plan.experiment, run.plan.scope)
        if not same or folder == run.folder or plan.created_at > run.plan.created_at:
            continue
        with suppress(BatchflowError, ValueError, OSError):
            other = view(folder)
            if other.state.sent or TAKEN_ROUND in other.state.rounds:
                return Compared(folder.run, compare(_conditioned(run), _conditioned(other)))
    return None


def _conditioned(run: RunView) -> Conditioned:
    texts = {condition.number: condition.text for condition in run.plan.conditions}
    return Conditioned(run.folder.first_maps(), texts)


def _others(project: Project, run: RunFolder) -> Iterator[RunView]:
    """The other runs of the project that can be read."""
    for folder in project.folders():
        if folder.path != run.path:
            with suppress(BatchflowError, ValueError, OSError):
                yield view(folder)


def _conflicts(project: Project, run: RunView, *, fresh: bool) -> Iterator[str]:
    """Other runs that have requests of this one at the provider; only `--fresh` may go on beside them."""
    if run.state.sent and again_of(run.folder.run) > 1:
        return  # a `--fresh` run that was begun was begun on purpose
    for other in _others(project, run.folder):
        if other.plan.scope != run.plan.scope:
            continue
        shared = count_shared(run.folder.first_maps(), _in_flight(other))
        if shared and not fresh:
            raise RunBusy(
                f"{shared} requests of this study are in flight in the run {other.folder.run}",
                hint=f"finish it first: `batchflow run {other.folder.path}`; "
                "or `batchflow run SPEC --fresh` asks them again on purpose",
            )
        if shared:
            yield f"{shared} of these requests are in flight in {other.folder.run} as well; --fresh asks them again"


def _wants_to_send(run: RunView) -> bool:
    return any(shard.phase in {Phase.UPLOAD, Phase.START} for shard in run.state.shards())


def _in_flight(other: RunView) -> Iterator[Others]:
    """The shards of a run that the provider has, or that a process is about to send."""
    try:
        lock(other.folder).release()
        flying = list(other.state.in_flight())
    except RunBusy:
        flying = [shard for shard in other.state.shards() if shard.phase is not Phase.COLLECTED]
    for round_ in {shard.round for shard in flying}:
        numbers = [shard.number for shard in flying if shard.round == round_]
        yield Others(other.folder.map(round_), shards=numbers)


def _answered(project: Project, run: RunView) -> int:
    """How many requests that this run would ask have a final answer in others of its scope."""
    asked = [path for path in run.folder.first_maps() if path == run.folder.map(1)]
    priors = priors_but(project, run)
    if not priors or not asked:
        return 0
    return count_shared(asked, (requests for prior in priors for _, requests in prior.finals()))
