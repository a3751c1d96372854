"""Which requests of a new run are asked, and which are answered already: by an equal request of their own run, or by a
final answer of another run. Decided by DuckDB over all requests, out of memory where there are many.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from batchflow.sources.database import beside
from batchflow.sources.maps import (
    ASKED_AS,
    KEY,
    ROW_ORDER,
    Finished,
    MapWriter,
    Others,
    asked_as,
    key_values,
    publish,
    select_others,
)

AT_ONCE: Final = 10_000
TAKEN_SHARD: Final = 50_000  # lines of a file of answers taken over


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


class SettlingWriter(MapWriter):
    """Collects all requests, decides, then writes the maps of what is taken over and of what is asked."""

    def settle(self, scope: str, endpoint: str, *, share: bool, finals: Iterable[Settled]) -> None:
        """Give every request its draw and key, and find the answers there are."""
        draw, leader = f"row_number() OVER (PARTITION BY body_sha256 {ROW_ORDER})", "custom_id"
        if share:  # between rows and conditions; replicates are there to be draws of their own
            draw = "dense_rank() OVER (PARTITION BY body_sha256 ORDER BY replicate)"
            leader = f"first_value(custom_id) OVER (PARTITION BY body_sha256, replicate {ROW_ORDER})"
        self._con.execute(
            f"CREATE TABLE keyed AS SELECT * EXCLUDE (shard, line), {KEY} AS request_key FROM "
            f"(SELECT *, {draw} AS draw, {leader} AS {ASKED_AS} FROM built)",
            key_values(scope, endpoint),
        )
        self._con.execute(
            "CREATE TABLE final (request_key VARCHAR, theirs VARCHAR, run INTEGER, round INTEGER, shard INTEGER)"
        )
        for final in finals:
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
        self._con.execute("CREATE TABLE placed (custom_id VARCHAR, round INTEGER, shard INTEGER, line INTEGER)")

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
        """Write the map of each round that has requests. Returns what `MapWriter.finish` does."""
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
        return self.counted()
