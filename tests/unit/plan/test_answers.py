"""`answer:` compiled: what is sent for it, what a run keeps of it, and what is wrong with a schema, word for word."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import InvalidInput, SpecError, TemplateError
from batchflow.plan.answer_types import ANSWER_KEYS, duckdb_type, field_kinds
from batchflow.plan.answers import compile_answers
from batchflow.plan.model import read_plan
from batchflow.plan.study import Study, compile_study
from batchflow.prompts.body import Body, Text
from batchflow.prompts.document import body_from_mapping
from batchflow.sinks.layout import ANSWERS, KEYS
from batchflow.spec.load import load_spec
from tests.unit.plan.plans import plan

GOLDEN = Path(__file__).parents[2] / "golden" / "errors" / "answers.txt"
HEAD = """\
version: 1
name: typed
data: {source: people.csv, id: ID}
prompt: {user: "{{Text}}"}
"""
MODEL = "parameters: {model: m}\n"


def study(
    folder: Path, answer: str, *, head: str = HEAD + MODEL, columns: str = "ID,Text", schema: Any = None
) -> Study:
    (folder / "people.csv").write_text(f"{columns}\n{','.join('1' for _ in columns.split(','))}\n")
    (folder / "experiment.yaml").write_text(f"{head}{answer}")
    if schema is not None:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        (folder / "a.json").write_text(text)
    return compile_study(load_spec(folder / "experiment.yaml"))


def body_of(compiled: Study) -> str:
    return compiled.design.cells[0].template.render({"Text": ["x"]}, 1)[0].decode()


FIELDS = "answer: {fields: {z: text, choice: [b, a], score: 1..7, a: 0.0..1.50}}\n"
SENT = (
    '{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":{"type":"object","properties":'
    '{"z":{"type":"string"},"choice":{"type":"string","enum":["b","a"]},"score":{"type":"integer","minimum":1,'
    '"maximum":7},"a":{"type":"number","minimum":0.0,"maximum":1.50}},"required":["z","choice","score","a"],'
    '"additionalProperties":false}}}'
)


def test_what_is_sent(tmp_path: Path) -> None:
    assert body_of(study(tmp_path, FIELDS)) == (
        '{"messages":[{"role":"user","content":"x"}],"model":"m","response_format":' + SENT + "}"
    )


def test_a_schema_is_sent_as_it_is_written(tmp_path: Path) -> None:
    schema = (
        '{ "required":["z","a"], "additionalProperties":false,\n "type":"object", "properties":{"z":{"maximum":1.0,'
        '"type":"number","minimum":1e-2}, "a":{"type":["null","string"]}}}'
    )
    sent = schema.replace("\n", "").replace(" ", "")
    from_file = study(tmp_path, "answer: {schema: a.json}\n", schema=schema)
    assert f'"strict":true,"schema":{sent}' in body_of(from_file)
    assert from_file.files == (tmp_path / "a.json",)
    inline = study(tmp_path, f"answer:\n  schema: {schema}\n".replace("\n ", "\n     "))
    assert body_of(inline) == body_of(from_file)
    assert inline.files == ()
    rows = "0" * 64
    assert inline.fingerprint(rows) == from_file.fingerprint(rows)


def test_strict_can_be_left_out(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "default": 1}, "b": {}}}
    loose = study(tmp_path, "answer: {schema: a.json, strict: false}\n", schema=schema)
    assert '"strict":false' in body_of(loose)
    answers = loose.columns.answers
    assert answers is not None
    assert [(each.name, each.kind) for each in answers.columns] == [("a", "BIGINT"), ("b", "JSON")]


def asked(folder: Path, root: dict[str, Any], endpoint: str, answer: str = "answer: {fields: {a: text}}\n") -> Body:
    (folder / "experiment.yaml").write_text(f"{HEAD}{answer}")
    spec = load_spec(folder / "experiment.yaml")
    assert spec.experiment.answer is not None
    return compile_answers(spec, spec.experiment.answer).asked(body_from_mapping(root), endpoint)


def test_responses_ask_in_text_format(tmp_path: Path) -> None:
    body = asked(tmp_path, {"text": {"verbosity": "low"}, "input": "x"}, "/v1/responses")
    assert list(body.root) == ["text", "input"]
    text = body.root["text"]
    assert list(text) == ["verbosity", "format"]
    assert text["verbosity"] == Text("low")
    assert list(text["format"]) == ["type", "name", "strict", "schema"]
    assert asked(tmp_path, {}, "/v1/responses").root["text"]["format"]["name"] == "answer"


@pytest.mark.parametrize(
    ("root", "endpoint"),
    [
        ({"response_format": {"type": "text"}}, "/v1/chat/completions"),
        ({"text": {"format": {"type": "text"}}}, "/v1/responses"),
        ({"text": "x"}, "/v1/responses"),
    ],
)
def test_a_body_that_asks_for_a_structure_already(tmp_path: Path, root: dict[str, Any], endpoint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        asked(tmp_path, root, endpoint)
    assert "`answer` asks for a structure as well" in caught.value.text()
    assert asked(tmp_path, root, endpoint, "answer: {extract: {a: b}}\n").root == body_from_mapping(root).root


def test_extract_sends_nothing_and_makes_another_run(tmp_path: Path) -> None:
    plain = study(tmp_path, "")
    one = study(tmp_path, 'answer: {extract: {score: "[1-7]"}}\n')
    other = study(tmp_path, 'answer: {extract: {score: "([1-7])"}}\n')
    assert body_of(plain) == body_of(one) == body_of(other)
    prints = {each.fingerprint("0" * 64) for each in (plain, one, other)}
    assert len(prints) == 3
    assert plain.design.digest == one.design.digest


def test_names_of_columns(tmp_path: Path) -> None:
    made = study(
        tmp_path,
        "answer: {fields: {Content: text, round: integer, age: integer, x: text, answer_x: text}}\n",
        columns="ID,Text,Age,content,X",
    )
    columns = made.columns
    assert columns.answers is not None
    assert [(each.name, each.results) for each in columns.data] == [
        ("ID", "ID"), ("Text", "Text"), ("Age", "data_Age"), ("content", "data_content"), ("X", "data_X"),
    ]  # fmt: skip
    assert [(each.name, each.stored, each.results) for each in columns.answers.columns] == [
        ("Content", "Content", "answer_Content"),
        ("round", "answer_round", "answer_round"),
        ("age", "age", "answer_age"),
        ("x", "x", "answer_x_2"),
        ("answer_x", "answer_x", "answer_x"),
    ]
    notes = list(made.notes())
    assert "the column 'Age' is called 'data_Age' in the table of results" in notes
    assert "the answer's field 'age' is called 'answer_age' in the table of results" in notes
    assert notes[-1].startswith("5 typed columns: answer_Content VARCHAR, answer_round BIGINT, ")


def test_data_columns_without_answers_keep_their_notes(tmp_path: Path) -> None:
    notes = list(study(tmp_path, "", columns="ID,Text,content").notes())
    assert "the column 'content' is called 'data_content' in the table of results" in notes


def test_the_keys_are_those_of_the_table() -> None:
    assert KEYS[ANSWERS] == ANSWER_KEYS


def test_the_manifest_keeps_it_and_old_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    kept = plan(answer=study(tmp_path, FIELDS).columns.answers)
    path.write_bytes(kept.to_bytes())
    assert read_plan(path) == kept
    old = json.loads(plan().to_bytes())
    del old["answer"]
    path.write_text(json.dumps(old))
    assert read_plan(path).answer is None


STRING: dict[str, Any] = {"type": "string"}


def one(schema: Any, **more: Any) -> str:
    return duckdb_type(field_kinds({"type": "object", "properties": {"f": schema}, **more})["f"])


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        (STRING, "VARCHAR"),
        ({"type": ["integer", "null"]}, "BIGINT"),
        ({"type": ["integer", "number"]}, "DOUBLE"),
        ({"type": ["integer", "string"]}, "JSON"),
        ({"type": "null"}, "JSON"),
        ({}, "JSON"),
        (True, "JSON"),
        ({"enum": ["a", None]}, "VARCHAR"),
        ({"enum": [1, 2]}, "BIGINT"),
        ({"enum": [1, 2.5]}, "DOUBLE"),
        ({"enum": [1, "a"]}, "JSON"),
        ({"enum": [True]}, "BOOLEAN"),
        ({"const": "x"}, "VARCHAR"),
        ({"anyOf": [STRING, {"type": "null"}]}, "VARCHAR"),
        ({"anyOf": [STRING, {"type": "integer"}]}, "JSON"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "DOUBLE"),
        ({"type": "array"}, "JSON"),
        ({"type": "array", "items": STRING}, "VARCHAR[]"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, "DOUBLE[][]"),
        ({"type": "array", "prefixItems": [STRING], "items": STRING}, "JSON"),
        ({"type": "object"}, "JSON"),
        ({"type": "object", "properties": {"a": STRING}}, "JSON"),
        (
            {"type": "object", "properties": {'a "b"': STRING}, "additionalProperties": False},
            'STRUCT("a ""b""" VARCHAR)',
        ),
        ({"type": "object", "properties": {"a": STRING, "A": STRING}, "additionalProperties": False}, "JSON"),
        ({"type": "object", "properties": {}, "additionalProperties": False}, "JSON"),
        ({"$ref": "#/$defs/x"}, "BIGINT"),
        ({"$ref": "#/$defs/nowhere"}, "JSON"),
        ({"$ref": "#/$defs/loop"}, "JSON"),
        ({"$ref": "#/$defs/tree"}, 'STRUCT("left" JSON, "n" BIGINT)'),
    ],
)
def test_types_of_columns(schema: Any, type_: str) -> None:
    tree = {
        "type": "object",
        "properties": {"left": {"$ref": "#/$defs/tree"}, "n": {"type": "integer"}},
        "additionalProperties": False,
    }
    defs = {"x": {"type": "integer"}, "loop": {"$ref": "#/$defs/loop"}, "tree": tree}
    assert one(schema, **{"$defs": defs}) == type_


def test_a_type_that_would_grow_without_end_is_json() -> None:
    defs: dict[str, Any] = {"d0": STRING}
    for level in range(1, 40):
        both = {"$ref": f"#/$defs/d{level - 1}"}
        defs[f"d{level}"] = {"type": "object", "properties": {"a": both, "b": both}, "additionalProperties": False}
    assert len(one({"$ref": "#/$defs/d39"}, **{"$defs": defs})) < 2_000_000


BROKEN: dict[str, Any] = {
    "not-strict": """{
  "type": "object",
  "properties": {
    "z": {"type": "string", "default": "x"},
    "a": {"type": "integer", "nullable": true},
    "o": {"type": "object", "properties": {"p": {}}},
    "q": {"oneOf": [{"type": "string"}]}
  },
  "required": ["z"]
}
""",
    "no-such-type": '{"type": "object", "properties": {"type": {"type": "text"}}}',
    "not-json-schema": '{"type": "object", "properties": ["a"]}',
    "remote": '{"type": "object", "properties": {"a": {"$ref": "https://example.org/a.json"}}}',
    "points-at-nothing": '{"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}',
    "slots": '{"type": "object", "properties": {"a": {"description": "of {{Text}}", "enum": [{{ID}}]}}}',
    "no-object": '{"type": "array", "items": {"type": "string"}}',
    "a-list": "[1]",
    "cut": '{"type": ',
    "empty": "",
}


def errors(folder: Path) -> str:
    told = []
    for name, schema in BROKEN.items():
        with pytest.raises(InvalidInput) as caught:
            study(folder, "answer: {schema: a.json}\n", schema=schema)
        told.append(f"# {name}\n{caught.value.text()}\n")
        assert all(fault.line and fault.remedy for fault in caught.value.faults)
    with pytest.raises(SpecError) as loose:
        study(folder, "answer:\n  strict: false\n  schema: {type: array, items: {type: text}}\n")
    told.append(f"# inline\n{loose.value.text()}\n")
    with pytest.raises(SpecError) as wide:
        study(folder, f"answer:\n  fields:\n    a: text\n    b: [{', '.join(f'c{n}' for n in range(1001))}]\n")
    told.append(f"# too many choices\n{wide.value.text()}\n")
    return "\n".join(told).replace(str(folder), "<folder>")


def test_what_is_wrong_with_a_schema_is_told(tmp_path: Path) -> None:
    text = errors(tmp_path)
    if os.environ.get("BATCHFLOW_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_a_schema_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        study(tmp_path, "answer: {schema: b.json}\n")
    assert "there is no file 'b.json'" in caught.value.text()


def test_other_endpoints_give_no_text(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(f"{HEAD}answer: {{fields: {{a: text}}}}\n")
    spec = load_spec(tmp_path / "e.yaml")
    spec = spec._replace(experiment=spec.experiment.model_copy(update={"endpoint": "/v1/embeddings"}))
    assert spec.experiment.answer is not None
    with pytest.raises(SpecError) as caught:
        compile_answers(spec, spec.experiment.answer)
    assert "no columns can come of it" in caught.value.text()


def test_more_fields_than_a_table_can_load_are_refused(tmp_path: Path) -> None:
    fields = ", ".join(f"f{number}: integer" for number in range(1_001))
    with pytest.raises(SpecError, match="1,001 fields would be as many columns; at most 1,000"):
        study(tmp_path, f"answer: {{fields: {{{fields}}}}}\n")
