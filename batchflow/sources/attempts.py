"""What became of requests in each of the rounds that asked them, and what of that is to be asked again. Kept in DuckDB,
out of memory where it must be.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batchflow.sources.database import parquet
from batchflow.sources.maps import Gathering, asked_as

if TYPE_CHECKING:
    pass


class Attempt(NamedTuple):
    """A request line in one round: its outcome there, whether that is final, and how many requests the line answers."""

    custom_id: str
    outcome: str
    final: bool
    serves: int


class Place(NamedTuple):
    """A request file."""

    round: int
    shard: int


class Attempts(Gathering):
    """Collects attempts, then chooses. A request's outcome is its newest final one; it is owed where there is none."""

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE attempts (custom_id VARCHAR, outcome VARCHAR, final BOOLEAN, serves BIGINT, round INTEGER, "
            "shard INTEGER)"
        )

    def add(self, place: Place, attempts: Iterable[Attempt]) -> None:
        rows = [(*attempt, *place) for attempt in attempts]
        with self._con.appender("attempts") as appender:
            appender.append_rows(rows)

    def add_settled(self, path: Path, round_: int, shards: Sequence[int]) -> None:
        """Shards of a map of which every request has a final outcome that nobody asks for."""
        numbers = ", ".join(str(int(number)) for number in shards)
        self._con.execute(
            f"INSERT INTO attempts SELECT DISTINCT {asked_as(self._con, path)}, '', true, 1, {round_:d}, shard "
            f"FROM {parquet(path)} WHERE list_contains([{numbers}]::INTEGER[], shard)"
        )

    def choose(self, outcomes: Collection[str]) -> None:
        """Choose what is owed, and what has one of these final outcomes."""
        self._con.execute(
            "CREATE TABLE chosen AS SELECT custom_id, max_by(outcome, round) FILTER (final) AS earlier, "
            "coalesce(max(round) FILTER (final) = 0, false) AS taken, max_by(outcome, round) AS newest, "
            "max_by(serves, round) AS serves, max_by(shard, round) AS shard, max(round) AS round "
            "FROM attempts GROUP BY custom_id "
            "HAVING NOT bool_or(final) OR list_contains(?, max_by(outcome, round) FILTER (final))",
            [list(outcomes)],
        )

    def places(self) -> Iterator[Place]:
        """The files that hold what is chosen, in order."""
        rows = self._con.execute("SELECT DISTINCT round, shard FROM chosen ORDER BY ALL").fetchall()
        return (Place(*row) for row in rows)

    def of(self, place: Place) -> dict[str, tuple[str | None, bool]]:
        """What is chosen of one file: custom_id -> its earlier final outcome, None where it is owed, and whether
        another run had bought that.
        """
        query = "SELECT custom_id, earlier, taken FROM chosen WHERE round = ? AND shard = ?"
        rows = self._con.execute(query, list(place)).fetchall()
        return {custom_id: (earlier, taken) for custom_id, earlier, taken in rows}

    def leave(self, ids: Collection[str]) -> None:
        """Take these out of what is chosen; what of it is owed stays owed."""
        self._con.execute("CREATE TABLE IF NOT EXISTS left_aside AS FROM chosen LIMIT 0")
        self._con.execute("CREATE OR REPLACE TABLE unwanted (custom_id VARCHAR)")
        with self._con.appender("unwanted") as appender:
            appender.append_rows([(custom_id,) for custom_id in ids])
        self._con.execute("INSERT INTO left_aside FROM chosen SEMI JOIN unwanted USING (custom_id)")
        self._con.execute("DELETE FROM chosen WHERE custom_id IN (SELECT custom_id FROM unwanted)")

    def again(self) -> dict[str, int]:
        """Requests that are chosen though they have a final outcome, by that outcome."""
        return self._counts("chosen", "earlier")

    def owed(self, *, left: bool = False) -> dict[str, int]:
        """Requests that are chosen because they are owed, by kind. left: those that were left aside."""
        self._con.execute("CREATE TABLE IF NOT EXISTS left_aside AS FROM chosen LIMIT 0")
        return self._counts("left_aside" if left else "chosen", "CASE WHEN earlier IS NULL THEN newest END")

    def _counts(self, table: str, kind: str) -> dict[str, int]:
        rows = self._con.execute(
            f"SELECT kind, sum(serves)::BIGINT FROM (SELECT {kind} AS kind, serves FROM {table}) "
            "WHERE kind IS NOT NULL GROUP BY kind ORDER BY kind"
        ).fetchall()
        return dict(rows)
