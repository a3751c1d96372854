"""For any cells, a rendered body is the JSON of the body with the cells in it, to the byte."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.errors import InvalidInput
from batchflow.identity import JsonNumber, json_bytes, json_text
from batchflow.prompts.assemble import escape_texts
from batchflow.prompts.body import Text
from batchflow.prompts.compile import Template, compile_template
from batchflow.prompts.context import Insert, Values
from batchflow.prompts.document import body_from_mapping, body_from_prompt, read_json_template
from batchflow.prompts.json_reader import JsonReader
from batchflow.prompts.logic import Program
from batchflow.prompts.template import LogicSlot, RowFaults

COLUMNS = ("Description", "First Name", "n")
TEMPLATE = r"""{
  "model": "m", "temperature": {{n}},
  "messages": [
    {"role": "system", "content": "tab\t {not a slot} caf\u00e9 \u2028 {{Description}}!"},
    {"role": "user", "content": [
      {"type": "text", "text": "{{First Name}}"},
      {"type": "text", "text": "{{&Description}}{{{First Name}}}"},
      {"type": "text", "text": "{{ row[\"First Name\"] }}-{{ Description | replace(\"\", \"\") }}"},
      {"type": "text", "text": "a\r\n{% if true %}{{First Name}}{% endif %}\n{{Description}}\r"}]}
  ], "seed": 12345678901234567890, "top_p": 1.0
}"""

text = st.one_of(
    st.text(max_size=30),  # surrogates included
    st.text(st.sampled_from('{}"\\\x00\x1f\x7f\x85\u2028\u2029\r\n\t😀{{%}}#\U0010ffff'), max_size=20),
    st.sampled_from(["{{Description}}", "{% if x %}", "{{ 1/0 }}", '"}', "\\u0041"]),
)
numbers = st.one_of(st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr))
rows = st.lists(st.fixed_dictionaries({"Description": text, "First Name": text, "n": numbers}), max_size=8)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    path: Path = tmp_path_factory.mktemp("prompts") / "t.json"
    path.write_text(TEMPLATE, encoding="utf-8")
    return compile_template(read_json_template(path, "t.json"), COLUMNS)


def expected(row: dict[str, str]) -> dict[str, Any]:
    description, name = row["Description"], row["First Name"]
    parts = [name, description + name, f"{name}-{description}", f"a\r\n{name}\n{description}\r"]
    return {
        "model": "m",
        "temperature": JsonNumber(row["n"]),
        "messages": [
            {"role": "system", "content": f"tab\t {{not a slot}} café \u2028 {description}!"},
            {"role": "user", "content": [{"type": "text", "text": part} for part in parts]},
        ],
        "seed": JsonNumber("12345678901234567890"),
        "top_p": JsonNumber("1.0"),
    }


def columnwise(table: list[dict[str, str]]) -> dict[str, list[str]]:
    return {name: [row[name] for row in table] for name in COLUMNS}


@settings(max_examples=150, deadline=None)
@given(rows)
def test_a_body_is_the_json_of_what_was_meant(template: Template, table: list[dict[str, str]]) -> None:
    bodies = template.render(columnwise(table), len(table))
    assert bodies == [json_bytes(expected(row)) for row in table]
    for body, row in zip(bodies, table, strict=True):
        assert b"\n" not in body
        assert len(body.decode().splitlines()) == 1
        assert _joined(json.loads(body)) == _joined(json.loads(json_bytes(expected(row))))
        assert _joined(json.loads(body)["messages"][1]["content"][0]["text"]) == _joined(row["First Name"])


def _joined(value: Any) -> Any:
    """Two halves of a surrogate pair that meet in JSON become one character, in any reader."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, dict):
        return {key: _joined(member) for key, member in value.items()}
    return [_joined(member) for member in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(0, 8))
def test_a_chunk_is_its_parts(template: Template, table: list[dict[str, str]], cut: int) -> None:
    rendered = [body for part in (table[:cut], table[cut:]) for body in template.render(columnwise(part), len(part))]
    assert template.render(columnwise(table), len(table)) == rendered


@given(st.lists(text, max_size=8))
def test_a_column_is_escaped_as_its_cells_are(cells: list[str]) -> None:
    assert escape_texts(cells) == [json_text(cell)[1:-1].encode() for cell in cells]


def test_every_character_is_escaped_alike() -> None:
    every = [chr(code) for code in range(0x110000)]
    for first in range(0, len(every), 0x100):
        cells = every[first : first + 0x100]
        assert escape_texts(cells) == [json_text(cell)[1:-1].encode() for cell in cells], hex(first)


LOGIC = (
    "{{ Description | upper }}",
    "{{ n | float + 1 }} {{ row['First Name'] }}",
    "{{ row.values() | list | length }}{{ row | length }}",
    "{% set x = 1 %}{% if Description %}{% set x = 2 %}{% endif %}{{ x }}{{ n }}",
    "{% set Description = Description | trim %}{{ Description }}{{ row.Description }}",
    "{% for letter in Description %}{{ loop.index }}{{ letter }}{% set y = letter %}{{ y }}{% endfor %}",
    "{% macro m(x) %}<{{ x }}{{ n }}>{% endmacro %}{{ m(Description) }}",
    "{% block b %}{{ row.n }}{% endblock %}",
    "{{ n | int // (Description | length) }}",
    "{% filter lower %}{{ Description }}{% endfilter %}{% with z = n %}{{ z }}{% endwith %}\r\n",
    "{{ '\U0010ffff' }}{{ Description }}",
    "{{ Description or none }}",
)


@pytest.mark.parametrize("source", LOGIC)
@settings(max_examples=60, deadline=None)
@given(rows)
def test_many_rows_give_what_each_gives(source: str, table: list[dict[str, str]]) -> None:
    body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": source}]})
    template = compile_template(body, COLUMNS)

    def outcome() -> object:
        try:
            return template.render(columnwise(table), len(table))
        except RowFaults as faults:
            return faults.faults

    together = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Program, "texts", lambda *_: None)
        assert together == outcome()


def test_an_if_without_else_is_no_text_in_many_rows_either() -> None:
    body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": "{{ n if n == '1' }}"}]})
    with pytest.raises(RowFaults) as caught:
        compile_template(body, COLUMNS).render({"n": ["1", "2", "1", "3"]}, 4)
    assert [fault.offset for fault in caught.value.faults] == [1, 3]


@pytest.mark.parametrize("name", ["loop", "rows_of_a_chunk", "caller", "result", "context"])
def test_a_column_may_have_a_name_that_jinja_uses(name: str) -> None:
    for source in (
        f"{{{{ {name} | upper }}}}",
        f"{{% if n %}}{{{{ {name} }}}}{{% endif %}}",
        "{{ row.values() | join }}",
    ):
        body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": source}]})
        first, second = compile_template(body, (name, "n")).render({name: ["first", "second"], "n": ["1", "1"]}, 2)
        assert b"first" in first.lower()
        assert b"second" in second.lower()


def test_an_insert_is_never_taken_for_the_rows() -> None:
    content = "{% for word in rows_of_a_chunk %}{{ word }}{% endfor %}{{ n }}"
    body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": content}]})
    insert = Insert(Values(["a", "b"]), "", "")
    template = compile_template(body, COLUMNS, context={"rows_of_a_chunk": insert})
    assert all(b'"ab1"' in rendered for rendered in template.render({"n": ["1", "1"]}, 2))


def test_many_rows_are_rendered_in_one_go() -> None:
    """The slow path must not be the one that everything takes."""
    for source in LOGIC[:6]:
        body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": source}]})
        (slot, *_) = (each for each in compile_template(body, COLUMNS).slots if isinstance(each, LogicSlot))
        assert slot.program.texts({name: ["1", "2"] for name in slot.columns}, 2) is not None


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda word: "{{" not in word and "{%" not in word))
def test_what_is_no_slot_is_sent_as_it_stands(word: str) -> None:
    template = compile_template(body_from_prompt(word, word).with_parameters({"model": "m"}), ())
    messages = [{"role": "system", "content": word}, {"role": "user", "content": word}]
    assert template.render({}, 1) == [json_bytes({"messages": messages, "model": "m"})]


def _refusable(compile_: Callable[[], Template]) -> Template | None:
    try:
        return compile_()
    except InvalidInput:
        return None


@settings(max_examples=250, deadline=None)
@given(st.text(st.sampled_from("{}%&!#-|.\"'[]() aA1\n\r"), max_size=24))
def test_any_text_is_a_template_or_a_fault(word: str) -> None:
    """Never another error, and never two readings of one text."""
    body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": word}]})
    template = _refusable(lambda: compile_template(body, ("a", "A A", "1")))
    if template and not template.slots:
        assert "{{" not in word or "{{!" in word.replace(" ", "").replace("{{{", "{{").replace("\n", "").replace(
            "\r", ""
        )


json_values = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers().map(lambda n: JsonNumber(str(n))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(json_values, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_json_is_read_like_by_the_standard_library(value: Any, indent: Any, ascii_only: bool) -> None:
    text = json.dumps(json.loads(json_bytes(value)), indent=indent, ensure_ascii=ascii_only)
    if "{{" in text:
        return
    assert _bare(JsonReader(text, "t").read()) == json.loads(text)


def _bare(node: Any) -> Any:
    if isinstance(node, Text):
        return node.text
    if isinstance(node, JsonNumber):
        return json.loads(node.text)
    if isinstance(node, dict):
        return {key: _bare(member) for key, member in node.items()}
    return [_bare(member) for member in node] if isinstance(node, list) else node
