"""Personal data in what rows bring into prompts, found by its form: told by column and row, never by its value.

It warns, and is no proof: names, addresses and whatever has no form of its own are not found. Few false alarms come
before finding all.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from batchflow.prompts.quick_look import LONG, NAMED, is_free
from batchflow.prompts.template import Slot

EXAMPLES: Final = 3
MOST_LENGTHS: Final = 2  # of the numbers of one kind of identifier

_EPOCH: Final = rb"1[0-9]{9}(?:[0-9]{3})?"
_NAMES: Final = re.compile(
    r"(?:^|[^a-z])(?:ssn|social[ _-]?security|passport|iban|tax[ _-]?id|national[ _-]?id|patient[ _-]?id|"
    r"medical[ _-]?record)(?:$|[^a-z])",
    re.IGNORECASE,
)
_ESCAPES: Final = ((rb"\n", b"  "), (rb"\t", b"  "), (rb"\r", b"  "), (rb"\"", b' "'))  # of the same length
_OF_ESCAPES: Final = b"".join(escape for escape, _ in _ESCAPES)
_ALL: Final = 0.8  # of a column's cells, before it is taken for one of identifiers


@dataclass(frozen=True, slots=True)
class Finding:
    """kind: what was found. columns: where it comes from; none: the template's own text. rows: how many rows have it.
    examples: ids of a few of them.
    """

    kind: str
    columns: tuple[str, ...]
    rows: int
    examples: tuple[str, ...]

    def words(self) -> str:
        """A warning in one line."""
        if not self.columns:
            return f"the template's own text holds {self.kind}, so every prompt does"
        where = f"column{'s' * (len(self.columns) > 1)} {', '.join(map(repr, self.columns))}"
        if self.kind == NAMED:
            return f"prompts use {self.kind}: {where}"
        rows = f"{self.rows:,} row{'s' * (self.rows > 1)}"
        return f"prompts hold {self.kind}: {where}, in {rows}, e.g. {', '.join(self.examples)}"


def warnings(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each, and what to do about them."""
    yield from (finding.words() for finding in findings)
    if findings:
        yield "personal data: leave it out, or mask it in the table; `data: {lint: false}` where it must be sent"


class _Found:
    """What was found of one kind in some columns."""

    def __init__(self) -> None:
        self.rows = 0
        self.examples: list[str] = []


class _Numbers:
    """The long numbers that are the whole of a slot."""

    def __init__(self) -> None:
        self.cells, self.times = 0, True
        self.lengths: set[int] = set()


Watch = Callable[[Slot, Sequence[bytes]], None]


class Lint:
    """Looks at what each slot becomes, while it is rendered. columns: those of the table."""

    def __init__(self, columns: Collection[str]) -> None:
        self._columns = frozenset(columns)
        self._found: dict[tuple[str, tuple[str, ...]], _Found] = {}
        self._numbers: dict[tuple[str, ...], _Numbers] = {}
        self._cells: dict[tuple[str, ...], int] = {}
        self._used: dict[str, None] = {}
        self._first = 0
        self._row_ids: Sequence[str] = ()
        self._here: dict[tuple[str, tuple[str, ...]], set[int]] = {}  # offsets in the chunk
        self._seen: set[tuple[str, ...]] = set()  # slots that were looked at for the whole chunk

    def template(self, constants: Sequence[bytes]) -> None:
        """Look at the text of a template."""
        for kind, _ in _hits(_plain(b"\n".join(constants))):
            self._found.setdefault((kind, ()), _Found())

    def watch(self, first_row: int, row_ids: Sequence[str], offsets: Sequence[int]) -> Watch:
        """For the rows of a chunk at these offsets: to be called with each slot and its bytes."""
        if first_row != self._first:
            self._settle()
            self._first, self._row_ids = first_row, row_ids
        whole = len(offsets) == len(row_ids)

        def look(slot: Slot, filled: Sequence[bytes]) -> None:
            columns = tuple(name for name in slot.columns if name in self._columns)
            same = tuple(slot.canonical())
            if columns and same not in self._seen:
                if whole and len(columns) == len(slot.columns):  # no factor changes it
                    self._seen.add(same)
                self._look(columns, filled, offsets)

        return look

    def _look(self, columns: tuple[str, ...], filled: Sequence[bytes], offsets: Sequence[int]) -> None:
        self._used.update(dict.fromkeys(columns))
        self._cells[columns] = self._cells.get(columns, 0) + sum(map(bool, filled))
        text = b"\n".join(filled)
        if is_free(text, _OF_ESCAPES):
            return
        text = _plain(text)
        starts: list[int] = []
        for kind, place in _hits(text):
            starts = starts or list(accumulate((len(each) + 1 for each in filled), initial=0))
            row = offsets[bisect_right(starts, place) - 1]
            self._here.setdefault((kind, columns), set()).add(row)
            if kind == LONG:
                self._long(columns, filled[bisect_right(starts, place) - 1])

    def _long(self, columns: tuple[str, ...], number: bytes) -> None:
        numbers = self._numbers.setdefault(columns, _Numbers())
        numbers.cells += 1
        numbers.lengths.add(len(number))
        numbers.times = numbers.times and re.fullmatch(_EPOCH, number) is not None

    def _settle(self) -> None:
        """Count the rows of a chunk that is through."""
        for key, offsets in self._here.items():
            found = self._found.setdefault(key, _Found())
            found.rows += len(offsets)
            room = EXAMPLES - len(found.examples)
            found.examples += [self._called(offset) for offset in sorted(offsets)[:room]]
        self._here, self._seen = {}, set()

    def _called(self, offset: int) -> str:
        """A row as it may be named: by its id, unless that is personal itself."""
        row_id = self._row_ids[offset]
        told = any(True for _ in _hits(row_id.encode("utf-8", "replace").replace(b"\n", b" ")))
        return f"row {self._first + offset}" if told else row_id

    def findings(self) -> tuple[Finding, ...]:
        """What was found, by column."""
        self._settle()
        told = [
            Finding(kind, columns, found.rows, tuple(found.examples))
            for (kind, columns), found in self._found.items()
            if kind != LONG or self._are_ids(columns)
        ]
        named = [Finding(NAMED, (name,), 0, ()) for name in self._used if _NAMES.search(name)]
        return tuple(sorted((*told, *named), key=lambda each: (each.columns, each.kind)))

    def _are_ids(self, columns: tuple[str, ...]) -> bool:
        numbers = self._numbers.get(columns)
        if numbers is None or numbers.times:
            return False
        return len(numbers.lengths) <= MOST_LENGTHS and numbers.cells >= _ALL * self._cells[columns]


def _plain(text: bytes) -> bytes:
    """The inside of JSON strings with its commonest escapes made blank; as long as before."""
    if b"\\" in text:
        for escape, blank in _ESCAPES:
            text = text.replace(escape, blank)
    return text


def _hits(text: bytes) -> Iterator[tuple[str, int]]:
    """Kind and place of everything in a text that has the form of personal data."""
    if not is_free(text):
        from batchflow.prompts.forms import hits  # noqa: PLC0415 - its expressions take long to compile

        yield from hits(text)
