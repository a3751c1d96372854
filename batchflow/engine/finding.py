"""What SPEC|RUN means: an experiment file, a folder of one, a run's id or folder; and whose answers it stands for."""

import os
import shlex
from contextlib import suppress
from dataclasses import replace
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from batchflow.engine.studies import DEFAULT, spec_path
from batchflow.errors import BatchflowError, UsageError
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan, read_plan
from batchflow.plan.project import RUNS, Project, not_its_name


class Target(NamedTuple):
    """A run that was asked for. differs: it is the newest that fits, but spec or template was changed since. by_spec:
    it was found by its spec, not named itself. asks_other: the spec asks something else by now.
    """

    folder: RunFolder
    plan: Plan
    project: Project
    differs: bool = False
    by_spec: bool = False
    asks_other: bool = False

    @property
    def database(self) -> Path:
        return self.project.folder / self.plan.database


def find_run(argument: str | None) -> Target:
    """The run that an argument names; raises UsageError with what there is instead."""
    path = Path(DEFAULT if argument is None else argument)
    if path.is_dir() and (path / "manifest.json").is_file():
        return _of_folder(path.resolve())
    spec = spec_path(path)
    if spec.is_file():
        return _of_spec(spec)
    found = list(dict.fromkeys(found.resolve() for found in _named(path.name)))
    if len(found) == 1:
        return _of_folder(found[0])
    if found:
        folders = "\n".join(f"  {folder}" for folder in found)
        raise UsageError(f"{argument}: several runs have this name", hint=f"give the folder of one of them:\n{folders}")
    raise UsageError(
        f"there is no {DEFAULT} in this folder"
        if argument is None
        else f"{argument}: neither an experiment file nor a run is there",
        hint="name an experiment file, its folder, a run's folder, or an id that `batchflow runs DIR` shows",
    )


def shown_instead(target: Target) -> Target | None:
    """Where a study's newest run has no answers yet: the run of the same experiment that the view `results` shows."""
    from batchflow.engine.run import view
    from batchflow.sinks.reader import open_reader
    from batchflow.steps.summary import account_of

    state = view(target.folder).state
    planned = not state.sent and state.loaded is None  # what it has taken over is not in the tables yet
    answers = account_of(state).final.total() and not planned
    if not target.by_spec or answers or not target.database.exists():
        return None
    with open_reader(target.database) as reader:
        current = reader.current(target.plan.experiment)
    folder = RunFolder(target.project.runs / (current or ""))
    if current in {None, target.plan.run} or not folder.manifest.is_file():
        return None
    return target._replace(folder=folder, plan=replace(read_plan(folder.manifest), database=target.plan.database))


def _named(run: str) -> chain[Path]:
    here = Path()
    places = (here.glob(f"{prefix}{RUNS}/{escape(run)}") for prefix in ("", "*/", "*/*/", "../"))
    return chain.from_iterable((path for path in place if (path / "manifest.json").is_file()) for place in places)


def _of_folder(path: Path) -> Target:
    folder = RunFolder(near(path))
    plan = read_plan(folder.manifest)
    if plan.run != folder.run:
        raise not_its_name(folder, plan)
    return Target(folder, plan, Project(folder.project))


def near(run: Path) -> Path:
    """The folder of a run as somebody here would write it, where the project is here or below."""
    with suppress(ValueError):
        here = run.relative_to(Path.cwd())
        return here if len(here.parts) > 1 else run
    return run


def _of_spec(path: Path) -> Target:
    project = Project(path.parent)
    planned = project.newest_first()
    if (untouched := _untouched(path, planned)) is not None:
        return Target(*untouched, project, by_spec=True)
    from batchflow.spec.load import load_spec

    spec = load_spec(path)
    scope = _scope(spec)
    # a rehearsal (`--provider local`) is meant only where nobody else was asked
    found = _fitting(spec, [pair for pair in planned if pair[1].scope == scope]) or _fitting(spec, planned)
    if found is None:
        for damaged in project.unreadable():
            read_plan(damaged / "manifest.json")  # says what is wrong with it
        project.check_names()
        raise UsageError(
            f"{path}: this study has no run yet", hint=f"start it with {shlex.join(['batchflow', 'run', str(path)])}"
        )
    folder, plan, unchanged, same = found
    output = spec.experiment.output  # where results go, and what becomes of files, may change under a run
    plan = replace(plan, **output.facts())
    return Target(folder, plan, project, differs=not unchanged, by_spec=True, asks_other=not same)


def _untouched(path: Path, planned: list[tuple[RunFolder, Plan]]) -> tuple[RunFolder, Plan] | None:
    """The run of a spec of which nothing was touched, found without reading the spec, which costs more than all else
    that `status` does; None where that takes a closer look.
    """
    content = path.read_bytes()
    found = [pair for pair in planned if _same_bytes(path.parent, content, pair[0].spec)]
    asked = {plan.scope for _, plan in planned}
    chosen = [plan.sample for _, plan in found]
    return found[0] if found and len(asked) == 1 and all(sample == chosen[0] for sample in chosen) else None


def _same_bytes(folder: Path, content: bytes, copies: Path) -> bool:
    """Whether copies are of this spec, and of files that lie beside it under the same names and say the same."""
    if not (copies / DEFAULT).is_file() or (copies / DEFAULT).read_bytes() != content:
        return False
    names = [copy.name for copy in copies.iterdir() if copy.name != DEFAULT]
    written = [os.fsencode(name) for name in names]
    plain = b"\\" not in content and all(name in content and b"/" + name not in content for name in written)
    pairs = [(folder / name, copies / name) for name in names]
    return plain and all(one.is_file() and one.read_bytes() == other.read_bytes() for one, other in pairs)


def _fitting(spec: Any, planned: list[tuple[RunFolder, Plan]]) -> tuple[RunFolder, Plan, bool, bool] | None:
    """The run that fits the spec best, whether the spec is unchanged since, and whether it asks the same."""
    from batchflow.sources.choice import sample_of

    unchanged = [pair for pair in planned if _unchanged(spec, pair[0])]
    # `run` goes on with a run whose spec differs only in what shapes no request, the study's name for one
    same = unchanged or [pair for pair in planned if _asks_the_same(spec, pair[0])]
    found = same or [pair for pair in planned if pair[1].experiment == spec.experiment.name]
    meant = sample_of(spec.experiment.sample).facts()
    as_it_stands = [pair for pair in found if pair[1].sample == meant]  # a pilot of a command only where it is alone
    return (*(as_it_stands or found)[0], bool(unchanged), bool(same)) if found else None


def _scope(spec: Any) -> str:
    """Who the spec itself asks; empty where its address cannot be told."""
    from batchflow.plan.target import resolve

    with suppress(BatchflowError):
        return resolve(spec.experiment.provider).scope
    return ""


def _unchanged(spec: Any, folder: RunFolder) -> bool:
    """Whether spec and named files are what they were when the run was planned, byte for byte."""
    copy = folder.spec / DEFAULT
    return copy.is_file() and copy.read_bytes() == spec.content and _same_files(spec, folder)


def _asks_the_same(spec: Any, folder: RunFolder) -> bool:
    """Whether everything of the spec that shapes requests, and who is asked, is what it was."""
    from batchflow.spec.load import load_spec

    try:
        before = load_spec(folder.spec / DEFAULT).experiment
    except BatchflowError:
        return False
    return _asking(before) == _asking(spec.experiment) and _same_files(spec, folder)


def _asking(experiment: Any) -> list[Any]:
    provider = experiment.provider
    asked = [provider.name, provider.base_url, provider.seed]
    return [
        *asked,
        experiment.data,
        experiment.shaping(),
        experiment.template,
        experiment.prompt,
        experiment.context,
        experiment.design,
        experiment.parameters,
        experiment.sample,
    ]


def _same_files(spec: Any, folder: RunFolder) -> bool:
    """Whether the files that the spec names (but for the table) are what they were, byte for byte."""
    from batchflow.plan.copies import copies, named_files

    pairs = [(path, folder.spec / name) for path, name in copies(named_files(spec))]
    return all(one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes() for one, other in pairs)
