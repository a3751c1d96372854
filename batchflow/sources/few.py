"""The rows of a small delimited file in memory: what an import would store, without DuckDB, whose start takes longer
than to read them.

Only rows that nothing is wrong with: what is wrong with others, an import says.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Final, Literal

from batchflow.errors import DataError
from batchflow.sources.delimited import Delimited
from batchflow.sources.exact import records
from batchflow.sources.rows import Chunk
from batchflow.sources.table import Reading, Source
from batchflow.spec.source_text import BLANKS

FEW_BYTES: Final = 200_000  # read exactly in the time that DuckDB takes to start


class FewRows:
    """They are not stored. columns: the cells by stored name; a missing one is ""."""

    path: Final = None

    def __init__(self, row_ids: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
        self._row_ids, self._columns = row_ids, columns
        self.count = len(row_ids)

    def chunks(
        self, columns: Sequence[str], *, first: int = 1, last: int | None = None, size: int = 10_000
    ) -> Iterator[Chunk]:
        """As those of stored rows."""
        end = self.count if last is None else min(last, self.count)
        for start in range(first - 1, end, size):
            part = slice(start, min(start + size, end))
            cells = {name: list(self._columns[name][part]) for name in dict.fromkeys(columns)}
            yield Chunk(start + 1, list(self._row_ids[part]), cells)


def few_rows(
    source: Source,
    reading: Reading,
    *,
    id_column: str | None,
    required: Collection[str],
    missing: Literal["error", "empty"],
) -> FewRows | None:
    """The rows of a table of the kind that is quick to read exactly; None where there are many, and where an import
    would refuse them. The arguments are those of `import_rows`.
    """
    names = [column.name for column in reading.columns]
    if not isinstance(source, Delimited) or not {*required, *([] if id_column is None else [id_column])} <= {*names}:
        return None
    content = source.content(FEW_BYTES)
    if content is None or b"\0" in content:
        return None
    try:
        rows = list(records(BytesIO(content), reading, source.shown))
    except DataError:
        return None
    if not rows:
        return None
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    row_ids = [str(row) for row in range(1, len(rows) + 1)] if id_column is None else columns[id_column]
    needed = required if missing == "error" else ()
    if not _distinct(row_ids) or any(None in columns[name] for name in needed if name != id_column):
        return None
    stored = {column.stored: [cell or "" for cell in columns[column.name]] for column in reading.columns}
    return FewRows([row_id or "" for row_id in row_ids], stored)


def _distinct(row_ids: Sequence[str | None]) -> bool:
    """Whether every row has an id, and one of its own."""
    return all(row_id and row_id.strip(BLANKS) for row_id in row_ids) and len({*row_ids}) == len(row_ids)
