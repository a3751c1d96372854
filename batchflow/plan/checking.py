"""A batch file that somebody has: everything that would make the provider refuse it whole, found before it is sent."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batchflow.errors import DataError, Fault
from batchflow.prompts.check import listed_images

SHOWN_FAULTS: Final = 20
_BOM: Final = b"\xef\xbb\xbf"
_ANEW: Final = "make the file anew with `batchflow make-batch-file`"


@dataclass(frozen=True, slots=True)
class Checked:
    """A sound file. notes: what its author wants to know, though the provider takes the file."""

    requests: int
    notes: tuple[str, ...]


def check(file: Path, *, one_batch: bool = True) -> Checked:
    """Look at every line. one_batch: it is to become one, which has one endpoint and one model.

    Raises DataError with the faults; of a file whose first line is no JSON, one is enough.
    """
    look = _Look(str(file))
    with file.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if number == 1 and line.startswith(_BOM):
                look.fault(
                    1,
                    "the file begins with a byte-order mark: the provider cannot read its first line",
                    "save it as UTF-8 without the mark (`tail -c +4 FILE > NEW.jsonl` cuts it off)",
                )
            if line := line.removeprefix(_BOM if number == 1 else b"").strip():
                look.line(number, line)
    faults, total = look.conclude(one_batch=one_batch)
    if faults:
        raise DataError(faults, total=total)
    return Checked(look.requests, tuple(look.notes()))


@dataclass(slots=True)
class _Members:
    """The values of one member over all lines, of which a batch allows one."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[int]] = field(default_factory=dict)

    def add(self, value: str, number: int) -> None:
        self.counts[value] += 1
        lines = self.places.setdefault(value, [])
        if len(lines) < SHOWN_FAULTS:
            lines.append(number)

    @property
    def usual(self) -> str:
        """What most lines say; the first of equals."""
        return max(self.counts, key=self.counts.__getitem__)

    @property
    def unusual(self) -> int:
        """How many lines say something else."""
        return self.counts.total() - self.counts[self.usual] if self.counts else 0

    def others(self) -> Iterator[tuple[int, str]]:
        """Lines that say something else, and what."""
        for value in self.counts.keys() - {self.usual} if self.counts else ():
            yield from ((number, value) for number in self.places[value])


class _Look:
    """What was seen of a file so far."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._faults: list[Fault] = []
        self._total = 0
        self._seen: set[str] = set()
        self._urls, self._models = _Members(), _Members()
        self._image: tuple[int, str] | None = None
        self._imaged = 0
        self.requests = 0

    def fault(self, number: int | None, cause: str, remedy: str) -> None:
        self._total += 1
        if len(self._faults) < SHOWN_FAULTS:
            self._faults.append(Fault(self._shown, cause, remedy, number))

    def line(self, number: int, line: bytes) -> None:
        self.requests += 1
        cause = self._wrong(number, line)
        if cause:
            self.fault(number, cause, _ANEW)

    def _wrong(self, number: int, line: bytes) -> str:
        """What is wrong with a line; empty for one that is sound."""
        try:
            record: Any = json.loads(line.decode())
            custom_id, url, body = record["custom_id"], record["url"], record["body"]
        except (ValueError, RecursionError) as error:
            if self.requests == 1:
                cause, remedy = (
                    "this is no batch file (a table?)",
                    "`batchflow make-batch-file TEMPLATE DATA` makes one",
                )
                raise DataError([*self._faults, Fault(self._shown, cause, remedy, number)]) from error
            return "the line is not JSON"
        except (KeyError, TypeError):
            return "the line is no request: custom_id, method, url and body belong in it"
        if not isinstance(custom_id, str) or not isinstance(body, dict) or record.get("method") != "POST":
            return "the line is no request: custom_id is a text, method is POST, body an object"
        if custom_id in self._seen:
            return f"the custom_id {custom_id!r} stands in an earlier line as well"
        self._seen.add(custom_id)
        self._urls.add(str(url), number)
        if body.get("model"):
            self._models.add(str(body["model"]), number)
        for note in listed_images(body)[:1]:
            self._image = self._image or (number, note)
            self._imaged += 1
        return ""

    def conclude(self, *, one_batch: bool) -> tuple[list[Fault], int]:
        """The faults by their lines, as many as are shown, and how many there are."""
        if not self.requests:
            self.fault(None, "the file holds no request", "`batchflow make-batch-file` writes one a row")
        found = list(self._faults)
        if one_batch:
            self._total += self._urls.unusual + self._models.unusual
            remedy = "put such lines into a file of their own"
            for members, words in (
                (self._urls, "this line goes to {0}, the others to {1}: a batch has one endpoint"),
                (self._models, "this line asks {0}, the others {1}: a batch has one model"),
            ):
                found += [
                    Fault(self._shown, words.format(value, members.usual), remedy, number)
                    for number, value in members.others()
                ]
        found.sort(key=lambda fault: fault.line or 0)
        return found[:SHOWN_FAULTS], self._total

    def notes(self) -> Iterator[str]:
        if self._image is not None:
            number, note = self._image
            more = f" and {self._imaged - 1:,} more" if self._imaged > 1 else ""
            yield f"line {number}{more}: {note}"
