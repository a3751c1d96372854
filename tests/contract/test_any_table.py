"""Any table: each kind of input through `batchflow run` on the local provider, compared cell by cell in what was stored
and in what was asked, with values that are easily damaged.
"""

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.deck.test_spreadsheet import write_xlsx
from tests.zygote import Ended, Zygote

TABLES = Path(__file__).parent / "tables"
LONG = "lang " * 4000 + "Ende"
HEADER = ["id", "First Name", "amount", "day", "text", "gap"]
ROWS: list[list[str | None]] = [
    ["007", 'Zoë "Z" Ünal \U0001f600', "2.50", "2024-01-02", "two\nlines, and a comma", None],
    ["008", "  two blanks ", "1e3", "", LONG, "x"],
    ["009", "O'Neil; \\n {{braces}}", "NA", "true", '""', None],
]
Rows = list[list[str | None]]
Made = tuple[dict[str, Any], list[str], Rows]
Run = Callable[..., tuple[Ended, list[str], Rows]]


@pytest.fixture
def run(tmp_path: Path, zygote: Zygote) -> Run:
    """Runs a study on these data in the folder; how it ended, and the header and rows that were stored."""

    def carry_out(data: dict[str, Any], columns: Sequence[str], *, folder: Path = tmp_path) -> Any:
        prompt = "|".join(f"{{{{{name}}}}}" for name in columns)
        study = {
            "version": 1, "name": "table", "data": {"missing": "empty", **data}, "prompt": {"user": prompt},
            "parameters": {"model": "gpt-4o"}, "polling": {"interval": "0.1s"},
        }  # fmt: skip
        folder.mkdir(exist_ok=True)
        (folder / "experiment.yaml").write_text(json.dumps(study))
        ended = zygote.run(folder, ["run", "experiment.yaml", "--json"])
        if ended.status:
            return ended, [], []
        header, rows = stored(folder / "results.duckdb", ended.json()["run"])
        asked = [
            json.loads(line)["body"]["messages"][0]["content"]
            for line in (folder / ended.json()["folder"] / "requests" / "r1-00001.jsonl").read_text().splitlines()
        ]
        assert asked == ["|".join(row[header.index(name)] or "" for name in columns) for row in rows]
        return ended, header, rows

    return carry_out


def stored(database: Path, run_id: str) -> tuple[list[str], Rows]:
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute(f'FROM data."{run_id}" ORDER BY row_number')
        header = [column[0] for column in found.description or ()]
        assert header[:2] == ["row_number", "row_id"]
        return header[2:], [list(row[2:]) for row in found.fetchall()]


def quoted(cell: str | None) -> str:
    return "" if cell is None else '"' + cell.replace('"', '""') + '"'


def csv_text(rows: Rows, header: Sequence[str] = HEADER) -> str:
    lines: Rows = [list(header), *rows]
    return "".join(",".join(map(quoted, row)) + "\n" for row in lines)


def make_database(path: Path, rows: Rows, table: str = "people", header: Sequence[str] = HEADER) -> Path:
    columns = ", ".join(f'"{name}" VARCHAR' for name in header)
    with duckdb.connect(str(path)) as connection:
        connection.execute(f'CREATE TABLE "{table}" ({columns})')
        appender = connection.appender(table, action="insert")
        appender.append_rows(rows)
        appender.flush()
    return path


def make_parquet(path: Path, rows: Rows, header: Sequence[str] = HEADER) -> Path:
    database = make_database(path.with_suffix(".making"), rows, header=header)
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"COPY people TO '{path}'")
    database.unlink()
    return path


def jsonl(folder: Path) -> Made:
    lines = [
        '{"id": "007", "First Name": "Zo\\u00eb \\"Z\\" \U0001f600", "amount": 2.50, "big": 12345678901234567890}',
        '{"id": "008", "day": "2024-01-02", "First Name": null, "yes": true, "deep": {"a": [1.0, "ä"], "b": null}}',
        '{"id": "009", "amount": "", "deep": [], "text": "two\\nlines", " spaced ": 1e3}',
    ]
    (folder / "t.jsonl").write_text("\ufeff" + "\r\n".join(lines) + "\n\n")
    header = ["id", "First Name", "amount", "big", "day", "yes", "deep", "text", "spaced"]
    rows: Rows = [
        ["007", 'Zoë "Z" \U0001f600', "2.50", "12345678901234567890", None, None, None, None, None],
        ["008", None, None, None, "2024-01-02", "true", '{"a":[1.0,"ä"],"b":null}', None, None],
        ["009", None, "", None, None, None, "[]", "two\nlines", "1e3"],
    ]
    return {"source": "t.jsonl", "id": "id"}, header, rows


def parquet(folder: Path) -> Made:
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT '007' AS id, 2.50::DECIMAL(6, 2) AS price, 0.1::FLOAT AS single, 28.0::DOUBLE AS age,"
            " DATE '2024-01-02' AS day, TIMESTAMP '2024-01-02 03:04:05' AS seen, true AS sure,"
            " {'a': [1, NULL], 'b': 'ä'} AS deep, [DATE '2024-01-02'] AS days, '\\xAA\\xBB'::BLOB AS bytes,"
            " TIMESTAMPTZ '2024-01-02 03:04:05+02' AS instant, '' AS empty, 9007199254740993 AS whole, 1 AS n"
            " UNION ALL SELECT '008', NULL, NULL, 'nan'::DOUBLE, NULL, NULL, NULL, NULL, [], NULL, NULL, NULL, NULL, 2"
            " UNION ALL SELECT ' 9', -0.05, 1e10::FLOAT, 1e20, NULL, TIMESTAMP '1999-12-31', false, NULL, NULL, NULL,"
            " NULL, ' x', -1, 3"
            f") TO '{folder / 'people.parquet'}'"
        )
    header = ["id", "price", "single", "age", "day", "seen", "sure", "deep", "days", "bytes", "instant", "empty"]
    first = ["007", "2.50", "0.1", "28", "2024-01-02", "2024-01-02 03:04:05", "true", '{"a":[1,null],"b":"ä"}']
    third = [" 9", "-0.05", "10000000000", "1e+20", None, "1999-12-31 00:00:00", "false", None, None, None, None]
    rows: Rows = [
        [*first, '["2024-01-02"]', "qrs=", "2024-01-02 01:04:05+00", "", "9007199254740993", "1"],
        ["008", None, None, None, None, None, None, None, "[]", None, None, None, None, "2"],
        [*third, " x", "-1", "3"],
    ]
    return {"source": "people.parquet"}, [*header, "whole", "n"], rows


def encoded(folder: Path) -> Made:
    rows: Rows = [[cell.replace("\U0001f600", "€") if cell else cell for cell in row] for row in ROWS]
    (folder / "t.csv").write_bytes(csv_text(rows).replace("\n", "\r\n").encode("windows-1252"))
    crlf: Rows = [[cell.replace("\n", "\r\n") if cell else cell for cell in row] for row in rows]
    return {"source": "t.csv", "encoding": "windows-1252", "id": "id"}, HEADER, crlf


def utf16(folder: Path) -> Made:
    (folder / "t.tsv").write_text("id\tname\n007\tZoë \U0001f600\n008\t\n", encoding="utf-16")
    return {"source": "t.tsv", "encoding": "utf-16"}, ["id", "name"], [["007", "Zoë \U0001f600"], ["008", None]]


def sheet(folder: Path) -> Made:
    nothing = [None] * 4
    rows: list[list[Any]] = [
        ["a title", None, None, None],
        nothing,
        [None, "id", " First Name ", "n"],
        [None, "007", 'Zoë "Z"\n\U0001f600', 28],
        nothing,
        [None, 8, None, 1.5],
        [None, " 9", LONG, True],
        ["a note below"],
    ]
    write_xlsx(folder / "t.xlsx", {"other": [["x"]], "Wave 2": rows})
    data = {"source": "t.xlsx", "sheet": "Wave 2", "range": "B3:D7", "id": "id"}
    told: Rows = [["007", 'Zoë "Z"\n\U0001f600', "28"], ["8", None, "1.5"], [" 9", LONG, "TRUE"]]
    return data, ["id", "First Name", "n"], told


def open_document(folder: Path) -> Made:
    space = "urn:oasis:names:tc:opendocument:xmlns:"
    cells = (
        '<table:table-row><table:table-cell office:value-type="string"><text:p>id</text:p></table:table-cell>'
        '<table:table-cell office:value-type="string"><text:p>day</text:p></table:table-cell></table:table-row>'
        '<table:table-row><table:table-cell office:value-type="string"><text:p>007</text:p></table:table-cell>'
        '<table:table-cell office:value-type="date" office:date-value="2024-01-02"><text:p>02.01.24</text:p>'
        "</table:table-cell></table:table-row>"
    )
    with zipfile.ZipFile(folder / "t.ods", "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{space}manifest:1.0"><manifest:file-entry manifest:full-path="/"'
            ' manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/></manifest:manifest>',
        )
        book.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{space}office:1.0" xmlns:table="{space}table:1.0"'
            f' xmlns:text="{space}text:1.0"><office:body><office:spreadsheet><table:table table:name="S">{cells}'
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    return {"source": "t.ods"}, ["id", "day"], [["007", "2024-01-02"]]


PEOPLE = ["id", "First_Name", "age", "born", "seen", "sex", "score", "words"]


def people(sex_of_third: str | None) -> Rows:
    return [
        [
            "007",
            'Zoë "Z" Ünal \U0001f600',
            "28",
            "1996-01-02",
            "2024-01-02 03:04:05",
            "männlich",
            "2.5",
            "ä" * 900 + " end",
        ],
        ["008", " leading", None, None, "2024-01-02 00:00:00", "weiblich", "0.1", 'two\nlines, "quoted"'],
        ["009", None, "30", "1993-12-31", None, sex_of_third, None, "x"],
    ]


def stata(folder: Path) -> Made:
    shutil.copy(TABLES / "people.dta", folder)
    return {"source": "people.dta", "id": "id"}, PEOPLE, people("9")


def stata_single(folder: Path) -> Made:
    shutil.copy(TABLES / "single.dta", folder)
    return {"source": "single.dta"}, ["id", "x", "n"], [["007", "0.1", "1"], ["008", "2.5", "2"]]


def spss(folder: Path) -> Made:
    shutil.copy(TABLES / "people.sav", folder)
    return {"source": "people.sav", "id": "id"}, PEOPLE, people(None)


def sqlite(folder: Path) -> Made:
    with sqlite3.connect(folder / "t.db") as database:
        database.execute('CREATE TABLE a (id TEXT, "First Name" TEXT, amount REAL, n INTEGER, bytes BLOB)')
        database.execute("CREATE TABLE b (x)")
        database.execute("INSERT INTO a VALUES ('007', 'Zoë \"Z\"\n', 2.5, 9007199254740993, x'aabb')")
        database.execute("INSERT INTO a VALUES ('008', '', 3.0, NULL, NULL)")
    database.close()
    rows: Rows = [["007", 'Zoë "Z"\n', "2.5", "9007199254740993", "qrs="], ["008", "", "3", None, None]]
    return {"source": "t.db", "table": "a", "id": "id"}, ["id", "First Name", "amount", "n", "bytes"], rows


def duck(folder: Path) -> Made:
    make_database(folder / "t.duckdb", ROWS)
    return {"source": "t.duckdb", "id": "id"}, HEADER, ROWS


def several(folder: Path) -> Made:
    (folder / "answers-2.csv").write_text(csv_text(ROWS[1:]))
    (folder / "answers-10.csv").write_text(csv_text(ROWS[:1]))
    (folder / "other.csv").write_text("x\n1\n")
    return {"source": "answers-*.csv", "id": "id"}, HEADER, ROWS


def query(folder: Path) -> Made:
    make_parquet(folder / "a.parquet", ROWS)
    (folder / "sub").mkdir()
    (folder / "sub" / "b.csv").write_text('id,code,note\n008,0010,"a ""b"""\n007,2.50,\n')
    sql = (
        "select a.id, \"First Name\", b.code, b.note, price::decimal(4,1) as price, text from 'a.parquet' a"
        " join 'sub/b.csv' b using (id) cross join read_csv('sub/b.csv', all_varchar=true) c"
        " cross join (select 2.5 as price) where c.id = '007' and b.code <> '2' order by id desc -- the end; "
    )
    header = ["id", "First Name", "code", "note", "price", "text"]
    rows: Rows = [
        ["008", ROWS[1][1], "0010", 'a "b"', "2.5", LONG],
        ["007", ROWS[0][1], "2.50", None, "2.5", ROWS[0][4]],
    ]
    return {"query": sql, "id": "id"}, header, rows


KINDS = [jsonl, parquet, encoded, utf16, sheet, open_document, stata, stata_single, spss, sqlite, duck, several, query]


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_arrives_as_it_is(kind: Callable[[Path], Made], tmp_path: Path, run: Run) -> None:
    data, header, rows = kind(tmp_path)
    ended, found_header, found = run(data, header[:3])
    assert ended.status == 0, ended.stderr
    assert found_header == header
    assert found == rows


def test_the_results_of_another_run_are_data(tmp_path: Path, run: Run) -> None:
    """By the name of a run, by the path of a study; all of it, or a query over it joined with a file."""
    first, _, _ = run({"source": "people.csv", "id": "id"}, HEADER[:1], folder=_people(tmp_path / "first"))
    name = first.json()["run"]
    sql = (
        "select r.row_id as id, content, n.text from results r join 'notes.csv' n on r.row_id = n.id"
        " where row_number < 3 order by row_number"
    )
    second = tmp_path / "second"
    second.mkdir()
    (second / "notes.csv").write_text('id,text\n007,"a ""b"""\n008,\n')
    for named in ("../first", "../first/experiment.yaml", f"../first/runs/{name}"):
        ended, header, rows = run({"run": named, "query": sql, "id": "id"}, ["id", "content"], folder=second)
        assert ended.status == 0, ended.stderr
        assert header == ["id", "content", "text"]
        assert [(row[0], row[2]) for row in rows] == [("007", 'a "b"'), ("008", None)]
        assert "the data are SIMULATED" in ended.stderr
    # a run of the same project by its name, without a query
    ended, header, rows = run({"run": name}, ["gap", "outcome"], folder=tmp_path / "first")
    assert ended.status == 0, ended.stderr
    assert [row[header.index("text")] for row in rows] == [row[4] for row in ROWS]
    assert [row[header.index("data_row_id")] for row in rows] == ["007", "008", "009"]
    assert {row[header.index("outcome")] for row in rows} == {"answered"}
    assert {row[header.index("simulated")] for row in rows} == {"true"}
    told = [line for line in ended.stderr.splitlines() if "columns" in line and line.startswith("note:")]
    assert all(" in all)" in line and len(line) < 300 for line in told), told


def test_a_run_without_answers_is_no_data(tmp_path: Path, run: Run, zygote: Zygote) -> None:
    folder = _people(tmp_path / "first")
    ended, _, _ = run({"run": "nothing"}, ["id"], folder=folder)
    assert ended.status == 3
    assert "there is no run 'nothing'" in ended.stderr
    never = _people(tmp_path / "never")
    (never / "experiment.yaml").write_text((folder / "experiment.yaml").read_text())
    ended, _, _ = run({"run": "../never"}, ["id"], folder=folder)
    assert ended.status == 3
    assert "the study ../never was never run" in ended.stderr
    assert "run that study first: `batchflow run" in ended.stderr
    first, _, _ = run({"source": "people.csv"}, ["id"], folder=folder)
    name = first.json()["run"]
    (folder / "results.duckdb").unlink()
    ended, _, _ = run({"run": name}, ["row_id"], folder=folder)
    assert ended.status == 3
    assert "there is no results database" in ended.stderr
    zygote.run(folder, ["load", f"runs/{name}", "--rebuild"])
    held = duckdb.connect(str(folder / "results.duckdb"))
    try:
        ended, _, _ = run({"run": name}, ["row_id"], folder=folder)
    finally:
        held.close()
    assert ended.status == 3
    assert "is held by" in ended.stderr


def _people(folder: Path) -> Path:
    folder.mkdir()
    (folder / "people.csv").write_text(csv_text(ROWS))
    return folder
