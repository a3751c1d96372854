"""The short form of answers, what it means as JSON Schema, and how a mistake in it is told."""

from pathlib import Path

import pytest

from batchflow.errors import SpecError
from batchflow.identity import json_bytes
from batchflow.spec.load import load_spec

HEAD = 'version: 1\nname: a\ndata: {source: a.csv}\nprompt: {user: "x"}\n'


def schema_of(folder: Path, fields: str) -> str:
    """What is sent for a field `f`, as it is written."""
    path = folder / "e.yaml"
    path.write_text(f"{HEAD}answer:\n  fields:\n    f: {fields}\n")
    answer = load_spec(path).experiment.answer
    assert answer is not None
    schema = answer.fields_schema()
    assert schema is not None
    assert schema | {"properties": 0} == {
        "type": "object", "properties": 0, "required": ["f"], "additionalProperties": False,
    }  # fmt: skip
    return json_bytes(schema["properties"]["f"]).decode()


def refused(folder: Path, answer: str) -> str:
    path = folder / "e.yaml"
    path.write_text(f"{HEAD}answer: {answer}\n")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    return caught.value.text()


TEXT = '{"type":"string"}'
OBJECT = '"required":["a"],"additionalProperties":false}'


@pytest.mark.parametrize(
    ("short", "schema"),
    [
        ("text", TEXT),
        ("integer", '{"type":"integer"}'),
        ("number", '{"type":"number"}'),
        ("boolean", '{"type":"boolean"}'),
        ("text?", '{"type":["string","null"]}'),
        ("1..7", '{"type":"integer","minimum":1,"maximum":7}'),
        ("1 .. 7", '{"type":"integer","minimum":1,"maximum":7}'),
        ("-3..3?", '{"type":["integer","null"],"minimum":-3,"maximum":3}'),
        ("0.0..1.0", '{"type":"number","minimum":0.0,"maximum":1.0}'),
        ("0..2.50", '{"type":"number","minimum":0,"maximum":2.50}'),
        ("[b, a]", '{"type":"string","enum":["b","a"]}'),
        ("[text, image]", '{"type":"string","enum":["text","image"]}'),
        ("[yes, no]", '{"type":"string","enum":["yes","no"]}'),
        ("[3, 1]", '{"type":"integer","enum":[3,1]}'),
        ("[1, 2.5]", '{"type":"number","enum":[1,2.5]}'),
        ("list of text", f'{{"type":"array","items":{TEXT}}}'),
        ("list of 1..7", '{"type":"array","items":{"type":"integer","minimum":1,"maximum":7}}'),
        ("list of list of text", f'{{"type":"array","items":{{"type":"array","items":{TEXT}}}}}'),
        ("{list of: [a]}", '{"type":"array","items":{"type":"string","enum":["a"]}}'),
        ("{list of: text?}", '{"type":"array","items":{"type":["string","null"]}}'),
        ("{list of: text, nullable: true}", f'{{"anyOf":[{{"type":"array","items":{TEXT}}},{{"type":"null"}}]}}'),
        ("{list of: {a: text}}", f'{{"type":"array","items":{{"type":"object","properties":{{"a":{TEXT}}},{OBJECT}}}'),
        ("{a: text}", f'{{"type":"object","properties":{{"a":{TEXT}}},{OBJECT}'),
        ("{type: text, description: Why so}", '{"type":"string","description":"Why so"}'),
        ("{type: text?, description: Why so}", '{"type":["string","null"],"description":"Why so"}'),
        ("{type: text?, nullable: true}", '{"type":["string","null"]}'),
        ("{type: [a], nullable: true}", '{"anyOf":[{"type":"string","enum":["a"]},{"type":"null"}]}'),
        (
            "{type: {a: text}, nullable: true}",
            f'{{"anyOf":[{{"type":"object","properties":{{"a":{TEXT}}},{OBJECT},{{"type":"null"}}]}}',
        ),
        (
            "{type: text, description: 1..7}",  # two fields, as what stands beside `type` is a type too
            (
                f'{{"type":"object","properties":{{"type":{TEXT},"description":{{"type":"integer","minimum":1,"maximum":7}}'
                '},"required":["type","description"],"additionalProperties":false}'
            ),
        ),
        (
            "{type: text, unit: text}",
            (
                f'{{"type":"object","properties":{{"type":{TEXT},"unit":{TEXT}}},"required":["type","unit"],'
                '"additionalProperties":false}'
            ),
        ),
    ],
)
def test_short_forms(tmp_path: Path, short: str, schema: str) -> None:
    assert schema_of(tmp_path, short) == schema


def test_the_order_is_the_authors(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(f"{HEAD}answer: {{fields: {{z: text, a: {{y: text, b: text}}}}}}\n")
    answer = load_spec(path).experiment.answer
    assert answer is not None
    schema = answer.fields_schema() or {}
    assert list(schema["properties"]) == schema["required"] == ["z", "a"]
    assert list(schema["properties"]["a"]["properties"]) == ["y", "b"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("string", "write text"),
        ("int", "write integer"),
        ("float", "write number"),
        ("Boolean", "write boolean"),
        ("txet", "write text"),
        ("whatever", "write one of these: text"),
        ("1-7", "write 1..7"),
        ('"1 to 7"', "write 1..7"),
        ("1...7", "write 1..7"),
        ("7..1", "write 1..7"),
        ("01..7", "there is no type `01..7`"),
        ("99999999999999999999..999999999999999999999", "too wide"),
        ("a|b", "write a list: [a, b]"),
        ("list of", "list of text"),
        ("list of text?", "can be read in two ways"),
        ("[]", "has no choices"),
        ("[true, false]", "write boolean"),
        ("[a, 1]", "texts and numbers are mixed"),
        ("[text]", "did you mean the type? Write text without brackets; for a list of such: list of text"),
        ("[1..7]", "Write 1..7 without brackets"),
        ("[integer?]", "for a list of such: list of integer"),
        ("[list of text]", "Write list of text without brackets"),
        ("{type: [text], nullable: true}", "`answer.fields.f.type`: a list holds choices"),
        ("{type: [A, B], desc: x}", "`answer.fields.f.desc`: beside `type` stand only `description` and `nullable`"),
        ("{type: [A, B], desc: x}", "did you mean description? For a field of that name write its type: desc: text"),
        ("{type: [A, B], description: The brand, unit: text}", "`answer.fields.f.unit`: beside `type`"),
        ("{type: text, optional: true}", "did you mean nullable?"),
        ("{type: integer, minimum: 1, maximum: 7}", "write a range as the type: type: 1..7"),
        ("{type: text, enum: [a, b]}", "write choices as the type: type: [a, b]"),
        ("{type: string, pattern: '^a'}", "for a field of that name write its type: pattern: text"),
        ("{list of: text, describe: x}", "beside `list of` stand only"),
        ("{type: [home, work], city: string}", "there is no type `string`"),
        ("[a, a]", "stands twice"),
        ("[1, 1.0]", "stands twice"),
        ("[a, null]", "nullable: true"),
        ("[99999999999999999999]", "too large for a column"),
        ("{type: text}", "can be read in two ways"),
        ("{type: text, nullable: yes}", "`nullable` is true or false"),
        ("{type: text, description: ''}", "`description` must be a text"),
        ("{}", "names no field"),
        ("", "has no type"),
        ("7", "is no type"),
        ("{a: {b: txt}}", "`answer.fields.f.a.b`: there is no type `txt`"),
        ("{a: text, A: text}", "differ in case only"),
        ('{"": text}', 'cannot be called ""'),
    ],
)
def test_mistakes_of_fields(tmp_path: Path, field: str, words: str) -> None:
    assert words in refused(tmp_path, f"\n  fields:\n    f: {field}")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("{}", "says nothing about the answer"),
        ("{strict: false}", "says nothing about the answer"),
        ("{fields: {a: text}, schema: a.json}", "`schema` and `fields` are given"),
        ("{fields: {a: text}, extract: {b: c}}", "`fields` and `extract` are given"),
        ("{extract: {b: c}, strict: false}", "`strict` belongs to a schema"),
        ("{schema: a.yaml}", "ending in .json"),
        ("{schema: {}}", "a JSON Schema"),
        ("{schema: 7}", "a JSON Schema"),
        ("{fields: {a: text, A: text}}", "differ in case only"),
        ("{fields: {}}", "names no field"),
        ("{extract: {}}", "names no field"),
        ("{extract: {a: '('}}", "no regular expression"),
        ("{extract: {a: '(a+)+'}}", "may take for ever"),
        ("{extract: {a: $.}}", "no path into a JSON value"),
        ("{extract: {a: 7}}", 'put it in quotes: "7"'),
        ("{feilds: {a: text}}", "did you mean `fields`?"),
        ("7", "a mapping"),
    ],
)
def test_mistakes_of_answer(tmp_path: Path, answer: str, words: str) -> None:
    assert words in refused(tmp_path, answer)


def test_extract_belongs_below_answer(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(f"{HEAD}extract: {{a: b}}\n")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert "write it under `answer`" in caught.value.text()


def test_several_faults_at_once_each_at_its_place(tmp_path: Path) -> None:
    text = refused(tmp_path, "\n  fields:\n    a: txt\n    b:\n      c: {d: 1-3}\n    e: [x, 1]")
    for place in ("e.yaml:7:8", "e.yaml:9:14", "e.yaml:10:12"):
        assert place in text


def test_a_spec_without_answer_has_none(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(HEAD)
    assert load_spec(path).experiment.answer is None
    assert "answer" not in str(load_spec(path).experiment.shaping())
