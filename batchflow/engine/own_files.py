"""The files of a study: which file is one of them, and whether its table is still what it was."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from batchflow import files
from batchflow.engine.finding import Target
from batchflow.errors import BatchflowError
from batchflow.sources.database import is_duckdb


def what_it_is(target: Target, file: Path) -> str:
    """What of a study, that of the run or another one, a file is, in words; empty where it is nothing of that, or not
    there.
    """
    if not file.is_file():
        return ""
    if file.resolve().is_relative_to(target.project.runs.resolve()):
        return "a file of a run"
    if file.suffix.lower() in {".yaml", ".yml"}:
        return "an experiment file, or part of one"
    if is_duckdb(file):
        return "a database"
    if any(one.is_file() and one.samefile(file) for one in _named(target, file)):
        return "a file that this study is made of"
    return ""


def table_changed(target: Target) -> bool:
    """Whether the table of a run that was found by its spec says something else than when it was read. One that lies
    elsewhere, or is several files, is not looked at.
    """
    source = target.plan.source
    table = _path(target, source.path)
    if not (target.by_spec and source.sha256 and table.is_file()):
        return False
    touched = table.stat().st_ctime > target.folder.manifest.stat().st_mtime
    return touched and files.sha256_of(table) != source.sha256


def _named(target: Target, file: Path) -> Iterator[Path]:
    """The files that the run's spec names, where they lie; of those in a query only `file`, if it names that."""
    from batchflow.plan.copies import SPEC_NAME, named_files  # noqa: PLC0415 - only where something would be written over
    from batchflow.sources.opening import matching  # noqa: PLC0415 - as above
    from batchflow.spec.load import load_spec  # noqa: PLC0415 - as above

    with suppress(BatchflowError):
        spec = load_spec(target.folder.spec / SPEC_NAME)._replace(folder=target.project.folder)
        data = spec.experiment.data
        yield from named_files(spec)
        if data.source is not None:
            yield from (spec.folder / name for name in matching(data.source, spec.folder))
        if data.query is not None and file.name in data.query:
            yield file


def _path(target: Target, shown: str) -> Path:
    with suppress(RuntimeError):  # no home folder
        return target.project.folder / Path(shown).expanduser()
    return target.project.folder / shown
