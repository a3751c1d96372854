"""The results database as a file: created whole, opened by one writer or by readers, its errors put into plain words.

The file is attached to a private DuckDB in memory, so that it can be told how it is written, whatever its name is.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import duckdb

from batchflow import files
from batchflow.errors import BatchflowError, DatabaseHeld, SetupError, SinkError
from batchflow.sources.database import SETTINGS, literal

STORAGE_VERSION: Final = "v1.2.0"  # what DuckDB 1.2 and later, R included, can read
MEMORY: Final = 64_000_000  # bytes that DuckDB may take before it spills to disk: memory stays flat, however many rows
MOST_MEMORY: Final = 4_000_000_000  # bytes; for texts that are enormous
THREADS: Final = 2  # that read; a second one that writes would add half as much work as it takes away
# Rows that are compressed and written together: at the default of 122,880 a whole shard stays in memory until commit.
ROW_GROUP: Final = 10_240
_CLASHES: Final = "data"  # a file's name is the catalog's name; it must not be that of our schema
_HOLDER: Final = re.compile(r"lock is held in (?P<program>.*?)\s*\(PID (?P<pid>\d+)\)")
_REBUILD: Final = "it holds nothing that is not in the run's folder: move it away and run `batchflow load --rebuild`"
T = TypeVar("T")
# Instances that nobody uses: to make one, and what it knows of catalogs, takes as long as all that a command without
# anything to do asks of one.
_idle: Final[list[duckdb.DuckDBPyConnection]] = []


class Store:
    """An open results database. Not for several threads."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, resources: ExitStack) -> None:
        self.path = path
        self.connection = connection
        self._resources = resources
        self._memory = MEMORY

    def rows(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a small answer, or the count of a change. values: in their order, or by name."""
        given = values if isinstance(values, dict) else list(values)
        return self.connection.execute(query, given).fetchall()

    def number(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> int:
        """The one number that a query answers with."""
        return int(self.rows(query, values)[0][0])

    def make_room(self, wanted: int) -> bool:
        """Let DuckDB take this many bytes; False if it may already."""
        wanted = min(wanted, MOST_MEMORY)
        if wanted <= self._memory:
            return False
        self._memory = wanted
        self.connection.execute(f"SET memory_limit = '{wanted}B'")
        return True

    def with_room(self, work: Callable[[], T]) -> T:
        """Do what may be done again, with more memory each time it does not suffice."""
        while True:
            try:
                return work()
            except (duckdb.Error, SinkError) as error:
                if not (_lacks_memory(error) and self.make_room(4 * self._memory)):
                    raise

    def change(self, work: Callable[[], T]) -> T:
        """A transaction of what may be done again."""

        def attempt() -> T:
            with self.transaction():
                return work()

        return self.with_room(attempt)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing of it."""
        with explained(self.path):
            self.connection.execute("BEGIN")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):
                    self.connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with explained(self.path):
            self._resources.close()


class StoreUser:
    """What works on an open store, and closes it at the end of a `with` block."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_for_writing(path: Path) -> Store:
    """Open the database, created where there is none. Errors: DatabaseHeld, SinkError, SetupError."""
    check_name(path)
    if not path.exists() or path.stat().st_size == 0:
        _create(path)
    store = _attach(path, f"ROW_GROUP_SIZE {ROW_GROUP}")
    store.connection.execute("SET threads = 1")
    return store


def open_for_reading(path: Path) -> Store:
    """Open an existing database beside other readers. Errors: DatabaseHeld, SinkError, SetupError."""
    _must_exist(path)
    return _attach(path, "READ_ONLY")


def open_for_analysis(path: Path) -> Store:
    """The same, with the memory and threads that DuckDB takes by itself; it need not be closed. Errors: the same."""
    _must_exist(path)
    with ExitStack() as opened:
        scratch, remove = files.scratch_until_exit()
        opened.callback(remove)
        instance = _made()  # of its own: what a user still reads from keeps it
        opened.callback(instance.close)
        store = _attached(instance, path, "READ_ONLY", scratch, opened)
        store.connection.execute("RESET memory_limit; RESET threads")
        return store


def _must_exist(path: Path) -> None:
    if not path.exists():
        raise SetupError(
            f"there is no results database {path}", hint="`batchflow load --rebuild` makes it from the run's folder"
        )


def check_name(path: Path) -> None:
    """Refuse a file name under which the views inside could not be read. Errors: SetupError."""
    if path.name.partition(".")[0].lower() == _CLASHES:
        raise SetupError(
            f"a results database cannot be called {path.name}: DuckDB would take its name for the schema `data` in it",
            hint="choose another name in output.database, for example results.duckdb",
        )


def _create(path: Path) -> None:
    """A new database appears under its name complete, in the old storage format, which it then keeps."""
    files.make_folder(path.parent)
    temporary = files.temporary_for(path)
    try:
        with explained(path):
            store = _attach(temporary, f"STORAGE_VERSION '{STORAGE_VERSION}'")
            store.connection.execute("CREATE SCHEMA data")
            store.close()
        # what a killed process left beside a database that is gone belongs to no database
        _log_of(path).unlink(missing_ok=True)
        files.publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _log_of(temporary).unlink(missing_ok=True)


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _attach(path: Path, options: str) -> Store:
    with ExitStack() as opened:
        scratch = opened.enter_context(files.scratch_folder())
        try:
            instance = _idle.pop()
        except IndexError:
            instance = _made()
        opened.callback(_leave, instance)
        return _attached(instance, path, options, scratch, opened)


def _made() -> duckdb.DuckDBPyConnection:
    """Memory for blocks is taken once and used again: given back and fetched anew, it was a third of an export."""
    return duckdb.connect(config={**SETTINGS, "block_allocator_memory": f"{MEMORY}B"})


def _attached(instance: duckdb.DuckDBPyConnection, path: Path, options: str, scratch: Path, opened: ExitStack) -> Store:
    """opened: what is closed with the store, and at once where it cannot be opened. Whatever is ever set for a whole
    instance is set here, each time.
    """
    connection = opened.enter_context(instance.cursor())  # what is temporary is the cursor's own
    connection.execute(
        f"SET memory_limit = '{MEMORY}B'; SET threads = {THREADS}; SET temp_directory = {literal(str(scratch))}; "
        # a commit goes straight into the file: by way of the log it takes twice the memory of its texts
        "SET write_buffer_row_group_count = 1; SET wal_autocheckpoint = '1KB'; SET enable_progress_bar = false"
    )
    with explained(path):
        connection.execute(f"ATTACH {literal(str(path.absolute()))} AS store ({options})")
        connection.execute("USE store")
    return Store(path, connection, opened.pop_all())


def _leave(instance: duckdb.DuckDBPyConnection) -> None:
    """Let go of the database; the instance stays for the next one, unless anything is wrong with it."""
    try:
        instance.execute("DETACH store; SET temp_directory = ''")
    except duckdb.Error:
        instance.close()
    else:
        _idle.append(instance)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """DuckDB's errors as ours: what happened to which file, and the way out."""
    try:
        yield
    except duckdb.Error as error:
        raise _translated(path, error) from error


def _translated(path: Path, error: duckdb.Error) -> BatchflowError:
    text = str(error)
    reason = text.splitlines()[0] if text else type(error).__name__
    if "lock on file" in text or "already attached" in text:
        return _held(path, text)
    if _lacks_memory(error):
        return SinkError(
            f"{path}: DuckDB had not enough memory: {reason}", hint="free memory or disk space, and run again"
        )
    for sign, (kind, what, hint) in _KNOWN.items():
        if sign in text:
            return kind(f"{path} {what}: {reason}", hint=hint)
    return SinkError(f"{path}: {reason}", hint=f"if it stays so: {_REBUILD}")


def _lacks_memory(error: BaseException | None) -> bool:
    if isinstance(error, SinkError):
        error = error.__cause__
    return isinstance(error, duckdb.OutOfMemoryException) or any(sign in str(error) for sign in _NO_MEMORY)


def _held(path: Path, text: str) -> DatabaseHeld:
    found = _HOLDER.search(text)
    if found:
        who = f"{Path(found['program']).name or 'another program'} (process {found['pid']})"
    else:
        who = "this program itself" if "already attached" in text else "another program"
    return DatabaseHeld(f"{path} is held by {who}", hint=f"close the program that holds {path.name} and run again")


_NO_MEMORY: Final = ("failed to pin block", "failed to allocate", "Out of Memory")
_NO_SPACE: Final = (SetupError, "cannot be written, no space is left", "free some space and run again")
_NO_RIGHT: Final = (SetupError, "cannot be opened", "check the rights of the file and its folder")
_DAMAGED: Final = (SinkError, "is no DuckDB database, or a damaged one", _REBUILD)
_KNOWN: Final[Mapping[str, tuple[type[BatchflowError], str, str]]] = {
    "No space left": _NO_SPACE,
    "Disk quota": _NO_SPACE,
    "Permission denied": _NO_RIGHT,
    "Read-only file system": _NO_RIGHT,
    "version number": (SinkError, "was written by a newer DuckDB", f"install a newer duckdb; or, as {_REBUILD}"),
    "Corrupt": _DAMAGED,
    "not a valid DuckDB": _DAMAGED,
    "Could not read": _DAMAGED,
    "Failure while replaying WAL": _DAMAGED,
    "Serialization": _DAMAGED,
}
