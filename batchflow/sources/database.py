"""DuckDB as this room uses it: one thread, bounded memory, no network, names and paths taken to the letter."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FETCH_ROWS = 100

# How every DuckDB of ours is set, here and in sinks: it fetches nothing, and it writes in the thread that asked:
# 2.0.0 was seen to lock itself up for ever while it wrote Parquet in the background (docs/decisions/0011).
SETTINGS: Final[Mapping[str, Any]] = {
    "async_threads": 0,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@contextmanager
def connection(scratch: Path | None = None, name: str = ":memory:") -> "Iterator[DuckDBPyConnection]":
    """A database, in memory or in the file `name`, that keeps the order of rows. `scratch` takes what does not fit
    into memory.
    """
    import duckdb  # noqa: PLC0415 - heavy; only what reads rows pays for it

    settings: dict[str, Any] = {
        **SETTINGS,
        "memory_limit": "256MB",
        "threads": 1,  # with one, rows are written in the order in which they are read
        "temp_directory": "" if scratch is None else str(scratch),
    }
    database = duckdb.connect(name, config=settings)
    try:
        yield database
    finally:
        database.close()


def stream(database: "DuckDBPyConnection", query: str) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query in small lists, fetched as they are needed; run it to its end before the next query."""
    result = database.execute(query)
    while rows := result.fetchmany(FETCH_ROWS):
        yield rows


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
