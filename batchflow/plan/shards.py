"""Cutting requests into the files that travel: at both limits of the API, never over them, each hashed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from batchflow.files import ShardFile
from batchflow.plan.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished request file."""

    number: int
    requests: int
    bytes: int
    sha256: str


class Place(NamedTuple):
    """Where a line was put; both count from 1."""

    shard: int
    line: int


class ShardCutter:
    """Writes the lines of one round into as few files as the limits allow, in their order."""

    def __init__(self, folder: RunFolder, round_: int, *, requests: int, bytes_: int) -> None:
        self._folder, self._round = folder, round_
        self._most_requests, self._most_bytes = requests, bytes_
        self._file: ShardFile | None = None
        self._lines = 0
        self.finished: list[Shard] = []

    def add(self, line: bytes) -> Place:
        """Put a line, newline included, into the current file or a new one. A line longer than a file may be must have
        been refused before.
        """
        if self._file is not None and (
            self._lines >= self._most_requests or self._file.bytes + len(line) > self._most_bytes
        ):
            self._close()
        if self._file is None:
            self._file = ShardFile(self._path())
        self._file.write(line)
        self._lines += 1
        return Place(len(self.finished) + 1, self._lines)

    def close(self) -> list[Shard]:
        """Publish the last file; returns all of them."""
        if self._file is not None:
            self._close()
        return self.finished

    def _path(self) -> Path:
        return self._folder.shard(shard_name(self._round, len(self.finished) + 1))

    def _close(self) -> None:
        file = self._file
        if file is not None:
            digest = file.close()
            self.finished.append(Shard(len(self.finished) + 1, self._lines, file.bytes, digest))
        self._file, self._lines = None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.discard()


_HEAD = b'{"custom_id":"'


def custom_id_of(line: bytes) -> str:
    """The custom_id of a request line of ours, which always begins with it."""
    return line[len(_HEAD) : line.index(b'"', len(_HEAD))].decode("ascii")


def shard_ids(path: Path) -> Iterator[str]:
    """The custom_ids of a request file, in the order of its lines."""
    with path.open("rb") as handle:
        yield from map(custom_id_of, handle)


def shard_name(round_: int, number: int) -> str:
    return f"r{round_}-{number:05d}"
