"""A batch file from a template and a table: its lines, its limits, and that it is whole or absent."""

import json
from pathlib import Path

import pytest

from batchflow.errors import DataError
from batchflow.plan import batch_file
from batchflow.plan.batch_file import Order, make, numbered, standing

STUDY = Path(__file__).parents[2] / "projects" / "image-appeal"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "About {{topic}}"}]}


def order(folder: Path, rows: str = "id,topic\na-1,bears\na-2,tigers\na-3,lions\n", **how: str) -> Order:
    (folder / "body.json").write_text(json.dumps(BODY))
    (folder / "rows.csv").write_text(rows)
    return Order(folder / "body.json", folder / "rows.csv", folder / "out.jsonl", **how)  # type: ignore[arg-type]


def quiet(_done: int, _total: int) -> None:
    """Nobody looks."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in {"body.json", "rows.csv"})


def test_the_decks_file_is_the_decks_file(tmp_path: Path) -> None:
    made = make(Order(STUDY / "prompt.json", STUDY / "personas.csv", tmp_path / "out.jsonl"), quiet)
    (file,) = made.files
    lines = [json.loads(line) for line in file.path.read_bytes().splitlines()]
    assert [line["custom_id"] for line in lines] == [f"id_{number}" for number in range(26)]
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert list(lines[0]) == ["custom_id", "method", "url", "body"]
    assert lines[0]["body"]["messages"][0]["content"][0]["text"].endswith(
        "Here is your persona: Hank Rodriguez is a 28 year old black architect who enjoys Star Wars."
    )
    assert [part["type"] for part in lines[0]["body"]["messages"][1]["content"]] == ["text", "image_url"]
    assert (file.requests, file.bytes, made.model) == (26, file.path.stat().st_size, "gpt-4o")


def test_a_column_gives_the_ids(tmp_path: Path) -> None:
    (file,) = make(order(tmp_path, id_column="id"), quiet).files
    assert [json.loads(line)["custom_id"] for line in file.path.read_bytes().splitlines()] == ["a-1", "a-2", "a-3"]


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    (first,) = make(order(tmp_path), quiet).files
    before = first.path.read_bytes()
    assert make(order(tmp_path), quiet).files == (first,)
    assert first.path.read_bytes() == before


@pytest.mark.parametrize("limit", ["MOST_REQUESTS", "MOST_BYTES"])
def test_what_does_not_fit_goes_into_numbered_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    (whole,) = make(order(tmp_path), quiet).files
    content = whole.path.read_bytes()
    lines = content.splitlines(keepends=True)
    monkeypatch.setattr(batch_file, limit, 2 if limit == "MOST_REQUESTS" else len(lines[0]) + len(lines[1]))
    made = make(order(tmp_path), quiet).files
    assert [file.path.name for file in made] == ["out.jsonl", "out-00002.jsonl"]
    assert [file.requests for file in made] == [2, 1]
    assert b"".join(file.path.read_bytes() for file in made) == content
    assert standing(tmp_path / "out.jsonl") == [file.path for file in made]
    assert numbered(tmp_path / "out.jsonl", 3).name == "out-00003.jsonl"


def test_a_row_that_no_file_can_hold_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_file, "MOST_BYTES", 50)
    with pytest.raises(DataError, match=r"row 1: its request has \d+ bytes"):
        make(order(tmp_path), quiet)
    assert names(tmp_path) == []


def test_a_fault_in_the_last_rows_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_file, "CHUNK", 1)
    with pytest.raises(DataError, match="row 3: 'a 3' in the column 'id' cannot be a custom_id"):
        make(order(tmp_path, "id,topic\na-1,bears\na-2,tigers\na 3,lions\n", id_column="id"), quiet)
    assert names(tmp_path) == []


def test_many_faults_are_counted(tmp_path: Path) -> None:
    rows = "id,topic\n" + "".join(f"no {number},bears\n" for number in range(30))
    with pytest.raises(DataError) as caught:
        make(order(tmp_path, rows, id_column="id"), quiet)
    assert len(caught.value.faults) == 20
    assert "30 faults found, nothing was sent; the first 20 are shown" in caught.value.text()


def test_an_empty_cell_is_asked_about_only_if_told(tmp_path: Path) -> None:
    rows = "id,topic\n1,bears\n2,\n"
    with pytest.raises(DataError, match="missing") as caught:
        make(order(tmp_path, rows), quiet)
    assert "--missing empty" in caught.value.faults[0].remedy
    (file,) = make(order(tmp_path, rows, missing="empty"), quiet).files
    assert file.requests == 2


def test_progress_ends_at_the_last_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_file, "CHUNK", 2)
    told: list[tuple[int, int]] = []
    make(order(tmp_path), lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]
