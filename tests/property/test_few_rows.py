"""Few rows are read in memory, and are what an import of them would store; or an import would refuse them."""

import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchflow.errors import DataError
from batchflow.sources.database import connection
from batchflow.sources.delimited import Delimited
from batchflow.sources.few import FEW_BYTES, few_rows
from batchflow.sources.jsonl import JsonLines
from batchflow.sources.rows import AnyRows, Rows
from batchflow.sources.table import Reading, Source, import_rows
from batchflow.sources.workshop import Workshop
from batchflow.spec.source_text import BLANKS

PIECES = [*'a,"\n ;é\u00a0', "1", "2", "\r\n", '""', '"x"', "\r", "\t", "😀", ' "', "x,y\n"]
contents = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
Missing = Literal["error", "empty"]


def seen(rows: AnyRows, reading: Reading, size: int) -> list[tuple[object, ...]]:
    """All that can be seen of rows."""
    columns = [column.stored for column in reading.columns]
    return [
        (chunk.first_row + offset, row_id, *cells)
        for chunk in rows.chunks(columns, size=size)
        for offset, (row_id, *cells) in enumerate(zip(chunk.row_ids, *chunk.columns.values(), strict=True))
    ]


def imported(source: Source, reading: Reading, id_column: str | None, missing: Missing, folder: Path) -> Rows | None:
    required = [column.name for column in reading.columns][:1]
    try:
        import_rows(
            source, reading, id_column=id_column, required=required, missing=missing, target=folder / "rows.parquet"
        )
    except DataError:
        return None
    return Rows(folder / "rows.parquet")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    contents,
    st.booleans(),
    st.sampled_from(["error", "empty"]),
    st.integers(1, 4),
    st.sampled_from(["id,cell\n", "id, cell\n", "id;cell\r\n", "id\n", "id,cell,more\n"]),
)
@example("1,x\n,2\n", True, "error", 1, "id,cell\n")  # no id
@example('1,x\n" ",2\n', True, "error", 1, "id,cell\n")  # one of blanks
@example("1,x\n\u3000 \u00a0,2\n", True, "error", 1, "id,cell\n")  # of blanks of another kind
@example("1,x\n\u200b,2\n", True, "error", 1, "id,cell\n")  # of none
@example("1,x\n1,2\n", True, "error", 1, "id,cell\n")  # the same twice
@example("1,x\n2,\n", False, "error", 1, "id,cell\n")  # a cell that no prompt needs is missing
@example(",x\n2,1\n", False, "error", 1, "id,cell\n")  # one that it needs
@example(",x\n2,1\n", False, "empty", 1, "id,cell\n")
@example("1\n", False, "error", 1, "id,cell\n")  # ragged
@example('1,"x', False, "error", 1, "id,cell\n")  # never closed
@example("", False, "error", 1, "id,cell\n")
@example("1,\ud800\n", False, "error", 1, "id,cell\n")  # not UTF-8
@example("1,\0\n", False, "error", 1, "id,cell\n")
def test_they_are_what_an_import_stores_or_refuses(
    text: str, named: bool, missing: Missing, size: int, header: str
) -> None:
    with tempfile.TemporaryDirectory() as place, Workshop() as workshop:
        path = Path(place) / "t.csv"
        path.write_bytes(header.encode() + text.encode("utf-8", "surrogatepass"))
        source = Delimited(path, "t.csv", workshop)
        try:
            reading = source.inspect()
        except DataError:
            return
        id_column = "id" if named else None
        few = few_rows(source, reading, id_column=id_column, required=["id"], missing=missing)
        stored = imported(source, reading, id_column, missing, Path(place))
        assert (few is None) == (stored is None)
        if few is not None and stored is not None:
            assert few.count == stored.count
            assert seen(few, reading, size) == seen(stored, reading, size)


def test_what_counts_as_blank_is_what_duckdb_trims() -> None:
    every = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    with connection() as database:
        trimmed = database.execute("SELECT c FROM (SELECT unnest(?) AS c) WHERE trim(c) = ''", [every]).fetchall()
    assert {each for (each,) in trimmed} == {*BLANKS}


def test_in_another_encoding_and_from_the_middle(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("id,cell\né,1\nü,2\nö,3\n".encode("latin-1"))
    with Workshop() as workshop:
        source = Delimited(tmp_path / "t.csv", "t.csv", workshop, "latin-1")
        reading = source.inspect()
        few = few_rows(source, reading, id_column="id", required=(), missing="error")
        assert few is not None
        (chunk,) = few.chunks(["cell"], first=2, last=7)
        assert (chunk.first_row, chunk.row_ids, chunk.columns) == (2, ["ü", "ö"], {"cell": ["2", "3"]})
        assert few_rows(source, reading, id_column=None, required=["other"], missing="error") is None


@pytest.mark.parametrize("more", [0, 1])
def test_many_are_left_to_an_import(more: int, tmp_path: Path) -> None:
    content = b"id\n1\n" + b"x" * (FEW_BYTES - 5 + more)
    (tmp_path / "t.csv").write_bytes(content)
    with Workshop() as workshop:
        source = Delimited(tmp_path / "t.csv", "t.csv", workshop)
        few = few_rows(source, source.inspect(), id_column=None, required=(), missing="error")
    assert (few is None) == bool(more)


def test_other_kinds_are_left_to_an_import(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": "1"}\n')
    source = JsonLines(tmp_path / "t.jsonl", "t.jsonl")
    assert few_rows(source, source.inspect(), id_column=None, required=(), missing="error") is None
