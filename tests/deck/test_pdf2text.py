"""The text of PDF files as a table: pages chosen, broken files named, ready for make-batch-file."""

import csv
import json
import sys
from pathlib import Path

import pytest

from batchflow.errors import SetupError
from batchflow.sources.pdf import to_table
from tests.zygote import Zygote

FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def write_pdf(path: Path, *pages: str) -> Path:
    """The least that is a PDF with a line of text on each page."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        FONT,
    ]
    for number, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        frame = "/MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
        objects += [
            f"<< /Type /Page /Parent 2 0 R {frame} /Contents {5 + 2 * number} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    written, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    path.write_bytes(written + f"{tail}startxref\n{len(written)}\n%%EOF\n".encode())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "papers").mkdir()
    write_pdf(tmp_path / "papers" / "b.PDF", "about bears")
    write_pdf(tmp_path / "papers" / "a.pdf", 'page "one"', "page two", "page three")
    (tmp_path / "papers" / "notes.txt").write_text("no PDF")
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_a_folder_becomes_a_table_that_can_be_asked_about(folder: Path, zygote: Zygote) -> None:
    ended = zygote.run(folder, ["utils", "pdf2text", "papers", "--json"])
    assert ended.status == 0, ended.stderr
    assert ended.json()["files"] == [
        {"name": "a.pdf", "pages": 3, "characters": 32},
        {"name": "b.PDF", "pages": 1, "characters": 11},
    ]
    assert rows(folder / "pdf-texts.csv")[0] == {
        "file": "a.pdf",
        "pages": "3",
        "text": 'page "one"\n\npage two\n\npage three',
    }
    (folder / "body.json").write_text('{"model": "m", "messages": [{"role": "user", "content": "{{text}}"}]}')
    assert zygote.run(folder, ["make-batch-file", "body.json", "pdf-texts.csv"]).status == 0
    lines = (folder / "batch-requests.jsonl").read_bytes().splitlines()
    assert json.loads(lines[1])["body"]["messages"][0]["content"] == "about bears"


def test_pages_are_chosen_and_a_file_without_them_is_said(folder: Path, zygote: Zygote) -> None:
    ended = zygote.run(folder, ["utils", "pdf2text", "papers", "--start", "2", "--end", "2", "--out", "two.csv"])
    assert (ended.status, "ended before page 2, so that no text is taken: b.PDF (1 page)" in ended.stderr) == (0, True)
    assert "scanned" not in ended.stderr
    assert [row["text"] for row in rows(folder / "two.csv")] == ["page two", ""]


def test_a_broken_file_is_named_and_nothing_is_written(folder: Path, zygote: Zygote) -> None:
    (folder / "papers" / "c.pdf").write_bytes(b"%PDF-1.4\nbroken")
    ended = zygote.run(folder, ["utils", "pdf2text", "papers"])
    assert (ended.status, "papers/c.pdf: the file cannot be read" in ended.stderr) == (3, True)
    assert not (folder / "pdf-texts.csv").exists()


@pytest.mark.parametrize(
    "words", [("nowhere",), (".",), ("papers", "--start", "3", "--end", "2"), ("papers", "--out", "papers/notes.txt")]
)
def test_what_cannot_be_done_is_said(folder: Path, zygote: Zygote, words: tuple[str, ...]) -> None:
    ended = zygote.run(folder, ["utils", "pdf2text", *words])
    assert (ended.status, "hint:" in ended.stderr) == (2, True)
    assert (folder / "papers" / "notes.txt").read_text() == "no PDF"


def test_a_missing_reader_is_named_with_the_command_that_installs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(SetupError) as caught:
        to_table([folder / "a.pdf"], folder / "out.csv", first=1, last=None, advance=lambda _done, _total: None)
    assert caught.value.hint == "install it: pip install 'batchflow-llm[pdf]'"
    assert not (folder / "out.csv").exists()
