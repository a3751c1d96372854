"""The map of a round: one row per request, from custom_id to row, condition, replicate, draw, request_key, shard, line.

Written once beside the request files, as Parquet; what it needs to be sorted or joined happens in DuckDB, out of memory
where it must.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from batchflow import files
from batchflow.errors import SetupError
from batchflow.identity import IDENTITY_VERSION
from batchflow.sources.database import connection, literal, parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS: Final = (
    "custom_id, row_number, row_id, condition, replicate, draw, request_key, shard, line"  # the order in the file
)


class Built(NamedTuple):
    """One request as the builder writes it; line counts from 1 within its shard."""

    custom_id: str
    row_number: int
    row_id: str
    condition: int
    replicate: int
    body_sha256: str
    shard: int
    line: int


class Mapped(NamedTuple):
    """One request as the map holds it."""

    custom_id: str
    row_number: int
    row_id: str
    condition: int
    replicate: int
    draw: int
    request_key: str
    shard: int
    line: int


class Chosen(NamedTuple):
    """A request that a later round asks again, and where it stands in that round's files."""

    custom_id: str
    shard: int
    line: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The map is on disk; distinct is the number of different prompts among its requests."""

    requests: int
    distinct: int


@contextmanager
def _database() -> "Iterator[DuckDBPyConnection]":
    """A private database that spills to disk instead of growing."""
    import duckdb  # noqa: PLC0415 - heavy; only what reads maps pays for it

    try:
        with files.scratch_folder() as scratch, connection(scratch) as database:
            yield database
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise SetupError(
            f"a map of requests cannot be read: {str(error).splitlines()[0]}",
            hint="a run's folder is written once and never edited: put the file back from a backup",
        ) from error


class MapWriter:
    """Collects the requests of round 1 in row order; `finish` gives each its draw and key and writes the map."""

    def __init__(self) -> None:
        self._context = _database()
        self._con = self._context.__enter__()
        self._con.execute(
            "CREATE TABLE built (custom_id VARCHAR, row_number BIGINT, row_id VARCHAR, condition INTEGER, "
            "replicate INTEGER, body_sha256 VARCHAR, shard INTEGER, line INTEGER)"
        )

    def add(self, requests: Sequence[Built]) -> None:
        with self._con.appender("built") as appender:
            appender.append_rows(requests)

    def finish(self, target: Path, scope: str, endpoint: str) -> Finished:
        # the same definition as identity.request_key, for a whole table; a property test holds them together
        key = "sha256(concat_ws(chr(10), $version, $scope, $endpoint, body_sha256, draw))"
        numbered = (
            "SELECT *, row_number() OVER (PARTITION BY body_sha256 ORDER BY row_number, condition, replicate) AS draw "
            "FROM built"
        )
        _publish(
            self._con,
            f"SELECT custom_id, row_number, row_id, condition, replicate, draw, {key} AS request_key, shard, line "
            f"FROM ({numbered}) ORDER BY shard, line",
            target,
            {"version": str(IDENTITY_VERSION), "scope": scope, "endpoint": endpoint},
        )
        found = self._con.execute("SELECT count(*), count(DISTINCT body_sha256) FROM built").fetchall()[0]
        return Finished(*found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)


def write_later(previous: Path, chosen: Iterable[Sequence[Chosen]], target: Path) -> None:
    """The map of a later round: the chosen requests of the previous one, at their new places."""
    with _database() as con:
        con.execute("CREATE TABLE chosen (custom_id VARCHAR, shard INTEGER, line INTEGER)")
        for part in chosen:
            with con.appender("chosen") as appender:
                appender.append_rows(part)
        _publish(
            con,
            f"SELECT m.* REPLACE (c.shard AS shard, c.line AS line) FROM {parquet(previous)} m "
            "JOIN chosen c USING (custom_id) ORDER BY c.shard, c.line",
            target,
            {},
        )


def lookup(
    path: Path, *, custom_id: str | None = None, row_id: str | None = None, shard: int = 0, lines: Sequence[int] = ()
) -> list[Mapped]:
    """Requests by custom_id, by row id, or by their lines in a shard."""
    where, values = "shard = ? AND list_contains(?, line)", [shard, list(lines)]
    if custom_id is not None:
        where, values = "custom_id = ?", [custom_id]
    elif row_id is not None:
        where, values = "row_id = ?", [row_id]
    with _database() as con:
        rows = con.execute(
            f"SELECT {COLUMNS} FROM {parquet(path)} WHERE {where} ORDER BY shard, line", values
        ).fetchall()
    return [Mapped(*row) for row in rows]


class Others(NamedTuple):
    """Requests of another run's round: those in the given shards, or with the given custom_ids."""

    path: Path
    shards: Sequence[int] = ()
    ids: Sequence[str] = ()


def count_shared(path: Path, others: Iterable[Others]) -> int:
    """How many requests of a map have the same request_key as some of the others."""
    with _database() as con:
        con.execute("CREATE TABLE keys (request_key VARCHAR)")
        for other in others:
            con.execute("CREATE OR REPLACE TABLE wanted (custom_id VARCHAR)")
            with con.appender("wanted") as appender:
                appender.append_rows([(custom_id,) for custom_id in other.ids])
            con.execute(
                f"INSERT INTO keys SELECT request_key FROM {parquet(other.path)} "
                "WHERE list_contains(?, shard) OR custom_id IN (SELECT custom_id FROM wanted)",
                [list(other.shards)],
            )
        rows = con.execute(
            f"SELECT count(*) FROM {parquet(path)} WHERE request_key IN (SELECT request_key FROM keys)"
        ).fetchall()
    return int(rows[0][0])


def _publish(con: "DuckDBPyConnection", select: str, target: Path, values: dict[str, Any]) -> None:
    temporary = files.temporary_for(target)
    with files.explained(target):
        con.execute(f"COPY ({select}) TO {literal(str(temporary))} (FORMAT parquet, COMPRESSION zstd)", values)
        files.publish(temporary, target)
