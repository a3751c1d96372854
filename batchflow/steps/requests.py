"""From rows to requests: rendered, hashed, looked at and weighed, many at a time and column by column."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from batchflow.errors import DataError, Fault
from batchflow.identity import custom_ids, sha256_hexes
from batchflow.plan.design import Cell
from batchflow.plan.lines import Lines
from batchflow.plan.study import Study
from batchflow.prompts.check import inputs_of
from batchflow.prompts.personal import Lint
from batchflow.prompts.template import RowFaults
from batchflow.sources.rows import AnyRows, Chunk
from batchflow.spec.endpoints import EMBEDDINGS

if TYPE_CHECKING:
    from batchflow.cost.weighing import Scale, Weight

AT_ONCE: Final = 2_000  # requests rendered at a time, but for the last row's: what fits the processor's caches
BYTES_AT_ONCE: Final = 30_000_000  # of them, what the template itself brings
SHOWN_FAULTS: Final = 20
ALL_ROWS: Final = ((1, None),)
T = TypeVar("T")
Watch: TypeAlias = Callable[[int, int], None]  # told how many rows are done, and of how many


def unwatched(done: int, rows: int) -> None:
    """Where nobody wants to know."""


class Asked(NamedTuple):
    """A prompt as it is asked: once for every replicate."""

    row_number: int
    row_id: str
    condition: int
    custom_ids: tuple[str, ...]
    lines: tuple[bytes, ...]


class Part(NamedTuple):
    """Requests in the order in which they are sent, by column. cells: what asks each; offsets: of its row in the chunk;
    hashes: sha256 of each body in hex; weights: with the number of the condition, empty where nobody asked for them;
    inputs: texts that each brings, empty where that is one.
    """

    chunk: Chunk
    cells: Sequence[Cell]
    offsets: Sequence[int]
    lines: Lines
    hashes: Sequence[bytes]
    weights: "Sequence[tuple[Weight, int]]"
    inputs: Sequence[int]

    @property
    def requests(self) -> int:
        return self.lines.requests

    def runs(self) -> Iterator[tuple[str, int, int]]:
        """The stretches of requests to one model: that model, first place, and the place after the last."""
        start = 0
        for cell, same in groupby(self.cells):
            stop = start + sum(1 for _ in same)
            yield cell.template.model, start, stop
            start = stop

    def weighed(self, start: int, stop: int) -> "Iterator[tuple[Weight, int, int]]":
        """The weights of a stretch of requests, each with its condition, and how many have it."""
        stretch = self.weights[start:stop]
        one_of = {id(each): each for each in stretch}  # requests that weigh the same mostly share what says so
        for which, times in Counter(map(id, stretch)).items():
            yield *one_of[which], times

    def asked(self) -> Iterator[Asked]:
        """Prompt by prompt."""
        for (offset, number), same in groupby(
            range(self.requests), key=lambda place: (self.offsets[place], self.cells[place].condition.number)
        ):
            places = list(same)
            names = tuple(self.lines.names[place].decode() for place in places)
            lines = tuple(self.lines.joined(place, place + 1) for place in places)
            yield Asked(self.chunk.first_row + offset, self.chunk.row_ids[offset], number, names, lines)


class Looked(NamedTuple):
    """What a look at a body has shown: its weight with the number of its condition, and how many texts it brings."""

    weight: "tuple[Weight, int] | None"
    inputs: int


class Inspector:
    """Looks at the bodies of a cell: none is what the provider would refuse a whole file for; and what it weighs. The
    template was checked before, so a failure is a bug. Of bodies that differ in texts alone one of every size is looked
    at: they weigh the same where they have as many bytes.
    """

    def __init__(self, cell: Cell, endpoint: str, scale: "Scale | None") -> None:
        self.model, self._number = cell.template.model, cell.condition.number
        self._endpoint, self._scale = endpoint, scale
        by_size = endpoint != EMBEDDINGS if scale is None else scale.by_size(cell.template.model)
        self._alike = cell.template.texts and by_size
        self._known: dict[int, Looked] = {}

    def look(self, bodies: Sequence[bytes]) -> list[Looked]:
        if not self._alike:
            return [self._look(body) for body in bodies]
        sizes = list(map(len, bodies))
        for size, body in dict(zip(sizes, bodies, strict=True)).items():
            if size not in self._known:
                self._known[size] = self._look(body)
        return list(map(self._known.__getitem__, sizes))

    def _look(self, body: bytes) -> Looked:
        request: dict[str, Any] = json.loads(body)
        if request.get("model") != self.model or request.get("stream") or b"\n" in body:
            raise AssertionError(f"a request to {self.model} was built wrongly")
        weight = None if self._scale is None else self._scale.weigh(request, len(body))
        return Looked(None if weight is None else (weight, self._number), _inputs(request, self._endpoint))


def inspectors(study: Study, scale: "Scale | None") -> dict[int, Inspector]:
    """One for each condition, by its number."""
    endpoint = study.spec.experiment.endpoint
    return {cell.condition.number: Inspector(cell, endpoint, scale) for cell in study.design.cells}


def _inputs(body: Mapping[str, Any], endpoint: str) -> int:
    return inputs_of(body) if endpoint == EMBEDDINGS else 1


class Travels(NamedTuple):
    """What decides which requests may travel in one file: the model they ask, and how many inputs they bring."""

    model: str
    inputs: int


def travels_of(line: bytes) -> Travels:
    """What decides where a request line travels."""
    request = json.loads(line)
    return Travels(str(request["body"].get("model", "")), _inputs(request["body"], request["url"]))


class _Builder:
    """Makes the parts of one pass over the rows."""

    def __init__(self, study: Study, fingerprint: str, lint: Lint | None, scale: "Scale | None") -> None:
        self._study, self._lint = study, lint
        self._inspectors = list(inspectors(study, scale).values())
        replicates = range(1, study.design.spec.replicates + 1)
        self._names = [
            [custom_ids(cell.condition.number, replicate, fingerprint).encode() for replicate in replicates]
            for cell in study.design.cells
        ]
        columns = study.design.columns
        self.stored = {column.name: column.stored for column in study.reading.columns if column.name in columns}

    def part(self, chunk: Chunk, assigned: Sequence[Sequence[int]]) -> tuple[list[Fault], Part | None]:
        """The requests of some rows; or what is wrong with them. assigned: the places in the design's cells under which
        each row is asked.
        """
        asked = _by_place(assigned)
        faults, rendered = self._rendered(chunk, asked)
        if faults:
            return faults, None
        looked = {place: self._inspectors[place].look(bodies) for place, bodies in rendered.items()}
        places = list(chain.from_iterable(assigned))
        part = self._part(
            chunk,
            places,
            _in_order(places, asked),
            _in_order(places, rendered),
            _in_order(places, looked),
        )
        return list(self._oversized(part)), part

    def _part(
        self,
        chunk: Chunk,
        places: Sequence[int],
        offsets: Sequence[int],
        bodies: Sequence[bytes],
        looked: Sequence[Looked],
    ) -> Part:
        cells, endpoint = self._study.design.cells, self._study.spec.experiment.endpoint
        times = self._study.design.spec.replicates
        first, forms = chunk.first_row, self._names
        names = [
            form % (first + offset) for offset, place in zip(offsets, places, strict=True) for form in forms[place]
        ]
        inputs = [each.inputs for each in looked] if endpoint == EMBEDDINGS else []
        return Part(
            chunk,
            _repeated([cells[place] for place in places], times),
            _repeated(offsets, times),
            Lines.of(endpoint, names, _repeated(bodies, times)),
            _repeated(sha256_hexes(bodies), times),
            _repeated([each.weight for each in looked if each.weight is not None], times),
            _repeated(inputs, times),
        )

    def _rendered(
        self, chunk: Chunk, asked: Mapping[int, Sequence[int]]
    ) -> tuple[list[Fault], Mapping[int, Sequence[bytes]]]:
        """What is wrong with the rows; else by cell the bodies of the rows that it asks, in their order."""
        faults: dict[Fault, None] = {}
        bodies: dict[int, Sequence[bytes]] = {}
        for place, offsets in sorted(asked.items()):
            cell = self._study.design.cells[place]
            watch = None if self._lint is None else self._lint.watch(chunk.first_row, chunk.row_ids, offsets)
            try:
                bodies[place] = cell.template.render(self._filled(cell, chunk, offsets), len(offsets), watch)
            except RowFaults as error:
                told = error.at(offsets).as_faults(self._study.source_shown, chunk.first_row, chunk.row_ids)
                faults.update(dict.fromkeys(told))  # once, though every condition meets it
        return list(faults), bodies

    def _filled(self, cell: Cell, chunk: Chunk, offsets: Sequence[int]) -> dict[str, list[str]]:
        """The cells of the rows by column name, and what the condition adds."""
        filled = {name: [text] * len(offsets) for name, text in cell.constants.items()}
        for name, kept in self.stored.items():
            column = chunk.columns[kept]
            filled[name] = column if len(offsets) == chunk.count else [column[offset] for offset in offsets]
        return filled

    def _oversized(self, part: Part) -> Iterator[Fault]:
        limit = self._study.spec.experiment.limits.bytes_per_batch
        if max(part.lines.sizes, default=0) <= limit:
            return
        for offset, size in zip(part.offsets, part.lines.sizes, strict=True):
            if size > limit:
                yield Fault(
                    self._study.source_shown,
                    f"row {part.chunk.first_row + offset}: its request has {size:,} bytes, more than a request file "
                    f"may have ({limit:,})",
                    "shorten its cells, or raise limits.bytes_per_batch (at most 200MB)",
                )


def _by_place(assigned: Sequence[Sequence[int]]) -> Mapping[int, Sequence[int]]:
    """By cell the offsets of the rows that it asks."""
    if assigned.count(assigned[0]) == len(assigned):
        return dict.fromkeys(assigned[0], range(len(assigned)))
    asked: dict[int, list[int]] = defaultdict(list)
    for offset, places in enumerate(assigned):
        for place in places:
            asked[place].append(offset)
    return asked


def _in_order(places: Sequence[int], columns: Mapping[int, Sequence[T]]) -> Sequence[T]:
    """What each cell has for its rows, as one column in the order of the requests."""
    if len(columns) == 1:
        return next(iter(columns.values()))
    left = {place: iter(column) for place, column in columns.items()}
    return [next(left[place]) for place in places]


def _repeated(column: Sequence[T], times: int) -> Sequence[T]:
    return column if times == 1 else [value for value in column for _ in range(times)]


def parts(
    study: Study,
    rows: AnyRows,
    fingerprint: str,
    *,
    lint: Lint | None = None,
    ranges: Iterable[tuple[int, int | None]] = ALL_ROWS,
    scale: "Scale | None" = None,
    watch: Watch = unwatched,
) -> Iterator[Part]:
    """Every request of round 1 in row order, rendered and checked. lint: sees what rows bring into them. ranges: the
    rows that are looked at, first and last of each. scale: weighs each request. watch: sees how far it is.

    Raises DataError with the rows that cannot be asked, SpecError for a condition of the design that fails.
    """
    builder = _Builder(study, fingerprint, lint, scale)
    faults: list[Fault] = []
    count = 0
    columns = list(builder.stored.values())
    with study.design.assigned(rows.path) as assignment:
        chunks = (rows.chunks(columns, first=first, last=last, size=_rows_at_once(study)) for first, last in ranges)
        for chunk in chain.from_iterable(chunks):
            found, part = builder.part(chunk, assignment.of(chunk))
            count += len(found)
            faults += found[: SHOWN_FAULTS - len(faults)]
            watch(chunk.first_row + chunk.count - 1, rows.count)
            if part is not None and not faults:
                yield part
    if faults:
        raise DataError(faults, total=count)


def _rows_at_once(study: Study) -> int:
    """So many that their requests take a known part of the memory, but for what the rows themselves bring."""
    constant = max(sum(map(len, cell.template.constants)) for cell in study.design.cells)
    return max(1, min(AT_ONCE, BYTES_AT_ONCE // max(constant, 1)) // study.design.most_each)
