"""A batch file from a template and a table, without a study: the first step of the deck. All files whole, or none."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from batchflow import files
from batchflow.errors import DataError, Fault
from batchflow.identity import json_text
from batchflow.prompts.compile import compile_template
from batchflow.prompts.document import read_json_template
from batchflow.prompts.template import RowFaults, Template
from batchflow.sources.delimited import Delimited
from batchflow.sources.rows import Chunk, Rows
from batchflow.sources.spreadsheet import Spreadsheet
from batchflow.sources.table import Reading, Source, import_rows
from batchflow.sources.workshop import Workshop
from batchflow.spec.data import kind_of

ENDPOINT: Final = "/v1/chat/completions"
MOST_REQUESTS: Final = 50_000  # of one batch, by OpenAI
MOST_BYTES: Final = 200_000_000
CHUNK: Final = 2_000  # rows rendered at a time
SHOWN_FAULTS: Final = 20
SHOWN_ROWS: Final = 10  # of those with the same fault
T = TypeVar("T")
_CUSTOM_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A finished file."""

    path: Path
    requests: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Made:
    """What was made. notes: what a careful author wants to know, though nothing is wrong."""

    files: tuple[BatchFile, ...]
    model: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of what. id_column names the column of custom_ids; without it they are id_0, id_1, …"""

    template: Path
    data: Path
    out: Path
    id_column: str | None = None
    missing: Literal["error", "empty"] = "error"
    sheet: str | None = None


def numbered(out: Path, number: int) -> Path:
    """The name of the n-th file: the first has the name that was asked for, `-00002` and so on follow."""
    return out if number == 1 else out.with_name(f"{out.stem}-{number:05d}{out.suffix}")


def standing(out: Path) -> list[Path]:
    """The files that an earlier call made under this name."""
    further = re.compile(re.escape(out.stem) + r"-[0-9]{5}" + re.escape(out.suffix))
    beside = out.parent.iterdir() if out.parent.is_dir() else ()
    return [*([out] if out.exists() else []), *sorted(path for path in beside if further.fullmatch(path.name))]


def make(order: Order, advance: Callable[[int, int], None]) -> Made:
    """Write the file, or several where one may not hold them all. `advance` is told rows done and rows in all.

    Raises TemplateError or DataError with every fault found; nothing is written then.
    """
    with Workshop() as workshop:
        source = _source(order, workshop)
        reading = _in_words(source.inspect)
        names = [column.name for column in reading.columns]
        template = compile_template(read_json_template(order.template, str(order.template)), names)
        rows = _import(order, source, reading, template, workshop.new_file(".parquet"))
        with _Cutter(order.out) as cutter:
            for lines, done in _lines(order, reading, template, rows):
                for line in lines:
                    cutter.add(line)
                advance(done, rows.count)
            made = cutter.publish()
    return Made(made, template.model, tuple(_notes(order, reading, template)))


def _source(order: Order, workshop: Workshop) -> Source:
    if kind_of(order.data.name) == "spreadsheet":
        return Spreadsheet(order.data, str(order.data), order.sheet)
    return Delimited(order.data, str(order.data), workshop)


def _import(order: Order, source: Source, reading: Reading, template: Template, target: Path) -> Rows:
    asked = partial(import_rows, source, reading, id_column=order.id_column, required=template.columns)
    _in_words(partial(asked, missing=order.missing, target=target))
    return Rows(target)


def _in_words(read: Callable[[], T]) -> T:
    """What reading gives; its faults in the words of this command."""
    try:
        return read()
    except DataError as error:
        raise DataError(
            [_in_words_of_options(fault) for fault in error.faults], hint=error.hint, total=error.total
        ) from error


def _in_words_of_options(fault: Fault) -> Fault:
    """A remedy that speaks of an experiment file, for a command that has none."""
    remedy = fault.remedy.replace("leave `data.id` out: then the row number is the id", "leave --id-col out")
    remedy = remedy.replace("write `missing: empty` under `data:`", "add `--missing empty`")
    remedy = re.sub(r"write (its encoding|`encoding: [^`]*`) under `data:`,.* or save", "save", remedy)
    remedy = remedy.replace(", or name the table's cells: `range: A1:D20` under `data:`", "")
    return fault._replace(remedy=remedy)


def _lines(order: Order, reading: Reading, template: Template, rows: Rows) -> Iterator[tuple[list[bytes], int]]:
    """The lines of every chunk, and the rows done so far. Raises DataError with the rows that cannot be asked."""
    stored = {column.name: column.stored for column in reading.columns if column.name in template.columns}
    shown = str(order.data)
    faults = _Faults()
    for chunk in rows.chunks(list(stored.values()), size=CHUNK):
        found: list[Fault] = []
        lines: list[bytes] = []
        try:
            bodies = template.render({name: chunk.columns[kept] for name, kept in stored.items()}, chunk.count)
            ids, found = _ids(order, chunk)
            lines = [_line(name, body) for name, body in zip(ids, bodies, strict=True)]
            found += _oversized(shown, chunk, lines)
        except RowFaults as error:
            faults.of_slots(error, shown, chunk)
        faults.add(found)
        if not faults.total:
            yield lines, chunk.first_row - 1 + chunk.count
    faults.conclude()


class _Faults:
    """What is wrong with the rows. A slot that many rows cannot fill is one fault: the first row, and which others."""

    def __init__(self) -> None:
        self._shown: list[Fault] = []
        self._others: dict[tuple[str, str], list[int]] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._hidden: Counter[tuple[str, str]] = Counter()
        self.total = 0

    def add(self, found: list[Fault]) -> None:
        self.total += len(found)
        self._shown += found[: SHOWN_FAULTS - len(self._shown)]

    def of_slots(self, error: RowFaults, shown: str, chunk: Chunk) -> None:
        told = error.as_faults(shown, chunk.first_row, chunk.row_ids)
        for fault, words in zip(error.faults, told, strict=True):
            kind = fault.column, fault.remedy
            if kind not in self._places:
                self._places[kind] = len(self._shown)
                self.add([words])
            elif len(others := self._others.setdefault(kind, [])) < SHOWN_ROWS:
                others.append(chunk.first_row + fault.offset)
            else:
                self._hidden[kind] += 1

    def conclude(self) -> None:
        """Raises DataError if there is anything."""
        for kind, rows in self._others.items():
            if (place := self._places[kind]) < len(self._shown):
                fault, hidden = self._shown[place], self._hidden[kind]
                more = f" and {hidden:,} more" if hidden else ""
                also = f"so it is with {'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows))}{more}"
                self._shown[place] = fault._replace(cause=f"{fault.cause}; {also}")
        if self.total:
            raise DataError(self._shown, total=self.total)


def _line(custom_id: str, body: bytes) -> bytes:
    head = f'{{"custom_id":{json_text(custom_id)},"method":"POST","url":{json_text(ENDPOINT)},"body":'
    return head.encode() + body + b"}\n"


def _ids(order: Order, chunk: Chunk) -> tuple[list[str], list[Fault]]:
    """The custom_id of each row: as in the deck, or the cell of a column, which must be fit to be one."""
    if order.id_column is None:
        return [f"id_{chunk.first_row - 1 + offset}" for offset in range(chunk.count)], []
    faults = [
        Fault(
            str(order.data),
            f"row {chunk.first_row + offset}: {name!r} in the column {order.id_column!r} cannot be a custom_id",
            "write 1 to 64 letters, digits, _ and - there, or leave --id-col out",
        )
        for offset, name in enumerate(chunk.row_ids)
        if not _CUSTOM_ID.fullmatch(name)
    ]
    return chunk.row_ids, faults


def _oversized(shown: str, chunk: Chunk, lines: list[bytes]) -> list[Fault]:
    return [
        Fault(
            shown,
            f"row {chunk.first_row + offset}: its request has {len(line):,} bytes, a batch file may have "
            f"{MOST_BYTES:,}",
            "shorten its cells",
        )
        for offset, line in enumerate(lines)
        if len(line) > MOST_BYTES
    ]


def _notes(order: Order, reading: Reading, template: Template) -> Iterator[str]:
    for note in reading.notes:
        yield note.replace("`sheet` under `data:` names", "--sheet names")
    yield from template.notes
    unused = [name for name in template.unused if name != order.id_column]
    if unused:
        yield f"columns that the template does not use: {', '.join(unused)}"
    if not template.columns:
        yield "the template names no column: every row asks the same"


class _Cutter:
    """The files of one order. Nothing shows under its name before everything is written; the first comes last."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._open: list[tuple[files.ShardFile, int]] = []

    def add(self, line: bytes) -> None:
        file, count = self._open[-1] if self._open else (None, 0)
        if file is None or count >= MOST_REQUESTS or file.bytes + len(line) > MOST_BYTES:
            file, count = files.ShardFile(numbered(self._out, len(self._open) + 1)), 0
            self._open.append((file, 0))
        file.write(line)
        self._open[-1] = file, count + 1

    def publish(self) -> tuple[BatchFile, ...]:
        made = []
        while self._open:
            file, count = self._open[-1]
            made.append(BatchFile(file.path, count, file.bytes, file.close()))
            self._open.pop()
        return tuple(reversed(made))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file, _count in self._open:
            file.discard()
