"""What typed answers promise, through the real program: on the wire, in the tables, and again from the folder alone."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.harness import Study

Make = Callable[..., Study]
FIELDS = {"why": "text", "choice": ["kawaii", "cubs", "futuristic"], "score": "1..7", "sure": "boolean"}
SHOWN = "SELECT row_id, outcome, why, choice, score, sure FROM results"


def bodies(study: Study) -> list[dict[str, Any]]:
    paths = sorted(study.run_folder.glob("requests/*.jsonl"))
    return [json.loads(line)["body"] for path in paths for line in path.read_text().splitlines()]


def test_fields_become_typed_columns(make_study: Make) -> None:
    study = make_study(rows=8, per_shard=3)
    study.change(answer={"fields": FIELDS})
    assert study.run().status == 0
    for body in bodies(study):
        schema = body["response_format"]["json_schema"]["schema"]
        assert list(schema["properties"]) == schema["required"] == list(FIELDS)
    rows = study.query(SHOWN)
    assert len(rows) == 8
    for _, outcome, why, choice, score, sure in rows:
        assert outcome == "answered"
        assert why
        assert choice in FIELDS["choice"]
        assert type(score) is int
        assert 1 <= score <= 7
        assert type(sure) is bool
    types = dict(row[:2] for row in study.query("DESCRIBE results"))
    assert [types[name] for name in FIELDS] == ["VARCHAR", "VARCHAR", "BIGINT", "BOOLEAN"]
    for kept, content in zip(rows, study.query("SELECT content FROM results"), strict=True):
        assert dict(zip(FIELDS, kept[2:], strict=True)) == json.loads(content[0])
    printed = study.run("results", "experiment.yaml", "--json").json()
    assert [type(printed["rows"][0][name]) for name in FIELDS] == [str, str, int, bool]
    # people are shown the typed columns in place of the JSON that they stand for
    for shown in (study.run("results", "experiment.yaml").stdout, study.run().stderr):
        assert "score" in shown
        assert "content" not in shown


def test_the_authors_order_is_on_the_wire(make_study: Make) -> None:
    study = make_study(rows=2)
    study.change(answer={"fields": {"z": "text", "a": {"y": "integer", "b": "text"}}})
    assert study.run().status == 0
    raw = next(study.run_folder.glob("requests/*.jsonl")).read_text()
    assert '"properties":{"z":{"type":"string"},"a":{"type":"object","properties":{"y":' in raw
    assert study.query("SELECT typeof(a) FROM results LIMIT 1") == [("STRUCT(y BIGINT, b VARCHAR)",)]


def test_rebuilt_from_the_folder_alone(make_study: Make) -> None:
    study = make_study(rows=6, per_shard=2)
    study.change(answer={"fields": FIELDS | {"tags": "list of text", "at": {"lat": "number?"}}})
    assert study.run().status == 0
    before = study.query("FROM results ORDER BY row_number")
    (study.folder / "results.duckdb").unlink()
    (study.folder / "experiment.yaml").unlink()
    assert study.run("load", "--rebuild", str(study.run_folder)).status == 0
    assert study.query("FROM results ORDER BY row_number") == before


def test_two_schemas_in_one_database(make_study: Make) -> None:
    study = make_study(rows=4)
    study.change(answer={"fields": {"score": "1..7", "why": "text"}})
    assert study.run().status == 0
    first = study.run_folder.name
    old = study.query("SELECT row_id, score, why FROM results")
    study.change(answer={"fields": {"score": ["low", "high"], "sure": "boolean"}})
    assert study.run().status == 0
    new = study.query("SELECT row_id, score, sure FROM results")
    assert {row[1] for row in new} <= {"low", "high"}
    names = [row[0] for row in study.query("DESCRIBE results")]
    assert ("why" in names, names.count("score")) == (False, 1)
    shown = study.run("results", f"runs/{first}", "--json").json()["rows"]
    assert [(row["row_id"], row["score"], row["why"]) for row in shown] == old
    study.run("load", "--rebuild", "experiment.yaml")
    assert study.query("SELECT row_id, score, sure FROM results") == new


def test_an_invalid_answer_says_where_and_why(make_study: Make) -> None:
    """The simulator keeps to the schema; that a column cannot hold the number, no schema says."""
    study = make_study(rows=3)
    field = {"type": "integer", "minimum": 10**20, "maximum": 10**20 + 5}
    schema = {"type": "object", "properties": {"n": field}, "required": ["n"], "additionalProperties": False}
    study.change(answer={"schema": schema})
    ended = study.run()
    assert (ended.status, ended.json()["outcomes"], ended.json()["requests"]["failed"]) == (4, {"invalid": 3}, 3)
    kept = study.query("SELECT outcome, n, content IS NOT NULL FROM results")
    assert kept == [("invalid", None, True)] * 3
    ((code, message),) = study.query("SELECT DISTINCT error_code, left(error_message, 8) FROM responses")
    assert (code, message) == ("invalid_answer", "$.n: 100")
    ((name,),) = study.query("SELECT custom_id FROM results LIMIT 1")
    told = study.run("show", str(name), "experiment.yaml").stdout
    assert "error_message: $.n: 1000000000000000000" in told
    before = study.server.audit()["executions"]["rows"]
    assert study.run().status == 4
    assert study.server.audit()["executions"]["rows"] == before, "an invalid answer is final"


def test_a_changed_pattern_buys_nothing_again(make_study: Make) -> None:
    study = make_study(rows=5)
    study.change(answer={"extract": {"first": r"^(\w+)"}})
    ended = study.run()
    assert ended.status == 0
    for told in (ended.stderr, study.run("results").stdout):
        heads = next(line.split() for line in told.splitlines() if line.startswith("row_id"))
        assert {"first", "content"} <= set(heads)
    assert all(study.query("SELECT first = regexp_extract(content, '^\\w+') FROM results"))
    study.change(answer={"extract": {"first": r"^(\w)", "json": "$.a"}})
    ended = study.run()
    assert (ended.status, ended.json()["requests"]["reused"]) == (0, 5)
    assert study.server.audit()["executions"]["rows"] == 5
    assert study.query("SELECT DISTINCT length(first), json FROM results") == [(1, None)]


def test_a_schema_file_is_copied_and_named_in_the_runs_folder(make_study: Make) -> None:
    study = make_study(rows=1)
    text = (
        '{"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"], "additionalProperties": false}'
    )
    (study.folder / "answer.json").write_text(text)
    study.change(answer={"schema": "answer.json"})
    assert study.run().status == 0
    assert (study.run_folder / "spec" / "answer.json").read_text() == text
    told = study.run("validate", "experiment.yaml", "--json").json()
    assert told["answer"] == {
        "columns": [{"name": "b", "results": "b", "type": "VARCHAR"}], "schema": json.loads(text), "extract": {},
    }  # fmt: skip


@pytest.mark.parametrize("factor", ["response_format"])
def test_a_factor_cannot_replace_the_schema(make_study: Make, factor: str) -> None:
    study = make_study(rows=1)
    study.change(answer={"fields": {"a": "text"}}, design={"factors": {factor: ["x"]}})
    ended = study.run()
    assert ended.status == 3
    assert "would replace what `answer` asks for" in ended.stderr
