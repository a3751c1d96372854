"""A compiled template: constant bytes and slots, filled column by column."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from batchflow.errors import Fault
from batchflow.prompts.assemble import escape_texts, interleave
from batchflow.prompts.values import NotAValue, cell_value, result_value

if TYPE_CHECKING:
    from batchflow.prompts.logic import Program

_MAX_SHOWN = 60
Cells: TypeAlias = Mapping[str, Sequence[str]]


class RowFault(NamedTuple):
    """One slot that one row cannot fill. offset: of the row in the chunk, from 0. column: "" if it is not one alone."""

    offset: int
    column: str
    cause: str
    remedy: str


class RowFaults(Exception):
    """Every slot of a chunk that could not be filled, in row order; nothing of the chunk was rendered."""

    def __init__(self, faults: Sequence[RowFault]) -> None:
        super().__init__(f"{len(faults)} cells cannot be rendered")
        self.faults = tuple(sorted(faults, key=lambda fault: fault.offset))

    def at(self, offsets: Sequence[int]) -> "RowFaults":
        """The same for a chunk of which only the rows at these offsets were rendered."""
        return RowFaults([fault._replace(offset=offsets[fault.offset]) for fault in self.faults])

    def as_faults(self, shown: str, first_row: int, row_ids: Sequence[str]) -> list[Fault]:
        """The same for people: faults of the table `shown`, with row number, row id and column."""
        return [
            Fault(shown, f"{_row(first_row, row_ids, fault)}: {fault.cause}", fault.remedy) for fault in self.faults
        ]


def _row(first_row: int, row_ids: Sequence[str], fault: RowFault) -> str:
    column = f", column {fault.column!r}" if fault.column else ""
    return f"row {first_row + fault.offset} (id {row_ids[fault.offset]!r}){column}"


class Slot(Protocol):
    """One place that a row fills."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""

    @property
    def is_text(self) -> bool:
        """Whether it gives a text, or a part of one."""

    def canonical(self) -> list[str]:
        """What it is, for the digest of the template."""

    def fill(self, cells: Cells, count: int, faults: list[RowFault]) -> Sequence[bytes]:
        """The bytes of each row; what cannot be filled is told in `faults`."""


class TextSlot(NamedTuple):
    """A column inside a text."""

    column: str

    @property
    def is_text(self) -> bool:
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def canonical(self) -> list[str]:
        return ["text", self.column]

    def fill(self, cells: Cells, count: int, faults: list[RowFault]) -> Sequence[bytes]:
        del count, faults
        return escape_texts(cells[self.column])


class ValueSlot(NamedTuple):
    """A column that stands for a JSON value. kind: scalar, number, boolean or json."""

    column: str
    kind: str

    @property
    def is_text(self) -> bool:
        return False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def canonical(self) -> list[str]:
        return ["value", self.kind, self.column]

    def fill(self, cells: Cells, count: int, faults: list[RowFault]) -> Sequence[bytes]:
        column = cells[self.column]
        return _each(count, lambda offset: cell_value(column[offset], self.kind), self.column, faults)


@dataclass(frozen=True, slots=True)
class LogicSlot:
    """What Jinja makes of a row. kind: expression or template (both give text), or that of a value. inserts: those it
    reads, each with its digest.
    """

    source: str
    kind: str
    program: "Program" = field(compare=False, repr=False)
    inserts: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.program.columns

    @property
    def is_text(self) -> bool:
        return self.kind in {"template", "expression"}

    def canonical(self) -> list[str]:
        return ["logic", self.kind, self.source, *(word for insert in self.inserts for word in insert)]

    def fill(self, cells: Cells, count: int, faults: list[RowFault]) -> Sequence[bytes]:
        if not self.columns:  # the same for every row: nothing of a row is in it
            return _each(min(count, 1), self._of(cells), "", faults) * count
        if self.is_text:
            texts = self.program.texts({name: cells[name] for name in self.columns}, count)
            if texts is not None:
                return escape_texts(texts)
        return _each(count, self._of(cells), self.columns[0] if len(self.columns) == 1 else "", faults)

    def _of(self, cells: Cells) -> Callable[[int], bytes]:
        """What one row becomes: the definition. Errors: NotAValue."""
        from batchflow.prompts import logic  # noqa: PLC0415 - jinja2 only where a slot needs it

        columns = [(name, cells[name]) for name in self.columns]

        def one(offset: int) -> bytes:
            row = {name: column[offset] for name, column in columns}
            try:
                if self.kind == "template":
                    return escape_texts([self.program.text(row)])[0]
                result = self.program.result(row)
                if self.kind == "expression":
                    return escape_texts([logic.printed(result)])[0]
                return result_value(result, self.kind)
            except NotAValue:
                raise
            except Exception as error:  # noqa: BLE001 - an expression of the user's may raise anything
                cause = f"{self._shown()} failed: {logic.explain(error)}"
                remedy = "correct the cell, or the expression"
                if isinstance(error, TypeError):
                    remedy = "cells are text: make a number of one with `| int` or `| float`"
                raise NotAValue(cause, remedy) from None

        return one

    def _shown(self) -> str:
        source = self.source if self.kind == "template" else f"{{{{ {self.source} }}}}"
        return source if len(source) <= _MAX_SHOWN else source[:_MAX_SHOWN] + "…"


def _each(count: int, one: Callable[[int], bytes], column: str, faults: list[RowFault]) -> list[bytes]:
    filled = []
    for offset in range(count):
        try:
            filled.append(one(offset))
        except NotAValue as error:
            faults.append(RowFault(offset, column, error.cause, error.remedy))
    return filled


class Template(NamedTuple):
    """What a body has become for a table with certain columns.

    columns: those it uses, unused: the others, both by header name in the order of the header. digest: sha256 of
    constants and slots, so of what is asked, not of how the template file is laid out. model: the one it asks.
    notes: what its author may want to know. texts: rows change nothing of the body but what a model reads as text.
    """

    constants: tuple[bytes, ...]
    slots: tuple[Slot, ...]
    columns: tuple[str, ...]
    unused: tuple[str, ...]
    digest: str
    model: str
    notes: tuple[str, ...]
    texts: bool = False

    def render(
        self, chunk: Cells, count: int, watch: Callable[[Slot, Sequence[bytes]], None] | None = None
    ) -> list[bytes]:
        """The body bytes of each row. `chunk` holds `count` cells for each of `columns`. watch: is shown what each slot
        becomes.

        Errors: RowFaults with every cell that its slot cannot take.
        """
        faults: list[RowFault] = []
        filled: dict[tuple[str, ...], Sequence[bytes]] = {}
        for slot in self.slots:
            same = tuple(slot.canonical())
            if same not in filled:
                filled[same] = slot.fill(chunk, count, faults)
                if watch is not None and not faults:
                    watch(slot, filled[same])
        if faults:
            raise RowFaults(faults)
        return interleave(self.constants, [filled[tuple(slot.canonical())] for slot in self.slots], count)
