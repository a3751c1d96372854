"""Any table comes back exactly as it was written, whichever reader was used, in chunks of any size."""

import csv
import hashlib
import io
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchflow.errors import DataError
from batchflow.files import sha256_of
from batchflow.sources.columns import RESULTS_RESERVED, ROWS_RESERVED, resolve
from batchflow.sources.database import connection
from batchflow.sources.delimited import import_rows, inspect
from batchflow.sources.delimited_rows import DelimitedRows
from batchflow.sources.importing import Target, as_hashed
from batchflow.sources.rows import Rows
from batchflow.sources.scan import Scanner
from batchflow.sources.table import Reading

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
awkward = st.text(st.sampled_from(' ",;\t\n\rab\u2028é😀{}\\'), max_size=8)
cells = st.one_of(text, awkward)
fast = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    header = (
        draw(
            st.lists(cells.map(str.strip).filter(bool), min_size=width, max_size=width, unique=True).filter(
                lambda names: "," in ",".join(names)
            )  # comma is asked for below
        )
        if width > 1
        else [draw(st.sampled_from(["a", "Größe", "a b", "x,y"]))]
    )
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=6))
    return [header, *rows]


def read_back(folder: Path, content: bytes, *, size: int = 10_000) -> tuple[Reading, list[list[str]], str]:
    (folder / "t.csv").write_bytes(content)
    reading = inspect(folder / "t.csv", "t.csv")
    target = folder / "rows.parquet"
    done = import_rows(
        folder / "t.csv", reading, id_column=None, required=(), missing="empty", target=target, shown="t.csv"
    )
    rows = Rows(target)
    assert done.source_sha256 == sha256_of(folder / "t.csv")
    assert rows.count == done.rows
    assert rows.columns == tuple(column.stored for column in reading.columns)
    table: list[list[str]] = []
    for chunk in rows.chunks(rows.columns, size=size):
        assert chunk.first_row == len(table) + 1
        assert chunk.count <= size
        assert chunk.row_ids == [str(number) for number in range(chunk.first_row, chunk.first_row + chunk.count)]
        table += [list(row) for row in zip(*chunk.columns.values(), strict=True)]
    return reading, table, done.sha256


@fast
@given(tables(), st.sampled_from(["\n", "\r\n"]), st.integers(1, 5), st.booleans())
def test_what_the_csv_module_writes_comes_back(table: list[list[str]], end: str, size: int, bom: bool) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(table)
    content = ("\ufeff" if bom else "").encode() + out.getvalue().encode()
    with tempfile.TemporaryDirectory() as folder:
        reading, rows, sha256 = read_back(Path(folder), content, size=size)
    assert [column.name for column in reading.columns] == table[0]
    assert not reading.drop_blank
    assert rows == table[1:]
    canonical = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    assert sha256 == hashlib.sha256(canonical).hexdigest()


FIELDS = ["", '""', "x", " x", '"a,b"', '"q""q"', '5" pipe', ' "s" ', '"\n"', '"\r\n"']


@fast
@given(
    st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(FIELDS)), min_size=1, max_size=5),
    st.lists(st.sampled_from(["\n", "\r\n", "\n\n"]), min_size=6, max_size=6),
    st.booleans(),
)
def test_the_fast_reader_and_the_exact_one_agree(rows: list[tuple[str, str]], ends: list[str], blank: bool) -> None:
    """Whatever path `import_rows` takes, it gives what the scanner reads."""
    lines = ["a, b" if blank else "a,b", *(",".join(row) for row in rows)]
    content = "".join(line + end for line, end in zip(lines, ends, strict=False)).encode()
    scanner = Scanner(io.BytesIO(content), ",", "t.csv", drop_blank=blank)
    expected = [[value or "" for value in record.values] for record in scanner][1:]
    with tempfile.TemporaryDirectory() as folder:
        if not expected:
            return
        reading, table, _ = read_back(Path(folder), content)
    assert reading.drop_blank == blank
    assert table == expected


@fast
@given(st.text(st.sampled_from('ab," \n\r'), max_size=20))
def test_no_file_is_read_in_part(body: str) -> None:
    """Any characters at all: either every record is read as the scanner reads it, or the file is refused."""
    content = ("a,b\n" + body).encode()
    scanner = Scanner(io.BytesIO(content), ",", "t.csv")
    judged = list(scanner.judged(2))
    broken = any(found for found, _ in judged) or len(judged) < 2
    with tempfile.TemporaryDirectory() as folder:
        try:
            _, table, _ = read_back(Path(folder), content)
        except DataError:
            assert broken
        else:
            assert not broken
            assert table == [[value or "" for value in record.values] for _, record in judged if record][1:]


@given(
    st.lists(
        st.text(max_size=6).map(str.strip) | st.sampled_from(["content", "Content", "row_id", "data_content"]),
        max_size=8,
    )
)
def test_resolved_names_are_free_and_stay(names: list[str]) -> None:
    for reserved in (ROWS_RESERVED, RESULTS_RESERVED):
        resolved = resolve(names, reserved)
        lower = [name.lower() for name in resolved]
        assert len(set(lower)) == len(names)
        assert not set(lower) & reserved
        assert resolve(resolved, reserved) == resolved


def test_every_character_is_hashed_as_python_writes_it() -> None:
    """Rows are hashed as JSON that DuckDB writes: the same bytes as those of the definition."""
    cells = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    cells += [r"\u001B", "\\\x1b", "\x00", ""]
    with connection() as database:
        query = "SELECT json_array(cell, NULL)::VARCHAR FROM (SELECT unnest(?) AS cell)"
        for first in range(0, len(cells), 100_000):
            part = cells[first : first + 100_000]
            rows = [row for (row,) in database.execute(query, [part]).fetchall()]
            defined = [json.dumps([cell, None], ensure_ascii=False, separators=(",", ":")) for cell in part]
            assert as_hashed(rows).decode() == "".join("," + row for row in defined)


def test_a_plain_file_is_left_to_the_fast_reader() -> None:
    """The slow path must not be the one that everything takes."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "t.csv"
        path.write_bytes(b'a,b\r\n1,"x, ""y"""\r\n2,\r\n')
        reading = inspect(path, "t.csv")
        target = Target(reading.columns, None, Path(name) / "rows.parquet", Path(name))
        rows = DelimitedRows(path, reading, "t.csv", target)
        rows._write_exactly = None  # type: ignore[assignment,method-assign] # would fail
        assert rows.write()[0] == 2
