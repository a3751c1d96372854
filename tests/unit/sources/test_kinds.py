"""Every kind of table but CSV: what is refused and where that is, what a query may reach, when rows are read again."""

import json
import sqlite3
import sys
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from batchflow.errors import DataError, SetupError, SpecError, TemplateError
from batchflow.identity import JsonNumber
from batchflow.plan.study import compile_study
from batchflow.sources import text
from batchflow.sources.cells import Range, range_of
from batchflow.sources.opening import open_source
from batchflow.sources.table import Imported, Source, import_rows
from batchflow.sources.workshop import Workshop
from batchflow.spec.load import load_spec
from tests.deck.test_spreadsheet import write_xlsx


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def opened(**data: Any) -> Source:
    study = {"version": 1, "name": "t", "data": data, "prompt": {"user": "x"}}
    Path("experiment.yaml").write_text(json.dumps(study))
    return open_source(load_spec(Path("experiment.yaml")), Workshop())


def imported(required: tuple[str, ...] = (), **data: Any) -> tuple[Imported, list[tuple[Any, ...]]]:
    source = opened(**data)
    reading = source.inspect()
    target = Path("rows.parquet")
    facts = import_rows(
        source, reading, id_column=data.get("id"), required=required, missing="error", target=target
    )  # fmt: skip
    with duckdb.connect() as database:
        rows = database.execute("SELECT * FROM 'rows.parquet'").fetchall()
    target.unlink()
    return facts, rows


def refused(required: tuple[str, ...] = (), **data: Any) -> str:
    with pytest.raises((DataError, SpecError)) as caught:
        imported(required, **data)
    assert not Path("rows.parquet").exists()
    return caught.value.text()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"a": 1, "a": 2}', "t.jsonl:2: the key 'a' stands twice"),
        ('{"a": {"b": 1, "b": 2}}', "t.jsonl:2: the key 'b' stands twice"),
        ('{"a": 1', "t.jsonl:2: this line is no JSON"),
        ("[1]", "t.jsonl:2: this line holds a list, not an object"),
        ('{"a": NaN}', "t.jsonl:2: NaN is no JSON"),
        ('{"a": "\\ud83d"}', "t.jsonl:2: half of a character stands alone"),
        ("[" * 100_000, "t.jsonl:2: this line is nested too deeply"),
        ('{"": 1}', "has no name"),
        ('{" a": 1}', "the column name 'a' stands twice"),
    ],
)
def test_a_faulty_line_of_json_is_named(line: str, words: str) -> None:
    Path("t.jsonl").write_text('{"a": 1}\n' + line + "\n")
    assert words in refused(source="t.jsonl")


def test_json_that_is_no_utf8_is_said_with_a_remedy_that_holds() -> None:
    Path("t.jsonl").write_bytes(b'{"a": "\xe9"}\n')
    said = refused(source="t.jsonl")
    assert "t.jsonl:1:8: the file is not UTF-8" in said
    assert "encoding:" not in said


def test_faults_of_json_name_the_line() -> None:
    Path("t.jsonl").write_text('{"id": "1"}\n\n{"id": "1", "x": null}\n{"id": "2", "x": "y"}\n')
    said = refused(("x",), source="t.jsonl", id="id")
    assert "t.jsonl:1: 1 id stands in several rows of the column 'id': '1' in rows 1 and 2" in said
    assert "row 1 (id '1') column 'x'; row 2 (id '1') column 'x'" in said
    assert "t.jsonl:3" not in said
    Path("t.jsonl").write_text('{"id": "1", "x": 1}\n\n{"id": "2", "x": null}\n')
    assert "t.jsonl:3: 1 cell is missing" in refused(("x",), source="t.jsonl", id="id")


def test_faults_of_a_sheet_name_sheet_and_row() -> None:
    rows: list[list[Any]] = [[], ["id", "x"], [], ["1", "a"], ["1", None]]
    write_xlsx(Path("t.xlsx"), {"one": [["z"]], "S 2": rows})
    said = refused(("x",), source="t.xlsx", sheet="S 2", id="id")
    assert "t.xlsx, sheet 'S 2', row 4: 1 id stands in several rows" in said
    assert "t.xlsx, sheet 'S 2', row 5: 1 cell is missing" in said
    assert "its sheets are one, S 2" in refused(source="t.xlsx", sheet="none")
    assert "there is a header and no rows" in refused(source="t.xlsx", sheet="one")
    write_xlsx(Path("t.xlsx"), {"one": [["id", None, "x", "y"], ["1", "2", "3", "4"]]})
    assert "column 2 of 4 has no name" in refused(source="t.xlsx")
    write_xlsx(Path("t.xlsx"), {"one": [["id", "x"], ["1", "2", "3"]]})
    assert "row 2: a cell right of the last column name holds '3'" in refused(source="t.xlsx")
    assert imported(source="t.xlsx", range="A:B")[1] == [(1, "1", "1", "2")]


def test_a_column_that_is_missing_may_stand_in_another_sheet() -> None:
    write_xlsx(Path("t.xlsx"), {"Info": [["x"], ["y"]], "Data": [["pid", "word"], ["1", "a"]]})
    study: dict[str, Any] = {"version": 1, "name": "t", "parameters": {"model": "m"}}
    for data, slot in (({"id": "pid"}, "x"), ({}, "word")):
        study |= {"data": {"source": "t.xlsx", **data}, "prompt": {"user": f"{{{{{slot}}}}}"}}
        Path("experiment.yaml").write_text(json.dumps(study))
        with pytest.raises((SpecError, TemplateError)) as caught:
            compile_study(load_spec(Path("experiment.yaml")))
        words = "the sheet 'Info' is read, and not 'Data' (`sheet` under `data:` names another)"
        assert caught.value.text().endswith(f"hint: {words}")


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        ("B3:F200", Range(2, 1, 199, 5)),
        ("$B$3:$F$200", Range(2, 1, 199, 5)),
        ("A:D", Range(0, 0, None, 3)),
        ("b3:AA", Range(2, 1, None, 26)),
        (None, Range()),
    ],
)
def test_ranges(cells: str | None, meant: Range) -> None:
    assert range_of(cells) == meant


def test_faults_of_several_files_name_the_file() -> None:
    Path("a-1.csv").write_text("id,x\n1,a\n2,b\n")
    Path("a-2.csv").write_text("x,id\n,3\nd,1\n")
    said = refused(("x",), source="a-*.csv", id="id")
    assert "a-1.csv:2: 1 id stands in several rows of the column 'id': '1' in rows 1 and 4" in said
    assert "a-2.csv:2: 1 cell is missing" in said
    Path("a-3.csv").write_text("id,y\n5,e\n")
    said = refused(source="a-*.csv", id="id")
    assert "a-3.csv: this file lacks the columns of a-1.csv: 'x'" in said
    assert "a-3.csv: this file has, beyond them, the columns of a-1.csv: 'y'" in said
    Path("a-3.csv").write_text("id,x\n5\n")
    Path("a-4.csv").write_text('id,x\n5,"\n')
    said = refused(source="a-*.csv", id="id")
    assert "a-3.csv:2: 1 value here" in said
    assert "a-4.csv:2:3: a quote is opened here" in said
    assert "no file matches 'b-*.csv'" in refused(source="b-*.csv")


def test_columns_of_several_files_stand_as_in_the_first() -> None:
    Path("a-1.csv").write_text("id,row_id,x\n1,r,a\n")
    Path("a-2.csv").write_text("x;row_id;id\nd;s;2\n")
    _, rows = imported(source="a-*.csv", id="id")
    assert rows == [(1, "1", "1", "r", "a"), (2, "2", "2", "s", "d")]


def test_a_name_with_a_star_is_a_file_where_there_is_one() -> None:
    Path("a*.csv").write_text("id\n1\n")
    Path("ab.csv").write_text("id\n2\n")
    assert imported(source="a*.csv")[1] == [(1, "1", "1")]


def test_an_sqlite_file_that_another_program_writes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    writing = sqlite3.connect("t.db")
    writing.executescript("CREATE TABLE t (id TEXT); INSERT INTO t VALUES ('1'); BEGIN EXCLUSIVE")
    monkeypatch.setattr("batchflow.sources.sqlite.sqlite3.connect", partial(sqlite3.connect, timeout=0.01))
    try:
        with pytest.raises(DataError) as caught:
            opened(source="t.db").inspect()
    finally:
        writing.close()
    (fault,) = caught.value.faults
    assert (fault.cause, fault.remedy) == ("another program holds the file", "close that program and run again")


def test_databases_list_their_tables(tmp_path: Path) -> None:
    with sqlite3.connect("t.db") as database:
        database.execute("CREATE TABLE one (id)")
        database.execute("CREATE VIEW two AS SELECT 1 AS id")
    database.close()
    said = refused(source="t.db")
    assert "the file holds 2 tables: one, two" in said
    assert "`table: one`" in said
    assert imported(source="t.db", table="TWO")[1] == [(1, "1", "1")]
    assert "the table has no rows" in refused(source="t.db", table="one")
    assert "there is no table 'three' in the file" in refused(source="t.db", table="three")
    with duckdb.connect("t.duckdb") as made:
        made.execute("CREATE SCHEMA s; CREATE TABLE s.one AS SELECT '007' AS id; CREATE VIEW v AS FROM s.one")
        made.execute(f"CREATE VIEW spy AS FROM read_text('{tmp_path / 'experiment.yaml'}')")
    assert "the file holds 3 tables: spy, v, s.one" in refused(source="t.duckdb")
    for table in ("v", "s.one"):
        assert imported(source="t.duckdb", table=table)[1] == [(1, "1", "007")]
    assert "disabled by configuration" in refused(source="t.duckdb", table="spy")
    Path("t.duckdb").write_bytes(b"x" * 100)
    assert "neither an SQLite nor a DuckDB file" in refused(source="t.duckdb")


def test_tables_that_are_too_wide_to_be_loaded_are_refused() -> None:
    names = ",".join(f"c{number}" for number in range(2_001))
    Path("t.csv").write_text(f"{names}\n{names}\n")
    assert "the table has 2,001 columns; at most 2,000 can be read" in refused(source="t.csv")


def test_damaged_files_are_said() -> None:
    for name in ("t.parquet", "t.xlsx", "t.dta", "t.sav"):
        Path(name).write_bytes(b"nothing of the kind")
        assert f"{name}: the file cannot be read" in refused(source=name)
    Path("t.csv").write_bytes(b"a\n1\n\x81\n")
    assert "t.csv:3: the byte 0x81 in or below this line is no windows-1252" in refused(
        source="t.csv", encoding="windows-1252"
    )
    Path("t.csv").write_bytes(b"a\n1\n\xe4\xf6\xfc")
    assert imported(source="t.csv", encoding="latin-1")[1][1][2] == "äöü"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select 1; select 2", "the query has 2 statements"),
        ("copy (select 1) to 'x.csv'", "must be a SELECT; it is COPY"),
        ("attach 'x.db'", "must be a SELECT; it is ATTACH"),
        ("install httpfs", "must be a SELECT; it is"),
        ("set threads = 4", "must be a SELECT; it is"),
        ("", "`data.query` is empty"),
        ("-- nothing", "must be a SELECT; there is none"),
        ("selec 1", "DuckDB cannot parse the query"),
        ("with x as (insert into t values (1) returning *) select * from x", "changes something"),
        ("select random() as x", "random() gives another value each time"),
        ("select now() as x", "now() gives another value each time"),
        ("select current_date as x", "gives another value each time"),
        ("select * from 'in.csv' using sample 1 rows", "a sample gives other rows each time"),
        ("select * from 'none.csv'", "the query names 'none.csv', which is not in the folder of experiment.yaml"),
        ("select * from '../out.csv'", "lies outside the project's folder"),
        ("select * from read_csv('../out.csv')", "disabled by configuration"),
        ("select * from read_text('{outside}')", "disabled by configuration"),
        ("select * from glob('/etc/*')", "disabled by configuration"),
        ("select * from 'l*k.csv'", "lies outside the project's folder"),
        ("select * from query('select random() as x')", "query() hides what is asked for"),
        ("select age(timestamp '2000-01-01')::varchar as x", "age() gives another value each time"),
        ("select * from '{outside}'", "lies outside the project's folder"),
        ("select * from read_csv('https://localhost/x.csv')", "disabled by configuration"),
        ("select getenv('HOME') as x", "getenv does not exist"),
        ("select * from 'in.csv' where id > 30", "remedy: cells are text: write id::int > 30"),
        ("select nothing from 'in.csv'", 'Referenced column "nothing" not found'),
        ("select a.id, b.id from 'in.csv' a, 'in.csv' b", "two columns of the query are called 'id'"),
        ("select * from 'in.csv' where false", "has no rows"),
    ],
)
def test_a_query_is_one_select_that_reaches_the_folder_only(query: str, words: str, tmp_path: Path) -> None:
    outside = tmp_path.parent / "out.csv"
    outside.write_text("id\n1\n")
    Path("link.csv").symlink_to(outside)
    Path("in.csv").write_text("id\n007\n")
    said = refused(query=query.format(outside=outside))
    assert words in said
    assert "experiment.yaml:1:" in said or "has no rows" in words
    assert not Path("x.csv").exists()


def test_a_query_reads_files_of_every_kind_as_they_are_read_elsewhere() -> None:
    Path("sub").mkdir()
    Path("sub/ä b.csv").write_text("id, n\n007, 2.50\n")
    Path("t.jsonl").write_text('{"id": "007", "m": 1.0}\n')
    write_xlsx(Path("old.xlsx"), {"one": [["id", "w"], ["007", "x"]]})
    sql = (
        "with j as (from 't.jsonl') select 'ö' as o, n, m, w, (select count(*) from glob('sub/*.csv')) as files"
        " from 'sub/ä b.csv' join j using (id) join \"old.xlsx\" using (id);"
    )
    _, rows = imported(query=sql, encoding="utf-8")
    assert rows == [(1, "1", "ö", "2.50", "1.0", "x", "1")]


def test_a_query_names_sheets_and_tables_behind_the_file() -> None:
    write_xlsx(Path("book.xlsx"), {"Info": [["x"], ["y"]], "Wave #2": [["id", "w"], ["007", "b"]]})
    with sqlite3.connect("t#1.db") as database:
        database.execute("CREATE TABLE one (id)")
        database.execute("CREATE TABLE 'two/#2' AS SELECT '007' AS id, 'z' AS v")
    database.close()
    with duckdb.connect("t.duckdb") as made:
        made.execute("CREATE SCHEMA s; CREATE TABLE s.one AS SELECT '007' AS id, 'q' AS u; CREATE TABLE other (x INT)")
    both = (
        "select id, w, v, u from 'book.xlsx#Wave #2' join 't#1.db#TWO/#2' using (id) join 't.duckdb#s.one' using (id)"
    )
    assert imported(query=both)[1] == [(1, "1", "007", "b", "z", "q")]
    assert "name one of them in the query, e.g. 't#1.db#one'" in refused(query="from 't#1.db'")
    assert "name one of them in the query, e.g. 't.duckdb#other'" in refused(query="from 't.duckdb'")
    assert "there is no table 'three' in the file" in refused(query="from 't#1.db#three'")
    assert "its sheets are Info, Wave #2" in refused(query="from 'book.xlsx#Wave'")
    assert "the query names 'none.xlsx', which is not in the folder" in refused(query="from 'none.xlsx#Wave #2'")
    assert "lies outside the project's folder" in refused(query="from '../t.db#one'")
    words = "the sheet 'Info' is read, and not 'Wave #2' (the query names another by 'book.xlsx#Wave #2')"
    assert opened(query="from 'book.xlsx'").inspect().notes == (f"book.xlsx: {words}",)


def test_delimited_files_of_a_query_may_have_another_encoding() -> None:
    Path("old.csv").write_bytes("id,w\n007,\xfc\n".encode("latin-1"))
    assert imported(query="from 'old.csv'", encoding="latin-1")[1] == [(1, "1", "007", "ü")]
    assert "old.csv:2:5: the file is not UTF-8" in refused(query="from 'old.csv'")


def test_rows_of_a_query_keep_its_order() -> None:
    Path("t.csv").write_text("id\n" + "".join(f"{n:05d}\n" for n in range(30_000)))
    _, rows = imported(query="select id from 't.csv' order by id desc")
    assert [row[2] for row in rows] == [f"{n:05d}" for n in reversed(range(30_000))]


def test_an_address_is_fetched() -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/bucket/people.csv", "id,x\n007,ä\n008,\n".encode())
    facts, rows = imported(source="memory://bucket/people.csv", id="id")
    assert rows == [(1, "007", "007", "ä"), (2, "008", "008", None)]
    assert facts.source_sha256
    assert "memory://bucket/people.csv:3: 1 cell is missing" in refused(("x",), source="memory://bucket/people.csv")
    assert "nothing lies at this address" in refused(source="memory://bucket/none.csv")
    with pytest.raises(SetupError) as caught:
        opened(source="s3://bucket/people.csv")
    assert caught.value.hint == "install it: pip install 'batchflow-llm[remote]' s3fs"


@pytest.mark.parametrize(
    ("source", "module", "extra"),
    [("t.sav", "pyreadstat", "stats"), ("memory://b/t.csv", "fsspec", "remote"), ("t.xlsx", "python_calamine", "xlsx")],
)
def test_a_missing_extra_is_named_with_its_command(
    source: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(Path(source).name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SetupError) as caught:
        opened(source=source).inspect()
    assert caught.value.hint == f"install it: pip install 'batchflow-llm[{extra}]'"


def test_equal_rows_have_equal_hashes_whatever_they_are_read_from() -> None:
    Path("t.csv").write_text('id,x\n007,"ä"\n008,\n')
    Path("t.jsonl").write_text('{"id": "007", "x": "ä"}\n{"id": "008"}\n')
    hashes = set()
    kinds: list[dict[str, Any]] = [{"source": "t.csv"}, {"source": "t.jsonl"}, {"query": "from 't.csv'"}]
    for data in (*kinds, {"source": "*.csv"}):
        hashes.add(imported(**data)[0].sha256)
    assert len(hashes) == 1


def test_what_is_known_without_reading_rows() -> None:
    for name in ("a-1.csv", "a-2.csv"):
        Path(name).write_text("id\n1\n")
    first = opened(source="a-*.csv").digest()
    assert first == opened(source="a-*.csv").digest()
    Path("a-2.csv").write_text("id\n2\n")
    assert opened(source="a-*.csv").digest() != first
    assert opened(query="select 1").digest() is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, None),
        ("", ""),
        (" 007", " 007"),
        (True, "true"),
        (28.0, "28"),
        (0.1, "0.1"),
        (float("nan"), None),
        (JsonNumber("2.50"), "2.50"),
        (9007199254740993, "9007199254740993"),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02 03:04:05+00:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(9, 30), "09:30:00"),
        (timedelta(hours=30, seconds=5), "30:00:05"),
        (-timedelta(minutes=1, milliseconds=500), "-00:01:00.500000"),
        (b"\xaa\xbb", "qrs="),
        ({"a": [JsonNumber("1.0"), None, "ä"]}, '{"a":[1.0,null,"ä"]}'),
    ],
)
def test_the_text_of_a_value(value: Any, said: str | None) -> None:
    assert text.of_value(value) == said


def test_a_number_of_single_precision_is_as_short_as_it_was_written() -> None:
    assert text.of_value(0.10000000149011612, single=True) == "0.1"
    assert text.of_value(16777217.0, single=True) == "16777217"
