"""Cutting requests into the files that travel: at the limits of the API, never over them, each hashed."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from batchflow.errors import SetupError
from batchflow.files import ShardFile
from batchflow.plan.folder import RunFolder
from batchflow.plan.lines import HEAD, Lines


class Shard(NamedTuple):
    """A finished request file. requests: those that its lines answer; more than `lines` where one serves several."""

    number: int
    requests: int
    lines: int
    bytes: int
    sha256: str


MOST_INPUTS: Final = 50_000  # of all requests of a batch together, by OpenAI


class Place(NamedTuple):
    """Where a line was put; both count from 1."""

    shard: int
    line: int


class Span(NamedTuple):
    """Where lines that follow one another were put: the shard, the first of them in it (from 1), how many."""

    shard: int
    line: int
    lines: int


@dataclass(slots=True)
class _Open:
    """A file that still takes lines."""

    number: int
    file: ShardFile
    lines: int = 0
    requests: int = 0
    inputs: int = 0


class ShardCutter:
    """Writes the lines of one round into as few files as the limits allow, in their order; lines of different groups
    never into the same file.
    """

    def __init__(self, folder: RunFolder, round_: int, *, requests: int, bytes_: int) -> None:
        self._folder, self._round = folder, round_
        self._most_lines, self._most_bytes = requests, bytes_
        self._open: dict[str, _Open] = {}
        self._count = 0
        self.finished: list[Shard] = []

    def add(self, line: bytes, *, group: str = "", serves: int = 1, inputs: int = 1) -> Place:
        """Put a line, newline included, into the current file of its group or a new one. A line longer than a file may
        be must have been refused before. serves: how many requests it answers; inputs: how many texts it brings.
        """
        current = self._room(group, len(line), inputs)
        current.file.write(line)
        current.lines += 1
        current.requests += serves
        current.inputs += inputs
        return Place(current.number, current.lines)

    def add_all(self, lines: Lines, *, group: str = "", inputs: Sequence[int] = ()) -> Iterator[Span]:
        """Put many lines of one group, each of which answers one request; the same files as one by one. inputs: how
        many texts each brings, where that is not one.
        """
        sizes, start = lines.sizes, 0
        while start < lines.requests:
            current = self._room(group, sizes[start], inputs[start] if inputs else 1)
            most = self._most_lines - current.lines
            fit = _fitting(sizes[start : start + most], self._most_bytes - current.file.bytes)
            brought = inputs[start : start + fit] or [1] * fit
            fit = max(1, _fitting(brought, MOST_INPUTS - current.inputs))  # what is too large for any file was refused
            current.file.write(lines.joined(start, start + fit))
            yield Span(current.number, current.lines + 1, fit)
            current.lines += fit
            current.requests += fit
            current.inputs += sum(brought[:fit])
            start += fit

    def _room(self, group: str, size: int, inputs: int) -> _Open:
        """The file of a group that takes a line of this size: the current one, or a new one."""
        current = self._open.get(group)
        if current is not None and (
            current.lines >= self._most_lines
            or current.file.bytes + size > self._most_bytes
            or current.inputs + inputs > MOST_INPUTS
        ):
            self._close(group)
            current = None
        if current is None:
            self._count += 1
            path = self._folder.shard(shard_name(self._round, self._count))
            current = self._open[group] = _Open(self._count, ShardFile(path))
        return current

    def close(self) -> list[Shard]:
        """Publish the open files; returns all of them in order."""
        for group in list(self._open):
            self._close(group)
        return sorted(self.finished, key=lambda shard: shard.number)

    def _close(self, group: str) -> None:
        done = self._open.pop(group)
        digest = done.file.close()
        self.finished.append(Shard(done.number, done.requests, done.lines, done.file.bytes, digest))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for done in self._open.values():
            done.file.discard()


def _fitting(sizes: Sequence[int], room: int) -> int:
    """How many of these, in their order, fit."""
    return len(sizes) if sum(sizes) <= room else bisect_right(list(accumulate(sizes)), room)


def custom_id_of(line: bytes) -> str:
    """The custom_id of a request line of ours, which always begins with it."""
    return line[len(HEAD) : line.index(b'"', len(HEAD))].decode("ascii")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What reads the lines of a request file, within: raises SetupError where it meets one that is not ours."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(
            f"{path} is not the request file that was built",
            hint="request files are written once and never edited: put the file back from a backup",
        ) from error


def row_of(custom_id: str) -> int:
    """The number of the row that a custom_id of ours asks."""
    return int(custom_id.partition("-")[0])


def condition_of(custom_id: str) -> int:
    """The number of the condition under which it does."""
    return int(custom_id.split("-", 2)[1])


def shard_ids(path: Path) -> Iterator[str]:
    """The custom_ids of a request file, in the order of its lines."""
    with readable(path), path.open("rb") as handle:
        yield from map(custom_id_of, handle)


def shard_name(round_: int, number: int) -> str:
    return f"r{round_}-{number:05d}"
