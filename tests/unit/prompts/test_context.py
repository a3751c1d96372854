"""Named inserts: what each kind of file is in a prompt, alone and in Jinja."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import Fault, TemplateError
from batchflow.prompts.compile import Template, compile_template
from batchflow.prompts.context import Insert, read_insert
from batchflow.prompts.document import body_from_mapping, read_json_template

CODEBOOK = 'code,label,items\n1,"Price, value",a\n2,"Taste | ""good""",b\n3,"two\nlines",c\n'
RULES = '{"scale": [1, 7], "pi": 3.50, "deep": {"a": null, "b": true, "é": "x"}, "keys": "k", "word": "w"}'


@pytest.fixture
def codebook(tmp_path: Path) -> Insert:
    return insert(tmp_path, "codebook.csv", CODEBOOK)


@pytest.fixture
def rules(tmp_path: Path) -> Insert:
    return insert(tmp_path, "rules.json", RULES)


def insert(folder: Path, name: str, content: str | bytes) -> Insert:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_insert(path, name)


def compiled(text: Any, context: Mapping[str, Insert], columns: tuple[str, ...] = ("Age",)) -> Template:
    body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": text}]})
    return compile_template(body, columns, context=context)


def said(text: Any, context: Mapping[str, Insert]) -> Any:
    (body,) = compiled(text, context).render({"Age": ["28"]}, 1)
    return json.loads(body)["messages"][0]["content"]


TABLE = (
    "| code | label | items |\n| --- | --- | --- |\n| 1 | Price, value | a |\n"
    '| 2 | Taste \\| "good" | b |\n| 3 | two<br>lines | c |'
)
LISTED = '1=Price, value;2=Taste | "good";3=two\nlines;'
ROWS = [
    {"code": "1", "label": "Price, value", "items": "a"},
    {"code": "2", "label": 'Taste | "good"', "items": "b"},
    {"code": "3", "label": "two\nlines", "items": "c"},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{codebook}}", TABLE),
        ("a {{ codebook }} b {{Age}}", f"a {TABLE} b 28"),
        ("{{ codebook | length }}", "3"),
        ("{{ codebook[1].label }}", 'Taste | "good"'),
        ("{{ codebook[0].items }}{{ codebook[0]['items'] }}", "aa"),
        ("{% for code in codebook %}{{ code.code }}={{ code.label }};{% endfor %}", LISTED),
        ("{% if Age | int > 18 %}{{ codebook }}{% endif %}", TABLE),
        ("{{ codebook | map(attribute='code') | join('/') }} {{ Age }}", "1/2/3 28"),
        ("{{ (codebook | selectattr('code', 'equalto', '2') | first).label }}", 'Taste | "good"'),
        ("{{ codebook | tojson }}", json.dumps(ROWS)),
    ],
)  # fmt: skip
def test_a_table(codebook: Insert, text: str, expected: str) -> None:
    assert said(text, {"codebook": codebook}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ rules }}", '{"scale":[1,7],"pi":3.5,"deep":{"a":null,"b":true,"é":"x"},"keys":"k","word":"w"}'),
        ("{{ rules.scale }}", "[1,7]"),
        ("{{ rules.scale | tojson }}", "[1, 7]"),
        ("{% if true %}{{ rules.deep }}{% endif %}", '{"a":null,"b":true,"é":"x"}'),
        ("{{ rules.word }}{{ rules.keys }}{{ rules.pi }}", "wk3.5"),
        ("{{ rules.scale[1] + 1 }} {% for n in range(rules.scale[0], 3) %}{{ n }}{% endfor %}", "8 12"),
        ("{{ rules | json }}", json.loads(RULES)),
        ("{{ rules.scale | json }}", [1, 7]),
        ("{{ rules.scale[1] | number }}", 7),
    ],
)
def test_values(rules: Insert, text: str, expected: Any) -> None:
    assert said(text, {"rules": rules}) == expected


def test_yaml_and_json_are_the_same_values(tmp_path: Path, rules: Insert) -> None:
    yaml = 'scale: [1, 7]\npi: 3.50\ndeep: {a: ~, b: true, é: x}\nkeys: k\nword: "w"\n'
    assert insert(tmp_path, "rules.yaml", yaml) == rules


def test_texts_stay_as_they_are(tmp_path: Path) -> None:
    text = "\n# Rules\r\n\tBe {{ kind }}. {% if %}\n\n"
    assert said("<{{ guide }}>", {"guide": insert(tmp_path, "guide.md", text)}) == f"<{text}>"
    assert said("{{ guide | upper }}", {"guide": insert(tmp_path, "guide.txt", "é\n")}) == "É\n"


@pytest.mark.parametrize(("content", "expected"), [("7", 7), ("true", True), ('"a"', "a"), ("[]", []), ("null", None)])
def test_single_values(tmp_path: Path, content: str, expected: Any) -> None:
    assert said("{{ it | json }}", {"it": insert(tmp_path, "it.json", content)}) == expected


def test_an_insert_alone_is_constant_bytes(codebook: Insert, rules: Insert) -> None:
    template = compiled("{{ codebook }} and {{ rules }}", {"codebook": codebook, "rules": rules})
    assert (template.slots, template.columns, template.unused) == ((), (), ("Age",))
    assert len(template.constants) == 1


def test_in_a_json_template_the_quotes_decide(tmp_path: Path, codebook: Insert, rules: Insert) -> None:
    path = tmp_path / "t.json"
    path.write_text(
        '{"model": "m", "messages": [{"role": "user", "content": "{{codebook}}"}], '
        '"metadata": {{ rules.deep | json }}, "stop": {{ rules | json }}, "top_p": {{ rules.pi }}}',
        encoding="utf-8",
    )
    template = compile_template(
        read_json_template(path, "t.json"), ("Age",), context={"rules": rules, "codebook": codebook}
    )
    body = json.loads(template.render({}, 1)[0])
    assert body["messages"][0]["content"] == TABLE
    assert (body["metadata"], body["stop"], body["top_p"]) == (json.loads(RULES)["deep"], json.loads(RULES), 3.5)
    path.write_text('{"model": "m", "messages": {{ codebook }}}', encoding="utf-8")
    with pytest.raises(TemplateError) as caught:
        compile_template(read_json_template(path, "t.json"), ("Age",), context={"codebook": codebook})
    (fault,) = caught.value.faults
    assert "is not a single value" in fault.cause
    assert (fault.remedy, fault.line) == ("use `| json` for lists and objects", 1)


def test_what_is_used_shapes_the_digest_and_nothing_else(tmp_path: Path, codebook: Insert) -> None:
    other = insert(tmp_path, "other.csv", CODEBOOK.replace("Price", "Cost"))
    plain = compiled("{{ Age | int + 1 }}", {}).digest
    assert compiled("{{ Age | int + 1 }}", {"codebook": codebook}).digest == plain
    for text in (
        "{{ codebook }}",
        "{{ codebook[0].label }}",
        "{% for code in codebook %}{{ code.label }}{% endfor %}{{ Age }}",
        "{{ codebook | json }}",
    ):
        digests = {compiled(text, {"codebook": each}).digest for each in (codebook, other)}
        assert len(digests) == 2, text
        assert compiled(text, {"codebook": codebook, "other": other}).digest in digests


def test_slots_of_the_same_words_and_other_inserts_are_told_apart(codebook: Insert) -> None:
    template = compiled("{{ codebook | length }} {{ Age | length }} {{ codebook | length }}", {"codebook": codebook})
    assert json.loads(template.render({"Age": ["28", "7"]}, 2)[1])["messages"][0]["content"] == "3 1 3"


def test_an_insert_that_no_prompt_uses_is_a_note(codebook: Insert, rules: Insert) -> None:
    used = "{% set label = codebook[0].label %}{{ label }}"
    assert compiled(used, {"codebook": codebook}).notes == ()
    (note,) = compiled(used, {"codebook": codebook, "rules": rules, "more": rules}).notes
    assert note == "inserts (`context`) that no prompt uses: rules, more"


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("{{ codebok }}", "there is no column 'codebok'", "did you mean {{codebook}}?"),
        ("{{ nope }}", "there is no column 'nope'", "; the inserts are codebook"),
        ("{% for code in codebok %}{% endfor %}", "there is no column 'codebok'", "did you mean {{codebook}}?"),
        ("{{ codebook | number }}", "is not a single value", "use `| json`"),
    ],
)
def test_faults(codebook: Insert, text: str, cause: str, remedy: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compiled(text, {"codebook": codebook})
    (fault,) = caught.value.faults
    assert cause in fault.cause
    assert remedy in fault.remedy


def test_inserts_cannot_be_changed(rules: Insert) -> None:
    from batchflow.prompts.compile import RowFaults

    for text in ("{{ rules.scale.append(1) }}", "{{ rules.update({}) }}", "{{ rules.scale.__class__ }}"):
        with pytest.raises(RowFaults):
            said(text, {"rules": rules})
    assert rules.value["scale"] == [1, 7]


def test_what_no_row_changes_is_computed_once_and_fails_once(rules: Insert) -> None:
    from batchflow.prompts.compile import RowFaults

    template = compiled("{{ rules.scale[9] }}", {"rules": rules})
    with pytest.raises(RowFaults) as caught:
        template.render({"Age": ["1", "2"]}, 2)
    assert len(caught.value.faults) == 1
    assert template.render({"Age": []}, 0) == []


@pytest.mark.parametrize(
    ("name", "content", "line", "cause"),
    [
        ("a.csv", "", None, "the file is empty"),
        ("a.csv", "x,y\n", 1, "a header and no rows"),
        ("a.csv", "x,y\n1,2\n3\n\n4,5,6\n", 3, "1 cell in a table of 2 columns"),
        ("a.csv", "x,x\n1,2\n", 1, "the column 'x' stands twice"),
        ("a.csv", "x,\n1,2\n", 1, "a column has no name"),
        ("a.csv", 'x,y\n1,2\n"3,4\n', 3, "no row of a table"),
        ("a.csv", 'x,y\n1,"2"3\n', 2, "no row of a table"),
        ("a.csv", "x,é\n1,2\n".encode("latin-1"), 1, "not UTF-8"),
        ("a.json", '{"a": 1,}', 1, "there is a comma before }"),
        ("a.json", '{"a": 1} 2', 1, "something follows after the end"),
        ("a.json", '// no\n{"a": 1}', 1, "JSON has no comments"),
        ("a.json", '{"a": 1e999}', 1, "larger than any"),
        ("a.json", '{"a": {{ Age }}}', None, "where nothing fills it"),
        ("a.yaml", "a: 1\na: 2\n", 2, "a second time"),
        ("a.yaml", "a: !x 1\n", 1, "does not belong in an insert"),
        ("a.md", " \n", None, "the file is empty"),
        ("a.txt", b"x" * 4_000_001, None, "larger than 4 MB"),
    ],
)
def test_files_that_are_no_inserts(
    tmp_path: Path, name: str, content: str | bytes, line: int | None, cause: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        insert(tmp_path, name, content)
    fault: Fault = caught.value.faults[0]
    assert (fault.file, fault.line) == (name, line)
    assert cause in fault.cause
    assert fault.remedy
    assert "template" not in fault.cause


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "x;y\n1,5;2\n"),
        ("a.tsv", "x\ty\n1,5\t2\n"),
        ("a.tab", "\ufeffx\ty\r\n1,5\t2\r\n"),
        ("a.csv", '\n x , y \n"1,5",2\n\n'),
    ],
)
def test_tables_in_other_dress(tmp_path: Path, name: str, content: str) -> None:
    assert insert(tmp_path, name, content).value == [{"x": "1,5", "y": "2"}]
