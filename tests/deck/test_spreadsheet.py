"""Excel files as tables: cells as text, missing cells missing, and a clear word where the reader is not installed."""

import json
import sys
import zipfile
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from batchflow.errors import DataError, SetupError
from batchflow.plan.batch_file import Order, make
from batchflow.sources.spreadsheet import Spreadsheet, cell_text

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def cell(value: Any) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def write_xlsx(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    """The least that is a workbook."""
    named = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, start=1))
    related = "".join(
        f'<Relationship Id="r{n}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n, _ in enumerate(sheets, start=1)
    )
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("[Content_Types].xml", f'<Types xmlns="{PACKAGE}/content-types"/>')
        root = f'<Relationship Id="r1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
        book.writestr("_rels/.rels", f'<Relationships xmlns="{PACKAGE}/relationships">{root}</Relationships>')
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{named}</sheets></workbook>'
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}/relationships">{related}</Relationships>'
        )
        for n, rows in enumerate(sheets.values(), start=1):
            told = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            book.writestr(
                f"xl/worksheets/sheet{n}.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{told}</sheetData></worksheet>'
            )
    return path


ROWS: list[list[Any]] = [
    ["id", "age", "topic"],
    ["007", 28, 'bears, "big" ones\nand small'],
    ["x-1", 1.5, "é"],
    [None, None, None],
]


def order(folder: Path, text: str = "{{id}}/{{age}}/{{topic}}", **how: Any) -> Order:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    (folder / "body.json").write_text(json.dumps(body))
    return Order(folder / "body.json", folder / "rows.xlsx", folder / "out.jsonl", **how)


def prompts(folder: Path, **how: Any) -> list[str]:
    (file,) = make(order(folder, **how), lambda _done, _total: None).files
    return [json.loads(line)["body"]["messages"][0]["content"] for line in file.path.read_bytes().splitlines()]


def test_cells_are_asked_as_they_are_read(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "rows.xlsx", {"people": ROWS})
    assert prompts(tmp_path, id_column="id") == ['007/28/bears, "big" ones\nand small', "x-1/1.5/é"]


def test_another_sheet_is_named(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "rows.xlsx", {"people": ROWS, "more": [*ROWS[:1], ["a", True, "b"]]})
    assert prompts(tmp_path, sheet="more") == ["a/TRUE/b"]
    made = make(order(tmp_path), lambda _done, _total: None)
    assert "the sheet 'people' is read, and not 'more' (--sheet names another)" in made.notes
    with pytest.raises(DataError, match="there is no sheet 'none'"):
        prompts(tmp_path, sheet="none")
    with pytest.raises(DataError) as caught:
        prompts(tmp_path, sheet="Peopel")
    assert caught.value.faults[0].remedy == "did you mean 'people'? its sheets are people, more"


def test_an_empty_cell_is_missing(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "rows.xlsx", {"people": [["id", "age", "topic"], ["1", None, "bears"]]})
    with pytest.raises(DataError, match="row 1 column 'age'"):
        prompts(tmp_path)
    assert prompts(tmp_path, missing="empty") == ["1//bears"]


def test_what_is_no_workbook_is_said(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"id,age,topic\n")
    with pytest.raises(DataError, match="no spreadsheet program wrote it"):
        prompts(tmp_path)


def test_a_missing_reader_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(SetupError) as caught:
        Spreadsheet(write_xlsx(tmp_path / "rows.xlsx", {"people": ROWS}), "rows.xlsx").inspect()
    assert caught.value.hint == "install it: pip install 'batchflow-llm[xlsx]'"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (28.0, "28"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (1e20, "1e+20"),
        (True, "TRUE"),
        (datetime(2024, 10, 17), "2024-10-17"),  # noqa: DTZ001 - a sheet knows no time zone
        (datetime(2024, 10, 17, 9, 30), "2024-10-17 09:30:00"),  # noqa: DTZ001 - as above
        (date(2024, 10, 17), "2024-10-17"),
        (time(9, 30), "09:30:00"),
        (" 007 ", " 007 "),
        ("", ""),
    ],
)
def test_a_cell_as_text(value: Any, text: str) -> None:
    assert cell_text(value) == text
