"""The results as a Python program works with them: a relation, SQL, data frames. What `batchflow.load` gives."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from batchflow.errors import BatchflowError, SetupError, UsageError
from batchflow.sinks import views
from batchflow.sinks.connection import Store, explained, open_for_analysis
from batchflow.sinks.reader import open_reader

if TYPE_CHECKING:
    import pandas  # noqa: ICN001 - the usual short names are those of methods here
    import polars  # noqa: ICN001
    import pyarrow  # noqa: ICN001
    from duckdb import DuckDBPyRelation

EXTRA: Final = "frames"


class Results:
    """The results of a run, or of the current run of each experiment in a database. Read only; not for several threads.

    `df`, `pl` and `arrow` hold the database while they read, no longer. A relation reads when it is used, so `results`
    and `sql` hold it, beside other readers, until `close` or the end of a `with` block: as long as that lasts, a
    `batchflow run` cannot put new answers into it. After `close`, relations are void; the next use opens it again.
    """

    def __init__(self, database: Path, run: str | None = None) -> None:
        """Check that the run is there. Errors: DatabaseHeld (a program writes), SetupError (no such file, no such run),
        SinkError (not to be read).
        """
        self.database = database
        self.run = run
        self._store: Store | None = None
        with told(), open_reader(database) as reader:
            self.simulated = reader.simulated(run)

    @property
    def results(self) -> "DuckDBPyRelation":
        """All rows in input order, as a relation of DuckDB."""
        return self._relation(self._open(), "FROM results")

    def sql(self, query: str) -> "DuckDBPyRelation":
        """The rows of one query over `results` and the other tables (`results_all`, `runs`, `batches`, `requests`,
        `responses`, and those of your own). Errors: UsageError for what is no query, and DuckDB's own (`duckdb.Error`).
        """
        return self._relation(self._open(), query)

    def df(self) -> "pandas.DataFrame":
        """All rows as a data frame of pandas. Errors: SetupError where it is not installed."""
        _need("df", "pandas")
        with self._read() as relation:
            frame: pandas.DataFrame = relation.df()
            return frame

    def pl(self) -> "polars.DataFrame":
        """All rows as a data frame of polars. Errors: SetupError where it is not installed."""
        _need("pl", "polars", "pyarrow")
        with self._read() as relation:
            frame: polars.DataFrame = relation.pl()
            return frame

    def arrow(self) -> "pyarrow.Table":
        """All rows as a table of Arrow. Errors: SetupError where it is not installed."""
        _need("arrow", "pyarrow")
        with self._read() as relation:
            table: pyarrow.Table = relation.to_arrow_table()
            return table

    def close(self) -> None:
        """Let the database go, if it is held. May be called again."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        what = "current runs" if self.run is None else f"run {self.run!r}"
        return f"<batchflow.Results: {what} of {str(self.database)!r}{', SIMULATED' if self.simulated else ''}>"

    def _open(self) -> Store:
        if self._store is None:
            self._store = self._opened()
        return self._store

    def _opened(self) -> Store:
        """`results` means this run: a temporary view goes before one of the database."""
        with told():
            store = open_for_analysis(self.database)
            if self.run is not None:
                with explained(self.database):
                    store.rows(f"CREATE TEMP VIEW results AS {views.select_run(store, self.run)}")
            return store

    @contextmanager
    def _read(self) -> "Iterator[DuckDBPyRelation]":
        """All rows, while the block lasts."""
        store = self._store or self._opened()
        try:
            yield self._relation(store, "FROM results")
        finally:
            if store is not self._store:
                store.close()

    @staticmethod
    def _relation(store: Store, query: str) -> "DuckDBPyRelation":
        from duckdb import StatementType  # noqa: PLC0415 - heavy; needed here alone

        found = store.connection.extract_statements(query)
        if [statement.type for statement in found] != [StatementType.SELECT]:
            with told():
                raise UsageError("sql: this is not one query", hint="write one SELECT; results are read only")
        return store.connection.sql(query)


@contextmanager
def told() -> Iterator[None]:
    """Errors say in a traceback what to do next, as they do on the command line."""
    try:
        yield
    except BatchflowError as error:
        if error.hint and not getattr(error, "__notes__", ()):
            error.add_note(f"hint: {error.hint}")
        raise


def _need(method: str, *libraries: str) -> None:
    absent = [library for library in libraries if find_spec(library) is None]
    if absent:
        with told():
            raise SetupError(
                f".{method}() needs {' and '.join(absent)}, which is not installed",
                hint=f"install it: pip install 'batchflow-llm[{EXTRA}]'",
            )
