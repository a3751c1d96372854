"""What the server remembers: projects' files and batches, calls counted, in one SQLite file that one process holds.

Durable against the death of the process (WAL, synchronous=NORMAL), not against a power cut: nothing here costs money.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchflow import clock, files
from batchflow.errors import SetupError

LAYOUT: Final = 2
UNFINISHED: Final = ("validating", "in_progress", "finalizing", "cancelling")

_DETAILS: Final = 100  # different details that are kept of one problem
_MOMENTS: Final = (
    "created",
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS calls(route TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files(
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL, bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER, filename TEXT NOT NULL, purpose TEXT NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS batches(
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL, endpoint TEXT NOT NULL,
  input_file_id TEXT NOT NULL, completion_window TEXT NOT NULL, metadata TEXT, output_seconds INTEGER,
  created REAL NOT NULL, expires REAL NOT NULL, status TEXT NOT NULL DEFAULT 'validating', model TEXT, errors TEXT,
  line INTEGER NOT NULL DEFAULT 0, offset INTEGER NOT NULL DEFAULT 0, rows INTEGER NOT NULL DEFAULT 0,
  bytes_asked INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 1,
  completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
  output_file_id TEXT, error_file_id TEXT, in_progress_at REAL, finalizing_at REAL, completed_at REAL, failed_at REAL,
  expired_at REAL, cancelling_at REAL, cancelled_at REAL, faults TEXT);
CREATE INDEX IF NOT EXISTS batches_open ON batches(number) WHERE status IN
  ('validating', 'in_progress', 'finalizing', 'cancelling');
CREATE TABLE IF NOT EXISTS lines(
  key INTEGER PRIMARY KEY, batch INTEGER NOT NULL, custom_id TEXT NOT NULL, body BLOB NOT NULL, draw INTEGER NOT NULL,
  state INTEGER NOT NULL DEFAULT 0);
DROP INDEX IF EXISTS lines_custom_id;
CREATE INDEX IF NOT EXISTS lines_ids ON lines(batch, custom_id);
CREATE INDEX IF NOT EXISTS lines_draw ON lines(batch, body, draw);
CREATE TABLE IF NOT EXISTS moments(latest REAL NOT NULL);
CREATE TABLE IF NOT EXISTS problems(
  problem TEXT NOT NULL, detail TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(problem, detail)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results(key INTEGER PRIMARY KEY, to_error INTEGER NOT NULL, content BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a project; `number` is its place in the order of creation."""

    number: int
    id: str
    project: str
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    deleted: int


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch of a project. `number` is its ordinal since the store was created; times are unix seconds;
    line, offset, rows, bytes_asked tell how far its file was read, `next` is the ordinal of the next row;
    faults = its own, as the client wrote them.
    """

    number: int
    id: str
    project: str
    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: str | None
    output_seconds: int | None
    created: float
    expires: float
    status: str
    model: str | None
    errors: str | None
    line: int
    offset: int
    rows: int
    bytes_asked: int
    total: int
    next: int
    completed: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    output_file_id: str | None
    error_file_id: str | None
    in_progress_at: float | None
    finalizing_at: float | None
    completed_at: float | None
    failed_at: float | None
    expired_at: float | None
    cancelling_at: float | None
    cancelled_at: float | None
    faults: str | None

    @property
    def problems(self) -> list[dict[str, Any]]:
        """The validation errors found so far, as the API shows them."""
        return list(json.loads(self.errors)) if self.errors else []

    @property
    def labels(self) -> dict[str, str] | None:
        """The metadata, as it was given."""
        return dict(json.loads(self.metadata)) if self.metadata is not None else None


def _check_layout(connection: sqlite3.Connection, folder: Path) -> None:
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout not in {0, LAYOUT}:
        raise SetupError(
            f"the store {folder} was written by another version of batchflow (layout {layout})",
            hint="name an empty folder with --store",
        )


class Store:
    """The SQLite file and the folder of files. Safe to use from several threads: one connection, one lock."""

    def __init__(self, folder: Path, speed: float = 1.0) -> None:
        self.folder = files.make_folder(folder, private=True)
        self.files = files.make_folder(folder / "files", private=True)
        self._lock = threading.RLock()
        self._connection = self._open(folder / "batches.sqlite")
        self._forget_strays()
        # a fast clock is ahead of ours: after a restart it goes on where it was, and nothing lies in its future
        self.clock = clock.Clock(speed, max(clock.unix(), self._latest()))
        self._kept = clock.monotonic()

    def _latest(self) -> float:
        """The latest moment that this store knows of."""
        queries = ["SELECT max(latest) FROM moments", "SELECT max(created_at) FROM files"]
        queries += [f"SELECT max({name}) FROM batches" for name in _MOMENTS]  # noqa: S608 - own column names
        return max(self.rows(query)[0][0] or 0.0 for query in queries)

    def keep_moment(self, *, at_once: bool = False) -> None:
        """Remember the time of a clock that is fast, each second of ours: it must not go back after a restart."""
        now = clock.monotonic()
        if self.clock.speed != 1.0 and (at_once or now - self._kept >= 1.0):
            self._kept = now
            with self.transaction() as connection:
                connection.execute("DELETE FROM moments")
                connection.execute("INSERT INTO moments VALUES (?)", (self.clock.unix(),))

    def _open(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            _check_layout(connection, self.folder)
            connection.executescript(_SCHEMA + f"PRAGMA user_version={LAYOUT};")
        except sqlite3.DatabaseError as error:
            connection.close()
            raise SetupError(
                f"the store {self.folder} cannot be used: {error}",
                hint="another `batchflow serve` may hold it: end that one, or name another folder with --store",
            ) from error
        except SetupError:
            connection.close()
            raise
        return connection

    def _forget_strays(self) -> None:
        """Delete what a killed server left: half-written files, and files that no record names."""
        files.sweep(self.files)
        known = {row[0] for row in self.rows("SELECT id FROM files")}
        for path in self.files.iterdir():
            if path.name not in known:
                path.unlink()

    def close(self) -> None:
        self.keep_moment(at_once=True)
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; other threads wait. One within another joins it."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def write(self, statement: str, values: Sequence[Any] = ()) -> int:
        """One statement by itself; returns the number of rows it changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def count_call(self, route: str) -> int:
        """Count one call; returns its ordinal among the calls of this route since the store was created."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO calls VALUES (?, 0)", (route,))
            connection.execute("UPDATE calls SET n = n + 1 WHERE route = ?", (route,))
            return int(connection.execute("SELECT n FROM calls WHERE route = ?", (route,)).fetchone()[0])

    def count_problem(self, problem: str, detail: str) -> None:
        """Remember what was seen once more; beyond a number of different details, without its detail."""
        with self.transaction() as connection:
            count = connection.execute("SELECT count(*) FROM problems WHERE problem = ?", (problem,)).fetchone()[0]
            known = connection.execute("SELECT 1 FROM problems WHERE (problem, detail) = (?, ?)", (problem, detail))
            named = detail if count < _DETAILS or known.fetchone() else "others"
            connection.execute("INSERT OR IGNORE INTO problems VALUES (?, ?, 0)", (problem, named))
            connection.execute("UPDATE problems SET n = n + 1 WHERE (problem, detail) = (?, ?)", (problem, named))

    def path_of(self, file_id: str) -> Path:
        return self.files / file_id

    def add_file(
        self, file_id: str, project: str, *, size: int, created: int, expires: int | None, filename: str, purpose: str
    ) -> StoredFile:
        self.write(
            "INSERT INTO files(id, project, bytes, created_at, expires_at, filename, purpose) VALUES (?,?,?,?,?,?,?)",
            (file_id, project, size, created, expires, filename, purpose),
        )
        return StoredFile(*self.rows("SELECT * FROM files WHERE id = ?", (file_id,))[0])

    def file(self, project: str, file_id: str, now: float) -> StoredFile | None:
        """A file that this project may still see."""
        found = self.rows(
            "SELECT * FROM files WHERE id = ? AND project = ? AND NOT deleted AND coalesce(expires_at, ?) >= ?",
            (file_id, project, now, now),
        )
        return StoredFile(*found[0]) if found else None

    def list_files(
        self, project: str, *, purpose: str | None, after: int | None, newest_first: bool, limit: int, now: float
    ) -> list[StoredFile]:
        comparison, order = ("<", "DESC") if newest_first else (">", "ASC")
        query = "SELECT * FROM files WHERE project = ? AND NOT deleted AND coalesce(expires_at, ?) >= ?"
        values: list[Any] = [project, now, now]
        if purpose is not None:
            query += " AND purpose = ?"
            values.append(purpose)
        if after is not None:
            query += f" AND number {comparison} ?"
            values.append(after)
        query += f" ORDER BY number {order} LIMIT ?"
        return [StoredFile(*row) for row in self.rows(query, [*values, limit])]

    def delete_file(self, file_id: str) -> None:
        """Forget the file at once; its bytes stay until no open batch reads them."""
        self.write("UPDATE files SET deleted = 1 WHERE id = ?", (file_id,))
        self.drop_bytes(file_id)

    def drop_bytes(self, file_id: str) -> None:
        """Remove the bytes of a deleted file unless an open batch still reads them."""
        deleted = self.rows("SELECT 1 FROM files WHERE id = ? AND deleted", (file_id,))
        if deleted and not any(batch.input_file_id == file_id for batch in self.open_batches()):
            self.path_of(file_id).unlink(missing_ok=True)

    def add_batch(self, values: dict[str, Any]) -> StoredBatch:
        columns = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        self.write(f"INSERT INTO batches({columns}) VALUES ({marks})", list(values.values()))  # noqa: S608 - own column names
        return StoredBatch(*self.rows("SELECT * FROM batches WHERE id = ?", (values["id"],))[0])

    def batch(self, project: str, batch_id: str) -> StoredBatch | None:
        found = self.rows("SELECT * FROM batches WHERE id = ? AND project = ?", (batch_id, project))
        return StoredBatch(*found[0]) if found else None

    @property
    def opened(self) -> float:
        """When the first batch was made; 0 before."""
        return float(self.rows("SELECT coalesce(min(created), 0) FROM batches")[0][0])

    def batches_of_file(self, identity: str) -> list[StoredBatch]:
        """The batches that read this file, or wrote it."""
        query = "SELECT * FROM batches WHERE input_file_id = ? OR output_file_id = ? OR error_file_id = ?"
        return [StoredBatch(*row) for row in self.rows(query, [identity] * 3)]

    def open_batches(self) -> list[StoredBatch]:
        marks = ", ".join(f"'{status}'" for status in UNFINISHED)
        query = f"SELECT * FROM batches WHERE status IN ({marks}) ORDER BY number"  # noqa: S608 - own constants
        return [StoredBatch(*row) for row in self.rows(query)]

    def all_batches(self) -> list[StoredBatch]:
        return [StoredBatch(*row) for row in self.rows("SELECT * FROM batches ORDER BY number")]

    def batches_since(self, moment: float) -> list[tuple[int, float]]:
        """(number, created) of the batches created after a moment."""
        return [
            (row[0], row[1]) for row in self.rows("SELECT number, created FROM batches WHERE created > ?", (moment,))
        ]

    def list_batches(self, project: str, *, before: int | None, hidden: set[int], limit: int) -> list[StoredBatch]:
        """Newest first, from below the number `before` on."""
        query = "SELECT * FROM batches WHERE project = ? AND number < ?"
        query += f" AND number NOT IN ({', '.join(map(str, hidden))})" if hidden else ""
        query += " ORDER BY number DESC LIMIT ?"
        ceiling = before if before is not None else 2**62
        return [StoredBatch(*row) for row in self.rows(query, (project, ceiling, limit))]

    def update_batch(self, batch: StoredBatch, **changes: Any) -> bool:
        """Change a batch if its status is still the one that was read; False if somebody was faster."""
        columns = ", ".join(f"{name} = ?" for name in changes)
        statement = f"UPDATE batches SET {columns} WHERE number = ? AND status = ?"  # noqa: S608 - own column names
        return self.write(statement, [*changes.values(), batch.number, batch.status]) == 1
