"""The typed answers of a run in the results database: types, transactions, names, what is shown of them."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from batchflow.plan.answer_types import AnswerColumn, AnswerPlan, Kind
from batchflow.sinks.answers import extract
from batchflow.sinks.duckdb import ResponseRow, Rest, Sink
from batchflow.sinks.formats import Format
from batchflow.sinks.reader import open_reader
from tests.unit.sinks.made import Made, answer, batch, make, query

KINDS: dict[str, Kind] = {
    "why": "VARCHAR", "score": "BIGINT", "sure": "BOOLEAN", "rate": "DOUBLE", "tags": ["VARCHAR"],
    "at": {"lat": "DOUBLE", "a b": ["BIGINT"]}, "any": "JSON",
}  # fmt: skip
TYPES = ["VARCHAR", "BIGINT", "BOOLEAN", "DOUBLE", "VARCHAR[]", 'STRUCT(lat DOUBLE, "a b" BIGINT[])', "JSON"]
FULL = ("ä\0", 2**63 - 1, True, 0.1, ["x", None], {"lat": 1.5, "a b": [1, 2]}, '{"z":1,"a":2}')
EMPTY = (None,) * len(KINDS)


def typed(made: Made, kinds: dict[str, Kind] = KINDS) -> Made:
    columns = tuple(AnswerColumn(name, name, name, kind) for name, kind in kinds.items())
    return replace(made, plan=replace(made.plan, answer=AnswerPlan(columns, "{}")))


def said(custom_id: str, values: tuple[Any, ...] | None) -> ResponseRow:
    return answer(custom_id, "{}", "answered" if values else "invalid")._replace(typed=values)


def load(path: Path, made: Made, *values: tuple[Any, ...] | None, batch_id: str = "batch_a") -> None:
    rows = [said(made.id(number), each) for number, each in enumerate(values, start=1)]
    with Sink.open(path) as sink:
        if sink.loaded(made.run) is None:
            sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(batch_id), Rest(rows, {}))
        sink.set_run(made.row())
        sink.refresh()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "results.duckdb"


def test_columns_have_the_types_and_values_of_the_answers(tmp_path: Path, database: Path) -> None:
    load(database, typed(make(tmp_path)), FULL, None, EMPTY)
    names = ", ".join(f'"{name}"' for name in KINDS)
    assert query(database, f"SELECT {names} FROM results ORDER BY row_number") == [FULL, EMPTY, EMPTY]  # noqa: S608
    described = {row[0]: row[1] for row in query(database, "DESCRIBE results")}
    assert [described[name] for name in KINDS] == TYPES
    assert query(database, 'SELECT "at".lat, "at"."a b"[1] FROM results LIMIT 1') == [(1.5, 1)]


def test_what_cannot_be_read_is_no_answer_without_values(tmp_path: Path, database: Path) -> None:
    """Half a character in its text, which an earlier version took for plain: the shard is read line by line then."""
    made = typed(make(tmp_path), {"why": "VARCHAR"})
    assert made.plan.answer is not None
    load(database, made, ("x",))
    with Sink.open(database) as sink:
        store = sink._store
        store.rows("UPDATE responses SET content = ?", [r'{"why":"\ud83d"}'])
        with pytest.raises(duckdb.Error):
            extract(store, made.run, batch("batch_a"), made.plan.answer)


def test_one_row_for_each_valid_answer(tmp_path: Path, database: Path) -> None:
    made = typed(make(tmp_path))
    load(database, made, FULL, None, EMPTY)
    table = f'answers."{made.run}"'
    assert query(database, f"SELECT custom_id, round, batch_id FROM {table}") == [  # noqa: S608
        (made.id(1), 1, "batch_a"), (made.id(3), 1, "batch_a"),
    ]  # fmt: skip


def test_loading_again_changes_nothing_and_dropping_takes_all(tmp_path: Path, database: Path) -> None:
    made = typed(make(tmp_path))
    load(database, made, FULL, None, EMPTY)
    before = query(database, "FROM results")
    load(database, made, FULL, None, EMPTY)
    assert query(database, "FROM results") == before
    load(database, made, EMPTY, FULL, None)
    assert query(database, "SELECT score FROM results ORDER BY row_number") == [(None,), (2**63 - 1,), (None,)]
    with Sink.open(database) as sink:
        sink.drop_run(made.run)
    assert query(database, "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'answers'") == [(0,)]


def test_answers_and_typed_values_come_in_one_transaction(tmp_path: Path, database: Path) -> None:
    made = typed(make(tmp_path))
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)

        def rows() -> Any:
            yield said(made.id(1), FULL)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sink.load_shard(made.run, batch(), Rest(rows(), {}))
    assert query(database, f'SELECT count(*) FROM answers."{made.run}"') == [(0,)]  # noqa: S608
    assert query(database, "SELECT count(*) FROM responses") == [(0,)]


def test_two_experiments_with_other_types_stand_beside_each_other(tmp_path: Path, database: Path) -> None:
    one = typed(make(tmp_path, "one-3f9c2a71", experiment="one"), {"score": "BIGINT", "why": "VARCHAR"})
    other = typed(make(tmp_path, "other-3f9c2a71", experiment="other"), {"score": "VARCHAR", "also": "BOOLEAN"})
    load(database, one, (1, "a"), (2, "b"), (3, "c"))
    load(database, other, ("x", True), ("y", None), None, batch_id="batch_b")
    shown = query(database, "SELECT score_one, why, score_other, also FROM results ORDER BY experiment, row_number")
    assert shown == [
        (1, "a", None, None), (2, "b", None, None), (3, "c", None, None),
        (None, None, "x", True), (None, None, "y", None), (None, None, None, None),
    ]  # fmt: skip


def test_a_column_that_is_called_as_another_would_be_is_not_lost(tmp_path: Path, database: Path) -> None:
    kinds: dict[str, Kind] = {"score": "BIGINT", "score_one": "VARCHAR"}
    one = typed(make(tmp_path, "one-3f9c2a71", experiment="one"), kinds)
    other = typed(make(tmp_path, "other-3f9c2a71", experiment="other"), {"score": "VARCHAR"})
    load(database, one, (1, "kept"), None, None)
    load(database, other, ("x",), None, None, batch_id="batch_b")
    shown = query(database, "SELECT score_one_2, score_one, score_other FROM results WHERE row_number = 1")
    assert shown == [(1, "kept", None), (None, None, "x")]


def test_a_newer_schema_of_a_study_replaces_the_older_in_results(tmp_path: Path, database: Path) -> None:
    old = typed(make(tmp_path, "study-00000001"), {"score": "BIGINT", "why": "VARCHAR"})
    new = typed(
        make(tmp_path, "study-00000002", created_at="2026-11-23T10:00:00.000Z"), {"score": "VARCHAR", "sure": "BOOLEAN"}
    )
    load(database, old, (1, "a"), (2, "b"), (3, "c"))
    load(database, new, ("low", True), ("high", False), None, batch_id="batch_b")
    shown = "SELECT score, sure FROM results ORDER BY row_number"
    assert query(database, shown) == [("low", True), ("high", False), (None, None)]
    assert "why" not in [row[0] for row in query(database, "DESCRIBE results")]
    assert query(database, f'SELECT score, why FROM answers."{old.run}"') == [(1, "a"), (2, "b"), (3, "c")]  # noqa: S608
    with open_reader(database) as reader:
        assert [row[reader.columns(old.run).index("score")] for row in reader.rows(old.run)] == [1, 2, 3]


def test_secrets_are_in_no_typed_value(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "12345678-very-secret")
    monkeypatch.setenv("OTHER_API_KEY", "987654321")
    held = "it is 12345678-very-secret"
    kinds: dict[str, Kind] = {"a": "VARCHAR", "b": ["VARCHAR"], "c": {"d": "VARCHAR"}, "e": "JSON", "n": "BIGINT"}
    load(database, typed(make(tmp_path), kinds), (held, [held], {"d": held}, f'{{"x":"{held}"}}', 987654321))
    values = query(database, "SELECT a, b, c, e, n FROM results LIMIT 1")
    assert "very-secret" not in str(values)
    assert values[0][-1] is None
    assert b"very-secret" not in database.read_bytes()


def test_files_of_text_hold_nested_values_as_json(tmp_path: Path, database: Path) -> None:
    load(database, typed(make(tmp_path)), FULL, None, EMPTY)
    made = make(tmp_path / "other")
    stream = io.BytesIO()
    with open_reader(database) as reader:
        reader.write(made.run, Format.CSV, stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue().decode())))
    assert rows[0]["tags"] == '["x",null]'
    assert rows[0]["at"] == '{"lat":1.5,"a b":[1,2]}'
    assert (rows[0]["sure"], rows[0]["any"]) == ("true", '{"z":1,"a":2}')
    assert [row["tags"] for row in rows[1:]] == ["", ""]
