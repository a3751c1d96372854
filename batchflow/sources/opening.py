"""From what a spec says under `data:` to the table that is read: the one place that knows every kind."""

from functools import partial
from glob import glob
from pathlib import Path
from typing import Final

from batchflow.errors import DataError, Fault, SpecError
from batchflow.sources.database import is_duckdb
from batchflow.sources.delimited import Delimited
from batchflow.sources.parts import file_of
from batchflow.sources.table import Source
from batchflow.sources.workshop import Exported, Workshop
from batchflow.spec.data import DataSpec, is_address, kind_of
from batchflow.spec.load import PATHS_COUNT, Spec

ALL_RESULTS: Final = "SELECT * FROM results"


def open_source(spec: Spec, workshop: Workshop) -> Source:
    """The table of a study; nothing of it is read yet but what lies elsewhere.

    Errors: SpecError where it is not there; DataError, SetupError.
    """
    data = spec.experiment.data
    if data.source is None:
        return _open_query(spec, data, workshop)
    if is_address(data.source):
        return _open_address(data.source, data, workshop)
    path = spec.resolve(data.source)
    if "*" in data.source and not path.exists():
        return _open_pattern(spec, data, workshop)
    if not path.is_file():
        raise SpecError([spec.missing(("data", "source"), path)])
    return open_file(path, data.source, data, workshop)


def open_file(path: Path, shown: str, data: DataSpec, workshop: Workshop) -> Source:
    """One file, of the kind that its name says."""
    match kind_of(path.name):
        case "delimited":
            return Delimited(path, shown, workshop, data.encoding)
        case "jsonl":
            from batchflow.sources.jsonl import JsonLines  # noqa: PLC0415 - most tables are of one kind

            return JsonLines(path, shown)
        case "spreadsheet":
            from batchflow.sources.spreadsheet import Spreadsheet  # noqa: PLC0415 - as above

            return Spreadsheet(path, shown, data.sheet, data.range, queried=data.query is not None)
        case "stats":
            from batchflow.sources.statistics_file import StatisticsFile  # noqa: PLC0415 - as above

            return StatisticsFile(path, shown)
        case "parquet":
            from batchflow.sources.relation import ParquetFile  # noqa: PLC0415 - duckdb is heavy

            return ParquetFile(path, shown)
        case "database":
            return _open_database(path, shown, data.table, queried=data.query is not None)
        case None:
            raise AssertionError(f"{path.name}: the spec was checked before")


def _open_database(path: Path, shown: str, table: str | None, *, queried: bool) -> Source:
    """An SQLite or a DuckDB file: their names are used for both, their first bytes tell."""
    from batchflow.sources.relation import DuckTable  # noqa: PLC0415 - duckdb is heavy
    from batchflow.sources.sqlite import HEAD, SqliteTable  # noqa: PLC0415 - as above

    with path.open("rb") as handle:
        first = handle.read(len(HEAD))
    if first == HEAD:
        return SqliteTable(path, shown, table, queried=queried)
    if is_duckdb(path):
        return DuckTable(path, shown, table, queried=queried)
    cause = "the file is empty" if not first else "this is neither an SQLite nor a DuckDB file"
    raise DataError([Fault(shown, cause, "name a file of one of the two, or export the table as CSV")])


def _open_pattern(spec: Spec, data: DataSpec, workshop: Workshop) -> Source:
    shown = str(data.source)
    found = matching(shown, spec.folder)
    if not found:
        cause = f"no file matches {shown!r} in {spec.where(spec.folder)}"
        raise SpecError([spec.fault(("data", "source"), cause, PATHS_COUNT)])
    return _together(shown, found, spec, data, workshop)


def matching(shown: str, folder: Path) -> list[str]:
    """The files that a pattern means, by name. Only `*` is special in one."""
    pattern = str(Path(shown.replace("[", "[[]").replace("?", "[?]")).expanduser())
    return sorted(name for name in glob(pattern, root_dir=folder) if (folder / name).is_file())  # noqa: PTH207 - names as written


def _together(shown: str, names: list[str], spec: Spec, data: DataSpec, workshop: Workshop) -> Source:
    from batchflow.sources.several import Several  # noqa: PLC0415 - duckdb is heavy

    return Several(shown, [open_file(spec.folder / name, name, data, workshop) for name in names], workshop)


def _open_address(address: str, data: DataSpec, workshop: Workshop) -> Source:
    from batchflow.sources import remote  # noqa: PLC0415 - for addresses only

    shown = remote.shown_of(address)
    copy = workshop.new_file(Path(shown).suffix)
    remote.fetch(address, copy)
    return open_file(copy, shown, data, workshop)


def _open_query(spec: Spec, data: DataSpec, workshop: Workshop) -> Source:
    """The rows of a query, or of another run's results."""
    from batchflow.sources.query import Query  # noqa: PLC0415 - duckdb is heavy

    place = ("data", "run" if data.query is None else "query")
    exported = _export(spec, data.run, workshop)
    return Query(
        ALL_RESULTS if data.query is None else data.query,
        spec.folder,
        workshop,
        shown=f"the results of {exported.run}" if data.query is None and exported else "the query",
        open_table=partial(_open_named, spec, data, workshop),
        refuse=partial(spec.fault, place),
        results=exported.parts if exported else (),
        notes=exported.notes if exported else (),
    )


def _export(spec: Spec, run: str | None, workshop: Workshop) -> Exported | None:
    if run is None:
        return None
    if workshop.export is None:
        raise AssertionError("whoever compiles a study that reads another run gives the way to it")
    return workshop.export(run, spec.folder, workshop.new_folder())


def _open_named(spec: Spec, data: DataSpec, workshop: Workshop, name: str) -> Source:
    """A table that a query names. Errors: SpecError where it is not there."""
    path = spec.folder / name
    if "*" in name and not path.exists():
        found = matching(name, spec.folder)
        if found:
            return _together(name, found, spec, data, workshop)
    file, part = file_of(spec.folder, name)
    path = spec.folder / file
    if not path.is_file():
        cause = f"the query names {file!r}, which is not in {spec.where(spec.folder)}"
        raise SpecError([spec.fault(("data", "query"), cause, PATHS_COUNT)])
    return open_file(path, file, data.model_copy(update=part), workshop)
