"""From a compiled study to the run that carries it: found by its hash, or built; alone, under the project's lock."""

import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from shutil import which
from typing import NamedTuple

from batchflow import __version__, clock, failpoints, files
from batchflow.cost.book import PriceBook
from batchflow.engine import neighbours
from batchflow.engine.reviewing import write_review
from batchflow.engine.run import RunView, lock, view
from batchflow.errors import BatchflowError, JournalDamaged, RunBusy, SetupError
from batchflow.identity import IDENTITY_VERSION
from batchflow.journal.journal import Journal
from batchflow.plan.copies import SPEC_NAME, copies
from batchflow.plan.design import Design
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import ConditionFacts, Plan, SourceFacts
from batchflow.plan.project import Project, again_of, name_run
from batchflow.plan.study import Study
from batchflow.sources.maps import Change, Conditioned, compare
from batchflow.sources.rows import Rows
from batchflow.sources.table import Imported
from batchflow.steps.build import BuiltFirst, build_first, built_event
from batchflow.steps.forecasting import price_book
from batchflow.steps.requests import Watch, unwatched
from batchflow.steps.take import TAKEN_ROUND, taken_events

LIBRARIES = ("duckdb", "openai", "pydantic")


class Compared(NamedTuple):
    """A run beside the run of the same study that was sent last."""

    run: RunView
    changes: Sequence[Change]


class Planned(NamedTuple):
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


def plan_run(study: Study, *, fresh: bool = False, hold: bool = False, watch: Watch = unwatched) -> Planned:
    """The run of a study: the newest with its hash, or a new one. `fresh` makes another; `hold` locks it for advancing;
    `watch` sees how far building is.

    Raises RunBusy if another run has requests of this one in flight, or somebody else advances it.
    """
    project = Project(study.spec.folder)
    with project.locked():
        folder, new, removed = _find_or_build(study, project, fresh=fresh, watch=watch)
        held = lock(folder) if hold else None
        try:
            found, rounds = _as_said_today(study, view(folder)), study.spec.experiment.retry.max_rounds
            asks = any(True for _ in neighbours.due(found, rounds))
            if hold and asks and not fresh:
                neighbours.check_readable(project, found)
            notes = tuple(neighbours.conflicts(project, found, rounds, fresh=fresh, looks=not hold)) if asks else ()
            notes += tuple(_without_effect(study, found))
            notes += tuple(f"the plan {name}, of which nothing was sent, was removed for this one" for name in removed)
            notes += tuple(f"the run {path.name} cannot be read and is left out" for path in project.unreadable())
            answered = neighbours.answered(project, found, rounds)
            difference = _compared(project, found)
        except BaseException:
            if held is not None:
                held.release()
            raise
    return Planned(found, new, held, answered, notes, difference)


def _as_said_today(study: Study, run: RunView) -> RunView:
    """A run of which nothing was sent, with what the spec says by now of the files at the provider; the page too."""
    output = study.spec.experiment.output
    plan = replace(run.plan, expires_after=output.expires_after, delete_remote=output.delete_remote)
    if run.state.sent or plan == run.plan:
        return run
    changed = run._replace(plan=plan)
    write_review(changed, study)
    return changed


def reopen(folder: RunFolder, rounds: int, *, buys: bool | None = None, busy: str = "") -> Planned:
    """A run that exists, locked for advancing; its study is not looked at. Raises RunBusy as `plan_run` does.

    rounds: how many it may have. buys: whether something is about to be sent, whatever it is; None: where something
    waits for it. busy: the way out of a run that another process advances.
    """
    project = Project(folder.project)
    with project.locked():
        held = lock(folder, hint=busy)
        try:
            found = view(folder)
            sends = buys is not False
            notes = tuple(neighbours.conflicts(project, found, None if buys else rounds)) if sends else ()
            answered = neighbours.answered(project, found, rounds)
            return Planned(found, new=False, lock=held, answered=answered, notes=notes)
        except BaseException:
            held.release()
            raise


def _find_or_build(study: Study, project: Project, *, fresh: bool, watch: Watch) -> tuple[RunFolder, bool, list[str]]:
    """The run, whether it is new, and the runs that were removed for it."""
    source_sha256 = study.source.digest()
    known = None if source_sha256 is None else _known_rows(study, project, source_sha256)
    if known is not None:
        found = _usable(project, study.fingerprint(known), fresh=fresh)
        if found is not None and not _outdated(project, study, view(found), fresh=fresh):
            return found, False, _remove_unsent(project, study, keep=found)
    building = project.runs / f".building-{token_hex(4)}{files.PART}"
    files.make_folder(building, private=True)
    try:
        folder, new = _build(study, project, RunFolder(building), fresh=fresh, watch=watch)
    finally:
        files.remove_folder(building)
    return folder, new, _remove_unsent(project, study, keep=folder)


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
    """Whether a run should be planned anew: other runs have got answers that it would ask for, or nothing of it was
    sent and the spec says otherwise about using them.
    """
    if fresh or neighbours.on_purpose(run):
        return False
    wanted = study.spec.experiment.reuse
    if run.plan.reuse != wanted:
        return not run.state.sent
    return wanted == "project" and neighbours.answered(project, run, study.spec.experiment.retry.max_rounds) > 0


def _without_effect(study: Study, run: RunView) -> Iterator[str]:
    """What the spec says of other runs' answers since this one was sent."""
    if study.spec.experiment.reuse == "none" and run.plan.reuse == "project" and run.state.sent:
        yield (
            f"`reuse: none` changes nothing of {run.plan.run}, which has run already; `run --fresh` asks it all again"
        )


def _was_sent(folder: RunFolder) -> bool:
    """Whether anything of a run may have reached the provider, or was taken over; one whose journal cannot be read
    counts as sent.
    """
    try:
        state = view(folder).state
    except JournalDamaged:
        return True
    return state.sent or TAKEN_ROUND in state.rounds


def _build(study: Study, project: Project, building: RunFolder, *, fresh: bool, watch: Watch) -> tuple[RunFolder, bool]:
    imported = study.import_rows(building.rows)
    fingerprint = study.fingerprint(imported.sha256)
    found = _usable(project, fingerprint, fresh=fresh)
    if found is not None and not _outdated(project, study, view(found), fresh=fresh):
        return found, False
    reuse = neighbours.FRESH if fresh else study.spec.experiment.reuse
    priors = neighbours.priors(project, study.target.scope) if reuse == "project" else []
    built = build_first(study, building, Rows(building.rows), fingerprint, priors, watch=watch)
    replaced = found if found is not None and _replaceable(project, view(found)) else None
    again = max((again_of(folder.run) for folder in project.same(fingerprint) if folder != replaced), default=0) + 1
    run = name_run(study.spec.experiment.name, fingerprint, again)
    plan = _plan(study, run, fingerprint, imported, built, reuse=reuse)
    files.atomic_write(building.manifest, plan.to_bytes())
    _copy_spec(study, building)
    _write_journal(building, run, built, price_book(study.spec.experiment, study.target))
    write_review(view(building), study)
    failpoints.hit("build.before-publish")
    final = RunFolder(project.runs / run)
    if replaced is not None:
        with lock(replaced):
            files.remove_folder(replaced.path)
    if final.path.exists():
        raise SetupError(
            f"{final.path} exists but is not a run of this study", hint="move it out of the runs folder and try again"
        )
    files.publish_folder(building.path, final.path)
    failpoints.hit("build.after-publish")
    return final, True


def _replaceable(project: Project, run: RunView) -> bool:
    """Whether a run may go before the one that takes its place is there: nothing was sent, and no answer is lost by it
    should we die in between.
    """
    return not run.state.sent and neighbours.spare(project, run)


def _write_journal(building: RunFolder, run: str, built: BuiltFirst, book: PriceBook) -> None:
    events = taken_events(building, built.taken, built_event(TAKEN_ROUND, built.taken), book) if built.taken else []
    if built.asked:
        events.append(built_event(1, built.asked))
    journal = Journal.create(building.journal, run)
    journal.append(events)
    journal.close()


def _plan(study: Study, run: str, fingerprint: str, imported: Imported, built: BuiltFirst, *, reuse: str) -> Plan:
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
        reuse=reuse,
        requests=built.requests,
        distinct=built.distinct,
        source=_source_facts(study, imported),
        columns=study.columns.data,
        answer=study.columns.answers,
        personal=built.personal,
        columns_sent=tuple(column.name for column in study.reading.columns if column.name in design.columns),
        weights=built.weights,
        sample=study.choice.facts(),
        template_sha256=design.digest,
        **experiment.output.facts(),
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


def _remove_unsent(project: Project, study: Study, *, keep: RunFolder) -> list[str]:
    """A run of which nothing was sent goes when its study has changed. Returns which did."""
    removed = []
    for other in neighbours.others(project, keep):
        if other.plan.experiment != study.spec.experiment.name or other.state.sent:
            continue
        if not neighbours.spare(project, other):
            continue
        with suppress(RunBusy), lock(other.folder):
            files.remove_folder(other.folder.path)
            removed.append(other.folder.run)
    return removed


def _compared(project: Project, run: RunView) -> Compared | None:
    """The run beside the one of the same experiment and scope that was planned last before it and sent."""
    for folder, plan in project.newest_first():
        same = (plan.experiment, plan.scope) == (run.plan.experiment, run.plan.scope)
        if not same or folder == run.folder or plan.created_at > run.plan.created_at:
            continue
        with suppress(BatchflowError, ValueError, OSError):
            other = view(folder)
            if other.state.sent or TAKEN_ROUND in other.state.rounds:
                return Compared(other, compare(_conditioned(run), _conditioned(other)))
    return None


def _conditioned(run: RunView) -> Conditioned:
    texts = {condition.number: condition.text for condition in run.plan.conditions}
    return Conditioned(run.folder.map(TAKEN_ROUND), run.folder.map(1), texts)
