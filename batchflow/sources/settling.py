"""Which requests of a new run are asked, and which are answered already: by an equal request of their own run, or by a
final answer of another run. Decided by DuckDB over all requests, out of memory where there are many.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from batchflow.sources.database import beside, parquet
from batchflow.sources.first_map import NUMBERS, RequestWriter
from batchflow.sources.maps import (
    ASKED_AS,
    KEY,
    ROW_ORDER,
    Finished,
    Others,
    asked_as,
    key_values,
    publish,
    select_others,
)

AT_ONCE: Final = 10_000
TAKEN_SHARD: Final = 50_000  # lines of a file of answers taken over

_EQUAL: Final = (
    "CREATE TABLE equal AS SELECT body_sha256 FROM built GROUP BY 1 HAVING count(*) > 1; "
    "CREATE TABLE candidates (custom_id VARCHAR, body_sha256 VARCHAR, draw BIGINT, run INTEGER, other BOOLEAN, "
    "earlier INTEGER)"
)
_HELD: Final = (
    "CREATE TABLE held AS SELECT custom_id, body_sha256, draw FROM (SELECT * FROM candidates "
    "QUALIFY row_number() OVER (PARTITION BY custom_id ORDER BY run, other, earlier, draw) = 1) "
    "QUALIFY row_number() OVER (PARTITION BY body_sha256, draw ORDER BY run, custom_id) = 1"
)
# the others get the numbers that are free, in their order: where nothing is held, 1, 2, 3, …
_DRAWN: Final = (
    "WITH placed AS (SELECT b.*, h.draw AS had, row_number() OVER (PARTITION BY b.body_sha256, h.draw IS NULL "
    "ORDER BY b.row_number, b.condition, b.replicate) AS place FROM built b LEFT JOIN held h USING (custom_id)), "
    "counted AS (SELECT body_sha256, count(*) AS size FROM built SEMI JOIN held USING (body_sha256) GROUP BY 1), "
    "free AS (SELECT body_sha256, number, row_number() OVER (PARTITION BY body_sha256 ORDER BY number) AS place FROM "
    "(SELECT body_sha256, unnest(generate_series(1, size)) AS number FROM counted) n "
    "ANTI JOIN held h ON h.body_sha256 = n.body_sha256 AND h.draw = n.number) "
    "SELECT p.* EXCLUDE (had, place), coalesce(p.had, f.number, p.place) AS draw, "
    f"p.custom_id AS {ASKED_AS} FROM placed p LEFT JOIN free f "
    "ON p.had IS NULL AND f.body_sha256 = p.body_sha256 AND f.place = p.place"
)


class Settled(NamedTuple):
    """Requests of another run that have their final outcome in one shard. run counts from 0, the newest first."""

    run: int
    round: int
    shard: int
    requests: Others


class Decision(NamedTuple):
    """What becomes of a request. leader: its own line is asked or taken over, for `serves` requests in all; taken: the
    shard of answers taken over that its answer goes to, 0 if it is asked.
    """

    custom_id: str
    leader: bool
    serves: int
    taken: int


class Placed(NamedTuple):
    """Where a leader's line was put."""

    custom_id: str
    round: int
    shard: int
    line: int


class Taken(NamedTuple):
    """An answer to take over: the custom_id it has in the other run, the one it gets, and its shard here, which is that
    of its request: both are cut in the order of this run's rows.
    """

    theirs: str
    ours: str
    shard: int


class SettlingWriter(RequestWriter):
    """Collects all requests, decides, then writes the maps of what is taken over and of what is asked."""

    def __init__(self, rows: Path) -> None:
        super().__init__(rows, "CREATE TABLE placed (custom_id VARCHAR, round INTEGER, shard INTEGER, line INTEGER)")

    def settle(self, scope: str, endpoint: str, *, share: bool, finals: Iterable[Settled]) -> None:
        """Give every request its draw and key, and find the answers there are. A request that has an answer keeps it,
        whatever others ask the same now; with share they all have one.
        """
        known, keys = list(finals), key_values(scope, endpoint)
        self._con.execute(
            f"CREATE TABLE built AS SELECT a.*, row_id FROM (SELECT custom_id, {NUMBERS}, body_sha256 "
            f"FROM {self._added()}) a JOIN (SELECT row_number, row_id FROM {parquet(self._rows)}) USING (row_number)"
        )
        if share:  # between rows and conditions; replicates are there to be draws of their own
            draw = "dense_rank() OVER (PARTITION BY body_sha256 ORDER BY replicate)"
            leader = f"first_value(custom_id) OVER (PARTITION BY body_sha256, replicate {ROW_ORDER})"
            drawn = f"SELECT *, {draw} AS draw, {leader} AS {ASKED_AS} FROM built"
        else:
            self._hold(known, keys)
            drawn = _DRAWN
        self._con.execute(f"CREATE TABLE keyed AS SELECT *, {KEY} AS request_key FROM ({drawn})", keys)
        self._con.execute(
            "CREATE TABLE final (request_key VARCHAR, theirs VARCHAR, run INTEGER, round INTEGER, shard INTEGER)"
        )
        for final in known:
            where = f"{final.run}, {final.round}, {final.shard}"
            line = asked_as(self._con, final.requests.path)  # where one serves several, the others have no answer
            theirs = select_others(self._con, final.requests, f"request_key, {line} AS theirs")
            self._con.execute(
                f"INSERT INTO final SELECT request_key, theirs, {where} FROM ({theirs}) "
                "SEMI JOIN keyed USING (request_key)"
            )
        self._con.execute(
            "CREATE TABLE taken AS SELECT k.custom_id, f.theirs, f.run, f.round, f.shard AS source, "
            f"1 + (row_number() OVER ({ROW_ORDER}) - 1) // {TAKEN_SHARD} AS shard "
            f"FROM keyed k JOIN (SELECT * FROM final QUALIFY row_number() OVER "
            "(PARTITION BY request_key ORDER BY run, round DESC, theirs) = 1) f USING (request_key) "
            f"WHERE k.custom_id = k.{ASKED_AS}"
        )

    def _hold(self, known: Iterable[Settled], keys: dict[str, Any]) -> None:
        """Find the draws that requests have had in other runs: of the newest one; of two that had the same, the first.

        A draw is one of the equal requests of a run in their order; by that order alone an answer would go to another
        row as soon as a row is added before it, or a pilot is followed by the whole table.
        """
        self._con.execute(_EQUAL)
        for final in known:
            theirs = select_others(
                self._con, final.requests, "row_id, replicate, condition AS their, draw, request_key"
            )
            self._con.execute(
                "INSERT INTO candidates SELECT b.custom_id, b.body_sha256, t.draw, "
                f"{final.run}, b.condition <> t.their, {-final.round} FROM ({theirs}) t JOIN built b USING "
                "(row_id, replicate) WHERE (t.draw > 1 OR b.body_sha256 IN (SELECT body_sha256 FROM equal)) "
                f"AND {KEY} = t.request_key",
                keys,
            )
        self._con.execute(_HELD)

    def decisions(self) -> Iterator[Decision]:
        """What becomes of each request, in the order in which they were added."""
        self._con.execute(
            "CREATE TABLE decided AS SELECT k.custom_id, k.row_number, k.condition, k.replicate, "
            f"k.custom_id = k.{ASKED_AS} AS leader, count(*) OVER (PARTITION BY k.{ASKED_AS}) AS serves, "
            f"coalesce(t.shard, 0) AS taken FROM keyed k LEFT JOIN taken t ON t.custom_id = k.{ASKED_AS}"
        )
        with beside(self._con) as reading:  # the places are appended meanwhile
            reading.execute(f"SELECT custom_id, leader, serves, taken FROM decided {ROW_ORDER}")
            while rows := reading.fetchmany(AT_ONCE):
                yield from (Decision(*row) for row in rows)

    def place(self, placed: Sequence[Placed]) -> None:
        with self._con.appender("placed") as appender:
            appender.append_rows(placed)

    def taken(self) -> dict[tuple[int, int, int], int]:
        """The shards of other runs (run, round, shard) that answers are taken from, in order, and how many."""
        rows = self._con.execute("SELECT run, round, source, count(*) FROM taken GROUP BY ALL ORDER BY ALL").fetchall()
        return {(run, round_, source): count for run, round_, source, count in rows}

    def taken_from(self, run: int, round_: int, shard: int) -> Mapping[str, Taken]:
        """The answers to take over from one shard, by the custom_id they have there."""
        rows = self._con.execute(
            "SELECT theirs, custom_id, shard FROM taken WHERE run = ? AND round = ? AND source = ?",
            [run, round_, shard],
        ).fetchall()
        return {row[0]: Taken(*row) for row in rows}

    def publish(self, targets: Mapping[int, Path], *, share: bool) -> Finished:
        """Write the map of each round that has requests. Returns what there is."""
        extra = f", k.{ASKED_AS}" if share else ""
        for round_, target in targets.items():
            publish(
                self._con,
                "SELECT k.custom_id, k.row_number, k.row_id, k.condition, k.replicate, k.draw, k.request_key, p.shard, "
                f"p.line{extra} FROM keyed k JOIN placed p ON p.custom_id = k.{ASKED_AS} AND p.round = {round_} "
                "ORDER BY p.shard, p.line, k.row_number, k.condition, k.replicate",
                target,
                {},
            )
        return Finished(*self._con.execute("SELECT count(*), count(DISTINCT body_sha256) FROM built").fetchall()[0])
