"""The journal's file: replayed by anyone, appended to by one writer, never edited.

A torn tail (a crash in the middle of an append) is cut by the next writer; damage anywhere else stops everything.
Before every append the file is compared with what this writer left: foreign growth means another writer.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from batchflow import __version__, failpoints, files
from batchflow.errors import JournalDamaged, RunBusy
from batchflow.journal.events import JOURNAL_VERSION, Event, decode, recorded


class Replay(NamedTuple):
    """What a journal file says: its whole events, and how many of its bytes they are."""

    events: tuple[Event, ...]
    length: int


def replay(path: Path) -> Replay:
    """Read a journal without changing it; a torn tail is left out.

    Raises JournalDamaged if a broken line is followed by a whole one, a sequence number is out of order, or the
    journal was written by a newer version.
    """
    events: list[Event] = []
    length, broken_at = 0, 0
    if not path.is_file():
        raise _damaged(path, 1, "the file is gone")
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            event = _decoded(line)
            if event is None:
                broken_at = broken_at or number
                continue
            if broken_at:
                raise _damaged(path, broken_at, "the line is broken, though whole ones follow")
            if event.seq != len(events):
                raise _damaged(path, number, f"event {event.seq} stands where event {len(events)} belongs")
            events.append(event)
            length += len(line)
            if number == 1:  # before a newer version's kinds look like damage
                _check_version(path, events)
    _check_version(path, events)
    return Replay(tuple(events), length)


def _decoded(line: bytes) -> Event | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return decode(line[:-1])
    except (ValueError, KeyError, TypeError):
        return _foreign_kind(line)


def _foreign_kind(line: bytes) -> Event | None:
    """The header of a newer journal, whose kinds and payloads we may not know but whose version we must see."""
    try:
        record = json.loads(line)
        if record["kind"] == "journal" and int(record["payload"]["version"]) > JOURNAL_VERSION:
            return Event("journal", {"version": record["payload"]["version"], "run": ""}, seq=0)
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _check_version(path: Path, events: Sequence[Event]) -> None:
    if not events or events[0].kind != "journal":
        raise _damaged(path, 1, "the first line is not a journal's")
    version = events[0].payload["version"]
    if version > JOURNAL_VERSION:
        raise JournalDamaged(
            f"{path} was written by a newer batchflow (journal version {version}; known here: {JOURNAL_VERSION})",
            hint="install the newer version to go on with this run; nothing was changed",
        )


def _damaged(path: Path, line: int, cause: str) -> JournalDamaged:
    return JournalDamaged(
        f"the journal {path} is damaged at line {line}: {cause}",
        hint="put the file back from a backup or version of the run's folder. Without one: the answers that were "
        "collected are safe in its responses folder, and batches that still run are in the provider's console; "
        "`batchflow run SPEC --fresh` starts over and buys everything again. Nothing was changed.",
    )


class Journal:
    """The one writer of a run's journal. Open it under the run's lock; every append is durable before it returns."""

    def __init__(self, path: Path, *, count: int = 0, length: int = 0) -> None:
        self.path = path
        self._count = count
        self._file = files.AppendFile(path, length=length)
        self._broken = False

    @classmethod
    def create(cls, path: Path, run: str) -> "Journal":
        journal = cls(path)
        journal.append([Event("journal", {"version": JOURNAL_VERSION, "run": run})])
        return journal

    @classmethod
    def take_over(cls, path: Path) -> tuple["Journal", tuple[Event, ...]]:
        """Become the writer: cut a torn tail, then record who writes from here on. Returns all events as well."""
        found = replay(path)
        journal = cls(path, count=len(found.events), length=found.length)
        if journal.foreign():
            journal._file.truncate(found.length)
        return journal, (*found.events, *journal.append([_writer()]))

    def foreign(self) -> bool:
        """Whether the file is not as this writer left it."""
        return self._file.foreign_growth()

    def check_writer(self) -> None:
        """Raises RunBusy if somebody else wrote since our last append."""
        if self.foreign():
            raise self._busy()

    def _busy(self) -> RunBusy:
        return RunBusy(
            f"another process has written to {self.path}: this one stops at once",
            hint="one process advances a run; look for it on the machines that share this folder",
        )

    def append(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Record events together, durably; returns them as recorded. After a failure nothing is ever appended again."""
        if self._broken:
            raise JournalDamaged(f"an earlier append to {self.path} failed; nothing more is recorded by this process")
        self.check_writer()
        kept = [recorded(event, self._count + offset) for offset, event in enumerate(events)]
        if not kept:
            return ()
        content = b"".join(line for line, _ in kept)
        failpoints.hit("journal.before-append")
        if failpoints.armed("journal.torn-append"):
            self._file.write_torn(content[: len(content) // 2])
            failpoints.die()
        self._broken = True
        with files.explained(self.path):
            alone = self._file.append(content)
        self._broken = False
        if not alone:
            raise self._busy()
        self._count += len(kept)
        failpoints.hit("journal.after-append")
        return tuple(event for _, event in kept)

    def close(self) -> None:
        self._file.close()


def _writer() -> Event:
    import socket  # noqa: PLC0415 - readers need none

    return Event(
        "writer",
        {
            "writer": os.urandom(8).hex(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "boot": _boot_id(),
            "batchflow": __version__,
        },
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # macOS has none
        return ""
