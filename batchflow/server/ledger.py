"""The account of what was executed: every line of every batch, its draw, its fate; and the audit read from it.

A line is `waiting` until its result is committed together with its fate; an executed line can never be executed again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from batchflow.server.store import Store, StoredBatch
from batchflow.server.synchronous import Asked

_ORDINAL_BITS: Final = 20  # a batch holds at most 50,000 rows


class Fate(IntEnum):
    """Only an executed line is billed; a faulted one got an error instead of being executed."""

    WAITING = 0
    EXECUTED = 1
    FAULTED = 2


@dataclass(frozen=True, slots=True)
class Executed:
    """What became of one line: its fate, its result lines (none, one or several) and the file they go to."""

    ordinal: int
    fate: Fate
    to_error: bool
    content: bytes
    prompt_tokens: int = 0
    completion_tokens: int = 0


def _key(batch: StoredBatch, ordinal: int) -> int:
    return (batch.number << _ORDINAL_BITS) | ordinal


class Ledger:
    """Lines and results in the store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(
        self, batch: StoredBatch, lines: Iterable[tuple[int, str, str]], *, accept_doubled: bool = False
    ) -> set[int]:
        """Take in lines (ordinal, custom_id, sha256 of the body); returns the ordinals whose custom_id was known and
        that were left out for it.
        """
        doubled: set[int] = set()
        with self.store.transaction() as connection:
            for ordinal, custom_id, body_sha256 in lines:
                body = bytes.fromhex(body_sha256)
                same = connection.execute(
                    "SELECT 1 FROM lines WHERE batch = ? AND custom_id = ?", (batch.number, custom_id)
                )
                if not accept_doubled and same.fetchone() is not None:
                    doubled.add(ordinal)
                    continue
                connection.execute(
                    "INSERT INTO lines(key, batch, custom_id, body, draw) VALUES (?, ?, ?, ?, "
                    "1 + coalesce((SELECT max(draw) FROM lines WHERE batch = ? AND body = ?), 0))",
                    (_key(batch, ordinal), batch.number, custom_id, body, batch.number, body),
                )
        return doubled

    def draws(self, batch: StoredBatch, first: int, count: int) -> list[int]:
        """The draws of `count` lines from ordinal `first` on."""
        query = "SELECT draw FROM lines WHERE key >= ? AND key < ? ORDER BY key"
        return [row[0] for row in self.store.rows(query, (_key(batch, first), _key(batch, first + count)))]

    def record(self, batch: StoredBatch, executed: Sequence[Executed]) -> None:
        """Commit results, fates and the batch's counts together."""
        with self.store.transaction() as connection:
            connection.executemany(
                "INSERT INTO results VALUES (?, ?, ?)",
                [(_key(batch, row.ordinal), row.to_error, row.content) for row in executed],
            )
            marked = connection.executemany(
                "UPDATE lines SET state = ? WHERE key = ? AND state = 0",
                [(row.fate, _key(batch, row.ordinal)) for row in executed],
            )
            if marked.rowcount != len(executed):
                raise AssertionError(f"a line of {batch.id} was to be executed twice")
            connection.execute(
                "UPDATE batches SET line = ?, offset = ?, next = ?, completed = completed + ?, failed = failed + ?, "
                "prompt_tokens = prompt_tokens + ?, completion_tokens = completion_tokens + ? WHERE number = ?",
                (
                    batch.line,
                    batch.offset,
                    batch.next,
                    sum(row.fate == Fate.EXECUTED for row in executed),
                    sum(row.fate == Fate.FAULTED for row in executed),
                    sum(row.prompt_tokens for row in executed),
                    sum(row.completion_tokens for row in executed),
                    batch.number,
                ),
            )

    def result(self, batch: StoredBatch, ordinal: int) -> tuple[bool, bytes] | None:
        """(goes to the error file, result lines) of a line; None if it was never reached."""
        found = self.store.rows("SELECT to_error, content FROM results WHERE key = ?", (_key(batch, ordinal),))
        return (bool(found[0][0]), found[0][1]) if found else None

    def rows_executed(self) -> int:
        """Rows of all batches that were executed, and are billed."""
        return self._lines_of(Fate.EXECUTED)

    def custom_id(self, batch: StoredBatch, ordinal: int) -> str:
        return str(self.store.rows("SELECT custom_id FROM lines WHERE key = ?", (_key(batch, ordinal),))[0][0])

    def forget_lines(self, batch: StoredBatch) -> None:
        """A batch that failed validation executed nothing."""
        self.store.write("DELETE FROM lines WHERE batch = ?", (batch.number,))

    def forget_results(self, batch: StoredBatch) -> None:
        """The results stand in files now; the account of them stays."""
        self.store.write(
            "DELETE FROM results WHERE key >= ? AND key < ?", (_key(batch, 0), _key(batch, 0) + (1 << _ORDINAL_BITS))
        )

    def audit(self, *, detail: bool = False) -> dict[str, Any]:
        """What was called, executed and billed since the store was created."""
        executed, faulted = (self._lines_of(fate) for fate in (Fate.EXECUTED, Fate.FAULTED))
        return {
            "executions": {
                "rows": executed,
                "faulted": faulted,
                "by_custom_id": self._counts("custom_id", detail=detail),
                "by_body": self._counts("lower(hex(body))", detail=detail),
            },
            "calls": dict(self.store.rows("SELECT route, n FROM calls ORDER BY route")),
            "batches": list(self._batches()),
            "problems": [
                {"problem": problem, "detail": detail, "times": times}
                for problem, detail, times in self.store.rows("SELECT * FROM problems ORDER BY problem, detail")
            ],
            "billed": {"requests": executed},
            "synchronous": Asked(self.store).account(),
        }

    def _lines_of(self, fate: Fate) -> int:
        return int(self.store.rows("SELECT count(*) FROM lines WHERE state = ?", (fate,))[0][0])

    def _counts(self, column: str, *, detail: bool) -> dict[str, Any]:
        grouped = f"SELECT {column} AS name, count(*) AS n FROM lines WHERE state = 1 GROUP BY 1"  # noqa: S608 - own column names
        most = self.store.rows(f"SELECT coalesce(max(n), 0) FROM ({grouped})")[0][0]  # noqa: S608 - as above
        counts: dict[str, Any] = {"max": most, "more_than_once": dict(self.store.rows(f"{grouped} HAVING n > 1"))}
        if detail:
            counts["all"] = dict(self.store.rows(grouped))
        return counts

    def _batches(self) -> Iterator[dict[str, Any]]:
        for batch in self.store.all_batches():
            yield {
                "id": batch.id,
                "status": batch.status,
                "input_file_id": batch.input_file_id,
                "metadata": batch.labels,
                "rows_executed": batch.completed,
            }
