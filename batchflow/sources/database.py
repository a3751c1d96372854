"""DuckDB as this room uses it: one thread, bounded memory, no network, names and paths taken to the letter."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FETCH_ROWS: Final = 100
PACKED: Final = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"  # as small as at level 3, for half the time

# How every DuckDB of ours is set, here and in sinks: it fetches nothing, and it writes in the thread that asked:
# 2.0.0 was seen to lock itself up for ever while it wrote Parquet in the background (docs/decisions/0011).
SETTINGS: Final[Mapping[str, Any]] = {
    "async_threads": 0,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


WORK: Final = "work"  # the catalog that a connection works in
# Instances that nobody uses: a new one takes tens of milliseconds, and a command needs a dozen of them in turn.
_idle: "Final[list[DuckDBPyConnection]]" = []


@contextmanager
def connection(scratch: Path | None = None, name: str = ":memory:") -> "Iterator[DuckDBPyConnection]":
    """A database, in memory or in the file `name`, that keeps the order of rows. `scratch` takes what does not fit
    into memory. Whoever changes lasting settings takes a `private_connection`.
    """
    instance = _idle.pop() if _idle else _open()
    reusable = False
    try:
        with closing(instance.cursor()) as database:
            database.execute(f"SET temp_directory = {literal('' if scratch is None else str(scratch))}")
            database.execute(f"ATTACH {literal(name)} AS {WORK}; USE {WORK}")
            yield database
            database.execute(f"USE memory; DETACH {WORK}")
            reusable = _leave_scratch(database)
    finally:
        if reusable:
            _idle.append(instance)
        else:
            instance.close()


@contextmanager
def beside(database: "DuckDBPyConnection") -> "Iterator[DuckDBPyConnection]":
    """A second connection to what `connection` gave, to read from while the first is written to."""
    with closing(database.cursor()) as second:
        second.execute(f"USE {WORK}")
        yield second


def _leave_scratch(database: "DuckDBPyConnection") -> bool:
    """False where something was written there: DuckDB then keeps to that folder."""
    import duckdb  # noqa: PLC0415 - heavy; only what reads rows pays for it

    try:
        database.execute("SET temp_directory = ''")
    except duckdb.NotImplementedException:
        return False
    return True


@contextmanager
def private_connection(scratch: Path | None = None, name: str = ":memory:") -> "Iterator[DuckDBPyConnection]":
    """The same, closed for good at the end: its settings may be locked."""
    with closing(_open(name)) as database:
        if scratch is not None:
            database.execute(f"SET temp_directory = {literal(str(scratch))}")
        yield database


def _open(name: str = ":memory:") -> "DuckDBPyConnection":
    import duckdb  # noqa: PLC0415 - heavy; only what reads rows pays for it

    settings: dict[str, Any] = {
        **SETTINGS,
        "memory_limit": "256MB",
        "threads": 1,  # with one, rows are written in the order in which they are read
        "temp_directory": "",
    }
    return duckdb.connect(name, config=settings)


def stream(database: "DuckDBPyConnection", query: str) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query in small lists, fetched as they are needed; run it to its end before the next query."""
    result = database.execute(query)
    while rows := result.fetchmany(FETCH_ROWS):
        yield rows


def is_duckdb(path: Path) -> bool:
    """Whether a file is a database of DuckDB: it says so after a checksum of 8 bytes."""
    with path.open("rb") as handle:
        return handle.read(12)[8:] == b"DUCK"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def pattern(path: Path) -> str:
    """The path as DuckDB must be given it: it takes `*`, `?` and `[` for wildcards."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))


def parquet(path: Path) -> str:
    """A parquet file in a FROM clause. Folders called `a=b` are no columns."""
    return f"read_parquet({literal(pattern(path))}, hive_partitioning=false)"


def said(error: Exception) -> str:
    """What DuckDB says, on one line, without the name of the kind of error."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return first.partition(" Error: ")[2] or first
