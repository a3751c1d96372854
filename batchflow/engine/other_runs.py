"""The results of another run as the data of a study: which run is meant, and its answers out of its database, which is
opened for reading only.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from batchflow.errors import BatchflowError, DatabaseHeld, InvalidInput, SetupError, SinkError
from batchflow.plan.copies import SPEC_NAME
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan, read_plan
from batchflow.plan.project import MANIFEST, RUNS, Project
from batchflow.sources.workshop import Exported
from batchflow.spec.load import Spec, load_spec

if TYPE_CHECKING:
    from batchflow.sinks.reader import Counts, Reader


def export_results(named: str, folder: Path, target: Path) -> Exported:
    """The results of the run that a spec in `folder` names, as parquet files in `target`.

    A run is named by its name in this project, or by a path from there: of its folder, or of another study, its folder
    or its spec; of a study the current run is meant.
    Errors: SetupError that says why there is nothing to be read.
    """
    run, database = _find(named, folder)
    from batchflow.sinks.reader import open_reader  # noqa: PLC0415 - most studies read no other run

    try:
        with open_reader(database) as reader:
            run = run or _current(reader, named, folder, database)
            counts = reader.counts(run)
            if not counts.answered:
                raise SetupError(
                    f"data.run: the run {run} has no answers", hint=f"finish it first: `batchflow run {named}`"
                )
            return Exported(run, reader.write_parquet(run, target), tuple(_notes(run, counts)))
    except DatabaseHeld as error:
        raise SetupError(f"data.run: {error.message}", hint="close that program, or wait until it is done") from error
    except SinkError as error:
        raise SetupError(f"data.run: {error.message}", hint=error.hint) from error


def _notes(run: str, counts: "Counts") -> Iterator[str]:
    if counts.simulated:
        yield f"the data are SIMULATED: the answers of the run {run} come from the local provider"
    if counts.final < counts.requests:
        open_ = counts.requests - counts.final
        yield f"the run {run} is not complete: {open_:,} of its {counts.requests:,} requests have no final outcome yet"
    failed = counts.final - counts.answered
    if failed:
        yield f"{failed:,} of {counts.requests:,} requests of the run {run} have another outcome than an answer"


def _find(named: str, folder: Path) -> tuple[str | None, Path]:
    """The run that is meant (None: the current one of a study) and its database. Errors: SetupError."""
    path = folder / Path(named).expanduser()
    for candidate in (folder / RUNS / named, path):
        if (candidate / MANIFEST).is_file():
            found = RunFolder(candidate.resolve())
            return found.run, found.project / read_plan(found.manifest).database
    spec = path / SPEC_NAME if path.is_dir() else path
    if spec.is_file():
        database = spec.parent / _spec(spec, named).experiment.output.database
        if not database.is_file() and not _plans(spec.parent):
            raise SetupError(
                f"data.run: the study {named} was never run, so that it has no results",
                hint=f"run that study first: `batchflow run {path}`",
            )
        return None, database
    for plan in _plans(folder):
        if plan.experiment == named:
            return None, folder / plan.database
    raise SetupError(
        f"data.run: there is no run {named!r} in {folder / RUNS}, and neither a study nor a run at {path}",
        hint=f"its runs are: {known}"
        if (known := ", ".join(plan.run for plan in _plans(folder)))
        else "name a run that `batchflow runs` shows, or the path of another study's folder",
    )


def _spec(path: Path, named: str) -> Spec:
    try:
        return load_spec(path)
    except InvalidInput as error:
        raise SetupError(f"data.run: {named!r} is no study that can be read: {error.message}") from error


def _plans(folder: Path) -> list[Plan]:
    with suppress(BatchflowError, OSError):
        return [plan for _, plan in Project(folder).newest_first()]
    return []


def _current(reader: "Reader", named: str, folder: Path, database: Path) -> str:
    """The run that the view `results` shows of a study."""
    path = folder / Path(named).expanduser()
    spec = path / SPEC_NAME if path.is_dir() else path
    experiment = _spec(spec, named).experiment.name if spec.is_file() else named
    run = reader.current(experiment)
    if run is None:
        raise SetupError(
            f"data.run: {database} holds no run of the study {experiment!r}",
            hint=f"run it first: `batchflow run {named}`",
        )
    return run
