"""Files for other programs: every row once and in order, types and nesting kept, nothing a spreadsheet calculates."""

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.errors import SetupError
from batchflow.sinks import reader as reading
from batchflow.sinks.duckdb import Rest, Sink
from batchflow.sinks.formats import Format, is_formula
from batchflow.sinks.reader import open_reader
from tests.unit.sinks.made import Made, Rows, answer, batch, make
from tests.unit.sinks.test_sink_answers import FULL, KINDS, TYPES, load, typed

EVIL = "=HYPERLINK(\"http://x\")\x1b]8;;\x07 \u202e\u2028 \x9b 'a',\n\t\r"
FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "- a point",
    " =1",
    "\uff1d1",
    "-",
]
HARMLESS = ["", "a=1", "-5", "+3.50", "-.5e-3", "-1.", "'=1", "1-2", "a\n=1", "\u22125"]


def as_file(database: Path, made: Made, form: Format, path: Path, *, safe_csv: bool = False, look: bool = False) -> int:
    with open_reader(database) as reader:
        return reader.write(made.run, form, path, safe_csv=safe_csv, look=look)


@pytest.fixture
def nested(tmp_path: Path) -> tuple[Path, Made]:
    """Three rows whose answers have every kind of column; the second has none, the third only what is missing."""
    made = typed(make(tmp_path))
    load(tmp_path / "results.duckdb", made, FULL, None, (None,) * len(KINDS))
    return tmp_path / "results.duckdb", made


@pytest.fixture
def parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Made]:
    """Forty rows that are read seven at a time."""
    monkeypatch.setattr(reading, "_PART_REQUESTS", 7)
    rows: Rows = [{"Name": f"n{number}", "Note": EVIL} for number in range(40)]
    made = make(tmp_path, rows=rows)
    with Sink.open(tmp_path / "results.duckdb") as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest([answer(made.id(row), f"{EVIL}{row}") for row in range(40, 0, -1)], {}))
        sink.set_run(made.row())
        sink.refresh()
    return tmp_path / "results.duckdb", made


def test_parquet_keeps_types_and_nested_values(nested: tuple[Path, Made], tmp_path: Path) -> None:
    target = tmp_path / "it's [x].parquet"
    as_file(*nested, Format.PARQUET, target)
    found = duckdb.read_parquet(str(target).replace("[", "[[]"))
    described = dict(zip(found.columns, map(str, found.types), strict=True))
    assert [described[name] for name in KINDS] == TYPES
    assert described["row_number"] == "BIGINT"
    assert described["simulated"] == "BOOLEAN"
    assert found.project(", ".join(f'"{name}"' for name in KINDS)).fetchall() == [FULL, (None,) * 7, (None,) * 7]


@pytest.mark.parametrize("form", [Format.JSON, Format.JSONL])
def test_json_keeps_types_and_nested_values(form: Format, nested: tuple[Path, Made], tmp_path: Path) -> None:
    as_file(*nested, form, tmp_path / "out")
    text = (tmp_path / "out").read_text(encoding="utf-8")
    records = json.loads(text) if form is Format.JSON else [json.loads(line) for line in text.splitlines()]
    assert [records[0][name] for name in KINDS] == [*FULL[:-1], {"z": 1, "a": 2}]
    assert [records[1][name] for name in KINDS] == [None] * 7
    assert [record["row_number"] for record in records] == [1, 2, 3]
    assert "\0" not in text


@pytest.mark.parametrize("form", Format)
def test_every_row_once_and_in_order_whatever_is_read_at_a_time(
    form: Format, parted: tuple[Path, Made], tmp_path: Path
) -> None:
    target = tmp_path / f"out.{form}"
    as_file(*parted, form, target)
    with open_reader(parted[0]) as reader:
        names = reader.columns(parted[1].run)
        expected = [(row[names.index("row_id")], row[names.index("content")]) for row in reader.rows(parted[1].run)]
    content = target.read_bytes()
    readers: dict[Format, Callable[[], list[tuple[str, str]]]] = {
        Format.CSV: lambda: pairs(list(csv.DictReader(io.StringIO(content.decode(), newline="")))),
        Format.JSON: lambda: pairs(json.loads(content)),
        Format.JSONL: lambda: pairs([json.loads(line) for line in content.splitlines()]),
        Format.PARQUET: lambda: duckdb.read_parquet(str(target)).project("row_id, content").fetchall(),
    }
    assert readers[form]() == expected
    assert expected[-1] == ("id40", f"{EVIL}40")
    if form in {Format.JSON, Format.JSONL}:
        assert not set(content.decode()) & set("\x1b\x07\x9b\u202e\u2028\r\t")
    stream = io.BytesIO()
    with open_reader(parted[0]) as reader:
        reader.write(parted[1].run, form, stream)
    assert stream.getvalue() == content


def pairs(records: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(record["row_id"], record["content"]) for record in records]


@pytest.mark.parametrize("form", Format)
def test_a_file_is_whole_or_absent(
    form: Format, parted: tuple[Path, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / f"out.{form}"
    target.parent.mkdir()
    target.write_text("before")
    with open_reader(parted[0]) as reader:
        queries = reader._queries

        def interrupted(run_id: str) -> object:
            for number, query in enumerate(queries(run_id)):
                if number == 3:
                    raise KeyboardInterrupt
                yield query

        monkeypatch.setattr(reader, "_queries", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reader.write(parted[1].run, form, target)
        with pytest.raises(SetupError, match="does not hold"):
            reader.write("nothing-3f9c2a71", form, target)
    assert target.read_text() == "before"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def texts(tmp_path: Path, cells: list[str], column: str = "Note") -> tuple[Path, Made]:
    rows: Rows = [{column: cell} for cell in cells]
    made = make(tmp_path / "made", rows=rows)
    with Sink.open(tmp_path / "results.duckdb") as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(
            made.run, batch(), Rest([answer(made.id(n), cell) for n, cell in enumerate(cells, start=1)], {})
        )
        sink.set_run(made.row())
        sink.refresh()
    return tmp_path / "results.duckdb", made


def column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as handle:
        return [row[name] for row in csv.DictReader(handle)]


def test_formulas_are_taken_for_texts(tmp_path: Path) -> None:
    assert [cell for cell in FORMULAS + HARMLESS if is_formula(cell)] == FORMULAS
    held = texts(tmp_path, FORMULAS + HARMLESS)
    write = partial(as_file, *held, Format.CSV, tmp_path / "out.csv")
    assert write(look=True) == 2 * len(FORMULAS)  # in the data, and in the answers
    assert write() == 0
    assert column(tmp_path / "out.csv", "Note") == FORMULAS + HARMLESS
    write(safe_csv=True)
    for name in ("Note", "content"):
        assert column(tmp_path / "out.csv", name) == [f"'{cell}" for cell in FORMULAS] + HARMLESS


def test_names_of_columns_are_cells_too(tmp_path: Path) -> None:
    held = texts(tmp_path, ["a"], column="=cmd")
    as_file(*held, Format.CSV, tmp_path / "out.csv", safe_csv=True)
    assert ",'=cmd," in (tmp_path / "out.csv").read_text().splitlines()[0]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(st.sampled_from("=+-@\t\r\n .e0a'\uff1d\",;"), max_size=6), min_size=1, max_size=60))
def test_no_text_stays_a_formula_and_none_is_lost(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    folder = tmp_path_factory.mktemp("safe")
    held = texts(folder, cells)
    as_file(*held, Format.CSV, folder / "out.csv", safe_csv=True)
    shown = column(folder / "out.csv", "content")
    assert not any(is_formula(cell) for cell in shown)
    assert shown == [f"'{cell}" if is_formula(cell) else cell for cell in cells]
