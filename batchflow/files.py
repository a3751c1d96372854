"""Files that are whole or absent. The only module of ours that opens a file for writing.

Libraries that write by themselves (DuckDB, the SDK) get the temporary name handed out here and are published the same
way: temporary name, fsync, rename, fsync of the folder.
"""

import atexit
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from batchflow.errors import SetupError

PART = ".part"  # every temporary name ends so; whatever ends so may be deleted


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """An OSError while writing, as an error that a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise SetupError(
                f"no space left for {path}", hint="free some space and run the same command again"
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise SetupError(
                f"{path} cannot be written: {error.strerror}", hint="check the rights of the folder"
            ) from error
        raise


def make_folder(path: Path, *, private: bool = False) -> Path:
    """Create the folder and its parents; private = readable by its owner only."""
    with explained(path):
        path.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
    return path


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temporary_for(path: Path) -> Path:
    """A fresh name beside the final one, for a library that writes the file itself; then `publish` it."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}{PART}")


def publish(temporary: Path, final: Path) -> None:
    """Make a complete temporary file appear under its final name, durably."""
    with explained(final):
        handle = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(final)
        sync_folder(final.parent)


def publish_folder(temporary: Path, final: Path) -> None:
    """Make a complete folder appear under its final name, durably; the final name must be free."""
    with explained(final):
        for folder, _, names in os.walk(temporary):
            for name in names:
                handle = os.open(Path(folder) / name, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
            sync_folder(Path(folder))
        temporary.rename(final)
        sync_folder(final.parent)


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """An open binary file that appears as `path` when the block ends without an error, and leaves nothing otherwise."""
    temporary = temporary_for(path)
    try:
        with explained(path), temporary.open("x+b") as handle:
            yield handle
        publish(temporary, path)
    except BaseException:
        with suppress(OSError):  # where nothing could be written nothing need be removed
            temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace a file by the content, whole or not at all, durably."""
    with atomic_writer(path) as handle:
        if mode is not None:
            os.fchmod(handle.fileno(), mode)
        handle.write(content)


def replace_unsynced(path: Path, content: bytes) -> None:
    """Replace a file whole, without waiting for the disk: for what holds no truth (progress)."""
    temporary = temporary_for(path)
    with explained(path):
        temporary.write_bytes(content)
        temporary.replace(path)


class ShardFile:
    """A file that is written in pieces and hashed on the way; appears under its final name at `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._sha256 = hashlib.sha256()
        self._temporary = temporary_for(path)
        with explained(path):
            self._handle = self._temporary.open("xb")

    def write(self, content: bytes) -> None:
        with explained(self.path):
            self._handle.write(content)
        self._sha256.update(content)
        self.bytes += len(content)

    def close(self) -> str:
        """Publish the file; returns its sha256 in hex."""
        with explained(self.path):
            self._handle.close()
        publish(self._temporary, self.path)
        return self._sha256.hexdigest()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._handle.close()
        self._temporary.unlink(missing_ok=True)


class SpoolFile:
    """A scratch file, written in pieces, that nobody needs after a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._handle = path.open("xb")

    def write(self, content: bytes) -> None:
        with explained(self.path):
            self._handle.write(content)

    def close(self) -> None:
        """What was written can be read from here on."""
        with explained(self.path):
            self._handle.close()


class AppendFile:
    """A file that only grows, each append durable before it returns.

    `length` is what this writer knows to be there; `foreign_growth` tells whether somebody else wrote.
    """

    def __init__(self, path: Path, *, length: int) -> None:
        self.path = path
        self.length = length
        with explained(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.lseek(self._handle, length, os.SEEK_SET)
        self._lock = threading.Lock()  # an append is no foreign growth to a thread that looks in the middle of it

    def foreign_growth(self) -> bool:
        """Whether somebody else wrote, or put another file in its place. Any thread may ask."""
        with self._lock:
            return self._grew()

    def _grew(self) -> bool:
        ours = os.fstat(self._handle)
        try:
            there = os.stat(self.path).st_ino  # noqa: PTH116 - before every append, at half the cost
        except FileNotFoundError:
            return True
        return ours.st_size != self.length or there != ours.st_ino

    def truncate(self, length: int) -> None:
        os.ftruncate(self._handle, length)
        os.fsync(self._handle)
        self.length = length

    def append(self, content: bytes) -> bool:
        """Write and fdatasync; False, and nothing is written, where somebody else wrote. On any failure the file is cut
        back to what it was and the error is raised.
        """
        with self._lock:
            if self._grew():  # seen just before the write, which would go over what is there
                return False
            try:
                written = 0
                while written < len(content):
                    written += os.pwrite(self._handle, content[written:], self.length + written)
                _datasync(self._handle)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._handle, self.length)
                raise
            self.length += len(content)
            return True

    def write_torn(self, content: bytes) -> None:
        """Write without sync or book-keeping: what a crash in the middle of an append leaves (failpoints only)."""
        os.pwrite(self._handle, content, self.length)

    def close(self) -> None:
        os.close(self._handle)


def _datasync(handle: int) -> None:
    # macOS has no fdatasync
    getattr(os, "fdatasync", os.fsync)(handle)


class FileLock:
    """An advisory lock that dies with its process (flock), held while open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """True if the lock is ours now; False if another process holds it. Never waits."""
        with explained(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def log_handle(path: Path) -> BinaryIO:
    """A file that another process of ours writes its own words to; replaced at every start, private."""
    with explained(path):
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex, in constant memory."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def copy_in(source: Path, target: Path) -> None:
    """An exact copy, whole or absent."""
    with source.open("rb") as reader, atomic_writer(target) as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)


def remove_folder(path: Path) -> None:
    """Delete a folder of ours; renamed first, so that a crash never leaves half of it under its name."""
    doomed = path.with_name(f".{path.name}.{os.urandom(4).hex()}{PART}")
    with explained(path), suppress(FileNotFoundError):
        path.rename(doomed)
        shutil.rmtree(doomed)


def sweep(folder: Path) -> None:
    """Delete what crashed writers left under temporary names directly in this folder."""
    for leftover in folder.glob(f".*{PART}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """A private folder that is gone when the block ends; in the system's place for such, or beside a path."""
    hidden, suffix = ("", "") if beside is None else (".", PART)
    with tempfile.TemporaryDirectory(prefix=f"{hidden}batchflow-", suffix=suffix, dir=beside) as name:
        yield Path(name)


def scratch_until_exit() -> tuple[Path, Callable[[], None]]:
    """A private folder for what is perhaps never closed, and what removes it, as the program's end does."""
    path = Path(tempfile.mkdtemp(prefix="batchflow-"))
    remove = partial(shutil.rmtree, path, ignore_errors=True)
    atexit.register(remove)

    def at_once() -> None:
        atexit.unregister(remove)
        remove()

    return path, at_once


def free_bytes(path: Path) -> int:
    """Bytes free for us on the disk that holds the path."""
    return shutil.disk_usage(path).free
