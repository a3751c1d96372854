"""JSON Lines: one object per line is one row, its keys are the columns. Values are kept as they are written."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn

from batchflow.errors import DataError, Fault
from batchflow.identity import JsonNumber, doubled
from batchflow.sources import text
from batchflow.sources.scan import lines
from batchflow.sources.table import SHOWN_FAULTS, OneFile, Reading, columns_of, must_be_file

if TYPE_CHECKING:
    from batchflow.sources.importing import Target

LOCATED_ROWS: Final = 100_000
_UTF8: Final = "JSON is UTF-8: iconv -f WINDOWS-1252 -t UTF-8 old.jsonl > new.jsonl"
_ONE_PER_LINE: Final = 'write one object per line, as `jq -c .` does: {"id": "007", "text": "…"}'


class JsonLines(OneFile):
    """One file. Its columns are the keys of all lines, in the order in which they first appear; an absent key, and
    null, is a missing cell.
    """

    kind = "jsonl"

    def inspect(self) -> Reading:
        """Reads all lines: any may bring a new key. Errors: DataError with the faulty lines."""
        must_be_file(self._path, self.shown)
        names: dict[str, None] = {}
        faults: list[Fault] = []
        rows = 0
        with self._path.open("rb") as handle:
            for number, line in lines(handle, self.shown, _UTF8):
                if not line.strip():
                    continue
                rows += 1
                try:
                    names.update(dict.fromkeys(_object(line)))
                except ValueError as problem:
                    faults.append(self._at(number, line, str(problem), _ONE_PER_LINE))
                    if len(faults) == SHOWN_FAULTS:
                        break
        if not rows:
            faults.append(Fault(self.shown, "the file is empty", _ONE_PER_LINE))
        elif not names and not faults:
            faults.append(Fault(self.shown, "the objects have no keys", _ONE_PER_LINE))
        if faults:
            raise DataError(faults)
        columns = columns_of([name.strip() for name in names], lambda cause, remedy: Fault(self.shown, cause, remedy))
        # a key is looked up as it is written
        return Reading("", columns, False, (), tuple(names))

    def read(self, reading: Reading, target: "Target") -> tuple[int, str]:
        return target.fill(self._records(reading))

    def _records(self, reading: Reading) -> Iterator[Sequence[str | None]]:
        for _, line in self._lines():
            try:
                found = _object(line)
            except ValueError:
                raise _changed(self.shown) from None
            if not found.keys() <= set(reading.options):
                raise _changed(self.shown)
            yield [text.of_value(found.get(name)) for name in reading.options]

    def _lines(self) -> Iterator[tuple[int, str]]:
        with self._path.open("rb") as handle:
            yield from ((number, line) for number, line in lines(handle, self.shown, _UTF8) if line.strip())

    def fault(self, reading: Reading, cause: str, remedy: str, row: int = 0) -> Fault:
        del reading
        found = next(islice(self._lines(), row - 1, None), None) if 0 < row <= LOCATED_ROWS else None
        return Fault(self.shown, cause, remedy) if found is None else self._at(*found, cause, remedy)

    def _at(self, number: int, line: str, cause: str, remedy: str) -> Fault:
        return Fault(self.shown, cause, remedy, number, None, line.rstrip("\r\n"))


def _changed(shown: str) -> DataError:
    return DataError([Fault(shown, "the file changed while it was read", "run the same command again")])


def _object(line: str) -> dict[str, Any]:
    """The object on a line, numbers as written. Errors: ValueError that says what is wrong."""
    try:
        value = json.loads(
            line,
            parse_float=JsonNumber,
            parse_int=JsonNumber,
            parse_constant=_no_constant,
            object_pairs_hook=_without_doubles,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"this line is no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("this line is nested too deeply") from None
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else "a single value"
        raise ValueError(f"this line holds {what}, not an object")  # noqa: TRY004 - a fault of the file
    try:
        line.encode() if "\\u" not in line else json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a character stands alone here (an escaped surrogate, such as \\ud83d)") from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON; write null where there is no value")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the key {doubled(pairs)!r} stands twice in an object of this line")
    return found
