"""The files of a study: which file is one of them, and whether its table is still what it was."""

from pathlib import Path

from batchflow import files
from batchflow.engine.finding import Target


def what_it_is(target: Target, named: str | None, file: Path) -> str:
    """What of the study of a run a file is, in words; empty where it is nothing of it, or not there. named: what the
    run was found by.
    """
    if not file.is_file():
        return ""
    if file.resolve().is_relative_to(target.project.runs.resolve()):
        return "a file of a run"
    if _same(file, target.database):
        return "the results database"
    if any(_same(file, table) for table in _tables(target)):
        return "the table of this study"
    folder = target.project.folder
    known = [Path(named or ""), *(folder / copy.name for copy in target.folder.spec.iterdir())]
    return "a file that this study is made of" if any(_same(file, one) for one in known) else ""


def table_changed(target: Target) -> bool:
    """Whether the table of a run that was found by its spec says something else than when it was read. One that lies
    elsewhere, or is several files, is not looked at.
    """
    source = target.plan.source
    table = target.project.folder / source.path
    if not (target.by_spec and source.sha256 and table.is_file()):
        return False
    touched = table.stat().st_ctime > target.folder.manifest.stat().st_mtime
    return touched and files.sha256_of(table) != source.sha256


def _tables(target: Target) -> list[Path]:
    """The files that its rows came from."""
    folder, source = target.project.folder, target.plan.source
    if not source.sha256:
        return []
    return [*folder.glob(source.path)] if "*" in source.path else [folder / source.path]


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.samefile(other)
