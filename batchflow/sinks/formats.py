"""A run's rows as files for other programs: CSV, JSON, JSON lines, Parquet. Part follows part, so that memory does not
grow with the number of rows.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from batchflow.errors import escape_in_json
from batchflow.sinks.answers import as_text
from batchflow.sinks.connection import THREADS, Store, explained
from batchflow.sources.columns import free_name
from batchflow.sources.database import identifier, literal, pattern

# Where spreadsheets begin to calculate: also after blanks, and at the wide forms of East Asian keyboards. A tab or line
# break at the start is dropped by some of them, and what follows is the start.
_FORMULA: Final = "[\t\r\n]| *[=+@\uff1d\uff0b\uff0d\uff20-]"
_NUMBER: Final = "[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_PIECE: Final = "piece"
_BLOCK: Final = 1 << 20
_LEAST_GROUP: Final = 2048  # rows; what DuckDB works on together


class Format(StrEnum):
    """The formats; the value is what a user writes, and how the names of such files end."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


def write_csv(
    store: Store, queries: Iterable[str], scratch: Path, target: BinaryIO, *, safe: bool = False, look: bool = False
) -> int:
    """UTF-8, a header, line feeds. What is missing stays empty, an empty text is `""`; lists and nested values: JSON.

    safe: what a spreadsheet would take for a formula gets an apostrophe in front. look: returns the number of such
    cells; else 0.
    """
    file, header, formulas = scratch / "piece.csv", "true", 0
    for query in queries:
        with explained(file):
            # of its own, since it is read twice
            store.with_room(partial(store.rows, f"CREATE OR REPLACE TEMP TABLE {_PIECE} AS {as_text(store, query)}"))
            kinds = {name: kind for name, kind, *_ in store.rows(f"DESCRIBE {_PIECE}")}
            texts = [name for name, kind in kinds.items() if kind in {"VARCHAR", "JSON"}]
            formulas += store.number(_counted(texts)) if look else 0
            select = _made_safe(list(kinds), texts) if safe else f"SELECT * FROM {_PIECE}"
            _copy(store, select, file, f"FORMAT csv, HEADER {header}")
            store.rows(f"DROP TABLE {_PIECE}")
        _append(file, target)
        header = "false"
    return formulas


def write_json(store: Store, queries: Iterable[str], scratch: Path, target: BinaryIO, *, lines: bool) -> None:
    """An object for each row, nested values nested: each on a line of its own, or all in one array. What a terminal
    would obey is escaped.
    """
    file, first = scratch / "piece.json", True
    for query in queries:
        _copy(store, query, file, "FORMAT json")
        with file.open("rb") as records:
            for record in records:
                text = escape_in_json(record.decode().removesuffix("\n"))
                before, after = ("", "\n") if lines else ("[\n" if first else ",\n", "")
                target.write(f"{before}{text}{after}".encode())
                first = False
    if not lines:
        target.write(b"[]\n" if first else b"\n]\n")


def write_parquet(store: Store, queries: Iterable[str], scratch: Path, target: Path, *, group: int) -> None:
    """One file with typed columns, nested values nested. group: how many rows to hold in memory together."""
    store.rows("SET threads = 1")  # each thread holds row groups; of a part, two have little to share
    files = ", ".join(literal(pattern(file)) for file in parquet_parts(store, queries, scratch))
    rows = f"SELECT * FROM read_parquet([{files}], hive_partitioning=false)"
    _copy(store, rows, target, f"FORMAT parquet, ROW_GROUP_SIZE {max(_LEAST_GROUP, group)}")
    store.rows(f"SET threads = {THREADS}")


def parquet_parts(store: Store, queries: Iterable[str], folder: Path) -> Iterator[Path]:
    """A parquet file for each query; they follow one another."""
    for number, query in enumerate(queries, start=1):
        part = folder / f"part-{number:05d}.parquet"
        _copy(store, query, part, "FORMAT parquet")
        yield part


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would take the text for a formula, or for what it makes one of; plain numbers are none."""
    return re.match(_FORMULA, text) is not None and re.fullmatch(_NUMBER, text) is None


def _is_formula(name: str) -> str:
    """The same of a column, in SQL."""
    column = identifier(name)
    starts = f"regexp_matches({column}, {literal(f'^({_FORMULA})')})"
    return f"({starts} AND NOT regexp_full_match({column}, {literal(_NUMBER)}))"


def _counted(texts: Sequence[str]) -> str:
    counts = [f"count(*) FILTER ({_is_formula(name)})" for name in texts]
    return f"SELECT {' + '.join(counts) or '0'} FROM {_PIECE}"


def _made_safe(names: Sequence[str], texts: Sequence[str]) -> str:
    """Names of columns are cells too: those of the first line."""
    taken = {name.lower() for name in names}
    shown = []
    for name in names:
        cell = column = identifier(name)
        if name in texts:
            cell = f"CASE WHEN {_is_formula(name)} THEN '''' || {column} ELSE {column} END"
        title = free_name("'" + name, taken) if is_formula(name) else name
        shown.append(f"{cell} AS {identifier(title)}")
    return f"SELECT {', '.join(shown)} FROM {_PIECE}"


def _copy(store: Store, query: str, path: Path, options: str) -> None:
    copy = f"COPY ({query}) TO {literal(str(path))} ({options})"
    with explained(path):
        store.with_room(partial(store.rows, copy))


def _append(file: Path, target: BinaryIO) -> None:
    with file.open("rb") as handle:
        shutil.copyfileobj(handle, target, _BLOCK)
