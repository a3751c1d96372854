"""The map of a round: one row per request, from custom_id to row, condition, replicate, draw, request_key, shard, line.

Written once beside the request files, as Parquet; what it needs to be sorted or joined happens in DuckDB, out of memory
where it must.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from batchflow import files
from batchflow.errors import SetupError
from batchflow.identity import IDENTITY_VERSION
from batchflow.sources.database import PACKED, connection, literal, parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS: Final = (
    "custom_id, row_number, row_id, condition, replicate, draw, request_key, shard, line"  # the order in the file
)
# what follows them where one line serves several requests: the custom_id of that line
ASKED_AS: Final = "asked_as"
# what ends the row in a round that asks again on purpose: the final outcome there is; `taken`: another run bought it
EARLIER: Final = "earlier"
# the same definition as identity.request_key, for a whole table; a property test holds them together
KEY: Final = "sha256(concat_ws(chr(10), $version, $scope, $endpoint, body_sha256, draw))"
ROW_ORDER: Final = "ORDER BY row_number, condition, replicate"


class Mapped(NamedTuple):
    """One request as the map holds it. asked_as: the custom_id of the line that answers it, mostly its own."""

    custom_id: str
    row_number: int
    row_id: str
    condition: int
    replicate: int
    draw: int
    request_key: str
    shard: int
    line: int
    asked_as: str


class Chosen(NamedTuple):
    """A request line that a later round asks again, and where it stands in that round's files. earlier: the final
    outcome that it has, where it is asked again on purpose; taken: another run had bought that.
    """

    custom_id: str
    shard: int
    line: int
    earlier: str | None = None
    taken: bool = False


class Finished(NamedTuple):
    """The map is on disk; distinct is the number of different prompts among its requests."""

    requests: int
    distinct: int


def key_values(scope: str, endpoint: str) -> dict[str, str]:
    """What the definition of a request_key asks for, beside the request's own columns."""
    return {"version": str(IDENTITY_VERSION), "scope": scope, "endpoint": endpoint}


@contextmanager
def map_database() -> "Iterator[DuckDBPyConnection]":
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


class Gathering:
    """What keeps requests in tables of a database of its own, until the end of a `with` block."""

    def __init__(self, tables: str) -> None:
        self._context = map_database()
        self._con = self._context.__enter__()
        self._con.execute(tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)


def write_later(first: Sequence[Path], chosen: Iterable[Sequence[Chosen]], target: Path) -> None:
    """The map of a later round: the chosen requests of the first one, at their new places."""
    with map_database() as con:
        con.execute(
            "CREATE TABLE chosen (custom_id VARCHAR, shard INTEGER, line INTEGER, earlier VARCHAR, taken BOOLEAN)"
        )
        for part in chosen:
            with con.appender("chosen") as appender:
                appender.append_rows(part)
        every = " UNION ALL ".join(f"SELECT * FROM {parquet(path)}" for path in first)
        on_purpose = con.execute("SELECT count(earlier) FROM chosen").fetchall() != [(0,)]
        publish(
            con,
            f"SELECT m.* REPLACE (c.shard AS shard, c.line AS line){f', c.{EARLIER}, c.taken' if on_purpose else ''} "
            f"FROM ({every}) m JOIN chosen c ON c.custom_id = m.{asked_as(con, first[0])} "
            "ORDER BY c.shard, c.line, m.row_number",
            target,
            {},
        )


def asked_as(con: "DuckDBPyConnection", path: Path) -> str:
    """The column of a map with the custom_id of the line that answers a request: its own, where none serves several."""
    return ASKED_AS if _has(con, path, ASKED_AS) else "custom_id"


def _has(con: "DuckDBPyConnection", path: Path, column: str) -> bool:
    described = con.execute(f"DESCRIBE SELECT * FROM {parquet(path)}").fetchall()
    return any(name == column for name, *_ in described)


def earlier_outcomes(path: Path, shard: int) -> dict[str, tuple[str, bool]]:
    """The lines of a shard that ask again for what has a final outcome, by custom_id: that outcome, and whether another
    run had bought it.
    """
    with map_database() as con:
        if not _has(con, path, EARLIER):
            return {}
        rows = con.execute(
            f"SELECT DISTINCT {asked_as(con, path)}, {EARLIER}, taken FROM {parquet(path)} "
            f"WHERE shard = ? AND {EARLIER} IS NOT NULL",
            [shard],
        ).fetchall()
    return {custom_id: (outcome, taken) for custom_id, outcome, taken in rows}


def served(path: Path, shard: int) -> dict[str, int]:
    """The lines of a shard that answer several requests, by custom_id, and how many."""
    with map_database() as con:
        if asked_as(con, path) != ASKED_AS:
            return {}
        rows = con.execute(
            f"SELECT {ASKED_AS}, count(*) FROM {parquet(path)} WHERE shard = ? GROUP BY 1 HAVING count(*) > 1", [shard]
        ).fetchall()
    return dict(rows)


def lookup(
    path: Path, *, custom_id: str | None = None, row_id: str | None = None, shard: int = 0, lines: Sequence[int] = ()
) -> list[Mapped]:
    """Requests by custom_id, by row id, or by their lines in a shard."""
    where, values = "shard = ? AND list_contains(?, line)", [shard, list(lines)]
    if custom_id is not None:
        where, values = "custom_id = ?", [custom_id]
    elif row_id is not None:
        where, values = "row_id = ?", [row_id]
    with map_database() as con:
        rows = con.execute(
            f"SELECT {COLUMNS}, {asked_as(con, path)} FROM {parquet(path)} WHERE {where} "
            "ORDER BY shard, line, row_number",
            values,
        ).fetchall()
    return [Mapped(*row) for row in rows]


class Others(NamedTuple):
    """Requests of a run's round: those in the given shards, those with the given custom_ids, or every one."""

    path: Path
    shards: Sequence[int] = ()
    ids: Sequence[str] = ()
    every: bool = False

    @property
    def empty(self) -> bool:
        return not self.shards and not self.ids


def select_others(con: "DuckDBPyConnection", other: Others, columns: str) -> str:
    """A query of these columns over such requests; puts their ids into a table, so run it before the next one."""
    con.execute("CREATE OR REPLACE TABLE wanted (custom_id VARCHAR)")
    with con.appender("wanted") as appender:
        appender.append_rows([(custom_id,) for custom_id in other.ids])
    shards = ", ".join(str(int(shard)) for shard in other.shards)
    return (
        f"SELECT {columns} FROM {parquet(other.path)} "
        f"WHERE {str(other.every).lower()} OR list_contains([{shards}]::INTEGER[], shard) "
        "OR custom_id IN (SELECT custom_id FROM wanted)"
    )


def count_shared(ours: Iterable[Others], theirs: Iterable[Others]) -> int:
    """How many of our requests have the same request_key as some of theirs."""
    with map_database() as con:
        con.execute("CREATE TABLE keys (request_key VARCHAR)")
        for other in theirs:
            con.execute(f"INSERT INTO keys {select_others(con, other, 'request_key')}")
        shared = 0
        for own in ours:
            mine = select_others(con, own, "request_key")
            query = f"SELECT count(*) FROM ({mine}) WHERE request_key IN (SELECT request_key FROM keys)"
            shared += int(con.execute(query).fetchall()[0][0])
        return shared


class Bought(NamedTuple):
    """Final answers of one round of a run. Where they were taken over, origins says for each line where it was bought;
    else that is `place` with the line's own custom_id.
    """

    requests: Others
    place: str
    origins: Iterable[tuple[str, str]] | None = None


class Kept(NamedTuple):
    """Requests of a run that have a final answer; those to which no other run has any; those to which others have
    another one, but not this.
    """

    answers: int
    only_here: int
    other_answers: int


def count_answers(here: Iterable[Bought], elsewhere: Iterable[Bought]) -> Kept:
    """What of a run's answers others hold as well: the very answer, or one of their own to the same request. Of several
    answers to a request the first one counts.
    """
    with map_database() as con:
        con.execute("CREATE TABLE origins (custom_id VARCHAR, origin VARCHAR)")
        for name, parts in (("here", here), ("elsewhere", elsewhere)):
            con.execute(f"CREATE TABLE {name} (request_key VARCHAR, origin VARCHAR, position INTEGER)")
            for position, part in enumerate(parts):
                _add_bought(con, name, part, position)
        return Kept(
            *con.execute(
                "SELECT count(*), count(*) FILTER (NOT kept AND NOT asked), count(*) FILTER (NOT kept AND asked) FROM ("
                "SELECT request_key IN (SELECT request_key FROM elsewhere) AS asked, "
                "arg_min(origin, position) IN (SELECT origin FROM elsewhere) AS kept FROM here GROUP BY request_key)"
            ).fetchall()[0]
        )


def _add_bought(con: "DuckDBPyConnection", table: str, part: Bought, position: int) -> None:
    asked = asked_as(con, part.requests.path)
    requests = select_others(con, part.requests, f"request_key, {asked} AS asked")
    if part.origins is None:
        rows = f"SELECT request_key, concat_ws('/', $place, asked), $position FROM ({requests})"
        con.execute(f"INSERT INTO {table} {rows}", {"place": part.place, "position": position})
        return
    con.execute("DELETE FROM origins")
    with con.appender("origins") as appender:
        for origin in part.origins:
            appender.append_row(*origin)
    rows = f"SELECT request_key, origin, $position FROM ({requests}) JOIN origins ON custom_id = asked"
    con.execute(f"INSERT INTO {table} {rows}", {"position": position})


class CellCount(NamedTuple):
    """How many rows are asked under a condition, and in how many requests."""

    rows: int
    requests: int


def count_conditions(paths: Sequence[Path]) -> dict[int, CellCount]:
    """The size of every condition that some request has, by its number."""
    maps = " UNION ALL ".join(f"SELECT condition, row_number FROM {parquet(path)}" for path in paths)
    with map_database() as con:
        rows = con.execute(
            f"SELECT condition, count(DISTINCT row_number), count(*) FROM ({maps}) GROUP BY 1 ORDER BY 1"
        ).fetchall()
    return {number: CellCount(*counts) for number, *counts in rows}


class Change(NamedTuple):
    """Requests of a run beside those of an earlier one, told apart by row id, condition and replicate.

    kind: same, changed, added or gone. here, there: the number of their condition in the run and the earlier one; None
    where it has no such request. asked: the run asks them; else it has taken them over.
    """

    kind: str
    here: int | None
    there: int | None
    asked: bool
    requests: int


class Conditioned(NamedTuple):
    """The maps of what a run has taken over and what it asks, where it does, and the text of each of its conditions."""

    taken: Path
    asked: Path
    conditions: Mapping[int, str]


def compare(new: Conditioned, old: Conditioned) -> list[Change]:
    """What became of the requests of an earlier run."""
    with map_database() as con:
        for name, side in (("new", new), ("old", old)):
            con.execute(f"CREATE TABLE {name}_conditions (number INTEGER, text VARCHAR)")
            with con.appender(f"{name}_conditions") as appender:
                appender.append_rows(list(side.conditions.items()))
            maps = " UNION ALL ".join(
                f"SELECT row_id, condition AS number, replicate, request_key, {asked} AS asked FROM {parquet(path)}"
                for path, asked in ((side.taken, False), (side.asked, True))
                if path.is_file()
            )
            con.execute(
                f"CREATE VIEW {name} AS SELECT m.*, coalesce(text, '') AS condition "
                f"FROM ({maps}) m LEFT JOIN {name}_conditions c USING (number)"
            )
        found = con.execute(
            "SELECT CASE WHEN o.request_key IS NULL THEN 'added' WHEN n.request_key IS NULL THEN 'gone' "
            "WHEN n.request_key = o.request_key THEN 'same' ELSE 'changed' END, "
            "n.number, o.number, coalesce(n.asked, false), count(*) "
            "FROM new n FULL JOIN old o USING (row_id, condition, replicate) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return [Change(*counts) for counts in found]


def publish(con: "DuckDBPyConnection", select: str, target: Path, values: dict[str, Any]) -> None:
    temporary = files.temporary_for(target)
    with files.explained(target):
        con.execute(f"COPY ({select}) TO {literal(str(temporary))} ({PACKED})", values)
        files.publish(temporary, target)
