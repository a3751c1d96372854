"""A query over tables as a table: the files it names are read as everywhere, the rest of the machine it cannot reach.

Files in FROM clauses become views before the query runs: Parquet with its own types, any other table with its cells as
text. Then DuckDB is locked up: it reads nothing but the project's folder, and no setting can be changed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb

from batchflow.errors import Fault, SpecError
from batchflow.sources import sql
from batchflow.sources.columns import resolve
from batchflow.sources.database import identifier, literal, parquet
from batchflow.sources.importing import Target
from batchflow.sources.parts import file_of
from batchflow.sources.relation import PARQUET, Opened, Relation, lock_up, utc_connection
from batchflow.sources.selection import in_words
from batchflow.sources.table import Reading, Source
from batchflow.sources.workshop import Workshop

RESULTS: Final = "results"


class Query(Relation):
    """The rows of a query. open_table: what stands in a file of the project, by its name there. refuse: a fault at the
    query's place in the spec. results: the parquet files that are the table `results`.
    """

    kind = "query"

    def __init__(
        self,
        query: str,
        folder: Path,
        workshop: Workshop,
        *,
        shown: str,
        open_table: Callable[[str], Source],
        refuse: Callable[[str, str], Fault],
        results: tuple[Path, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(shown)
        self._query, self._folder, self._workshop = query, folder, workshop
        self._open_table, self._refuse, self._results, self._notes = open_table, refuse, results, notes
        self._rows: Path | None = None

    def inspect(self) -> Reading:
        reading = super().inspect()  # runs the query
        return reading._replace(notes=(*self._notes, *reading.notes))

    @contextmanager
    def opened(self, scratch: Path | None) -> Iterator[Opened]:
        if self._rows is None:
            self._rows = self._run()  # once: header and rows are of the same moment
        with utc_connection(scratch) as database:
            yield database, parquet(self._rows)

    def _run(self) -> Path:
        """The rows of the query as a parquet file. Errors: SpecError, DataError."""
        try:
            parsed = sql.parse(self._query, self._folder)
        except sql.Unfit as problem:
            raise SpecError([self._refuse(problem.cause, problem.remedy)]) from None
        views = {name: self._view(name) for name in parsed.files}
        if self._results:
            views[RESULTS] = _parquets(self._results)
        target = self._workshop.new_file(".parquet")
        with utc_connection(self._workshop.folder) as database:
            for name, source in views.items():
                database.execute(f"CREATE VIEW {identifier(name)} AS {source}")
            lock_up(database, [str(self._folder.resolve()), str(self._folder.absolute()), str(self._workshop.folder)])
            try:
                self._refuse_doubles(database.execute(f"DESCRIBE {parsed.sql}").fetchall())
                database.execute(f"COPY ({parsed.sql}\n) TO {literal(str(target))} (FORMAT parquet)")
            except duckdb.Error as error:
                remedy = "correct the SQL; files are named from the folder of the experiment file, and lie in it"
                cause, remedy = in_words(error, self._query, remedy)
                raise SpecError([self._refuse(f"DuckDB: {cause}", remedy)]) from None
        return target

    def _refuse_doubles(self, described: list[tuple[Any, ...]]) -> None:
        names = [str(row[0]) for row in described]
        for position, name in enumerate(names):
            if name in names[:position]:
                cause = f"two columns of the query are called {name!r}"
                raise SpecError([self._refuse(cause, "name one otherwise: b.name as other_name; or join … using (id)")])

    def _view(self, name: str) -> str:
        """The SELECT that is a file of the project. Errors: SpecError, DataError."""
        self._must_lie_inside(self._folder / file_of(self._folder, name)[0], name)
        source = self._open_table(name)
        for path in source.files():  # a pattern may lead through links
            self._must_lie_inside(path, name)
        if source.kind == PARQUET and len(source.files()) == 1:
            return _parquets(source.files())
        reading = source.inspect()
        self._notes += tuple(f"{name}: {note}" for note in reading.notes if reading.beside)
        if source.kind == PARQUET:
            return _parquets(source.files())
        path = self._workshop.new_file(".parquet")
        scratch = self._workshop.new_folder()
        source.read(reading, Target(reading.columns, None, path, scratch))
        named = resolve([column.name for column in reading.columns], ())
        cells = ", ".join(
            f"{identifier(column.stored)} AS {identifier(name)}"
            for column, name in zip(reading.columns, named, strict=True)
        )
        return f"SELECT {cells} FROM {parquet(path)}"

    def _must_lie_inside(self, path: Path, name: str) -> None:
        if not path.resolve().parent.is_relative_to(self._folder.resolve()):
            raise SpecError([
                self._refuse(f"{name!r} lies outside the project's folder", "copy the file into the folder")
            ])  # fmt: skip

    def _refusal(self, reason: str) -> Fault:
        return self._refuse(f"DuckDB: {reason}", "correct the SQL")


def _parquets(paths: Sequence[Path]) -> str:
    """Parquet files of the same columns one after the other."""
    return " UNION ALL BY NAME ".join(f"SELECT * FROM {parquet(path)}" for path in paths)
