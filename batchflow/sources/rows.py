"""Rows as the rest of the house gets them: chunks of columns out of rows.parquet, in order, in flat memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from batchflow.sources.database import connection, identifier, parquet, stream

CHUNK_CHARACTERS: Final = 16_000_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows: the number of the first, their ids, and their cells by stored name; missing cells are ""."""

    first_row: int
    row_ids: list[str]
    columns: dict[str, list[str]]

    @property
    def count(self) -> int:
        return len(self.row_ids)


class AnyRows(Protocol):
    """Rows that can be asked. path: where they are stored, if they are."""

    count: int

    @property
    def path(self) -> Path | None: ...

    def chunks(
        self, columns: Sequence[str], *, first: int = 1, last: int | None = None, size: int = 10_000
    ) -> Iterator[Chunk]:
        """The rows from number `first` to number `last` (both included; to the end without it), in order.

        A chunk has at most `size` rows, and fewer where cells are long (about 16 million characters a chunk).
        """


class Rows:
    """A rows.parquet file. `columns` are the stored names in file order, row_number and row_id left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with connection() as database:
            described = database.execute(f"DESCRIBE SELECT * FROM {parquet(path)}").fetchall()
            counted = database.execute(f"SELECT count(*) FROM {parquet(path)}").fetchall()
        self.columns: tuple[str, ...] = tuple(row[0] for row in described[2:])
        self.count: int = counted[0][0]

    def numbers(self, row_ids: Sequence[str]) -> dict[str, int]:
        """The numbers of the rows with these ids; an id that no row has is left out."""
        query = (
            f"SELECT row_id, min(row_number) FROM {parquet(self.path)} WHERE row_id IN (SELECT unnest(?)) GROUP BY 1"
        )
        with connection() as database:
            return dict(database.execute(query, [list(row_ids)]).fetchall())

    def cells(self, number: int, columns: Sequence[str]) -> dict[str, str]:
        """The cells of one row by stored name; missing ones are ""."""
        (chunk,) = self.chunks(columns, first=number, last=number)
        return {name: cells[0] for name, cells in chunk.columns.items()}

    def chunks(
        self, columns: Sequence[str], *, first: int = 1, last: int | None = None, size: int = 10_000
    ) -> Iterator[Chunk]:
        """As `AnyRows` says. Ranges are cheap: only the parts of the file that hold them are read."""
        last = self.count if last is None else min(last, self.count)
        wanted = list(dict.fromkeys(columns))
        names = "".join(f", coalesce({identifier(name)}, '')" for name in wanted)
        query = (
            f"SELECT row_number, coalesce(row_id, ''){names} FROM {parquet(self.path)}"
            f" WHERE row_number BETWEEN {int(first)} AND {int(last)}"
        )
        with connection() as database:
            buffer: list[list[Any]] = [[] for _ in ("row_number", "row_id", *wanted)]
            characters = 0
            for rows in stream(database, query):
                for column, cells in zip(buffer, zip(*rows, strict=True), strict=True):
                    column.extend(cells)
                    characters += sum(map(len, cells)) if column is not buffer[0] else 0
                while len(buffer[0]) >= size or characters > CHUNK_CHARACTERS:
                    yield _chunk([column[:size] for column in buffer], wanted)
                    buffer = [column[size:] for column in buffer]
                    characters = 0
            if buffer[0]:
                yield _chunk(buffer, wanted)


def _chunk(columns: list[list[Any]], names: list[str]) -> Chunk:
    numbers, row_ids, *cells = columns
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise AssertionError("rows.parquet is not in the order of its row numbers")
    return Chunk(numbers[0], row_ids, dict(zip(names, cells, strict=True)))
