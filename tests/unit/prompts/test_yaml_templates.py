import json
from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import Fault, TemplateError
from batchflow.prompts.compile import compile_template
from batchflow.prompts.document import body_from_mapping, read_template

COLUMNS = ("Age", "First Name", "parts")
ROW = {"Age": "28", "First Name": 'Zoë "Q"', "parts": '[{"type":"text","text":"hi"}]'}
TEMPLATE = """\
# the body of a request
model: gpt-4o
temperature: 1.0
max_tokens: 0x
seed: 007
top_p: .5
messages:
  - role: system
    content: >-
      You are {{First Name}},
      {{ Age }} years old.
  - role: user
    content: |
      Say "no":
        {{! a comment }}{{ Age | int + 1 }}
  - role: user
    content: "{{ parts | json }}"
metadata: {age: "{{ Age | number }}", text: "{{ Age }}", adult: "{{ Age | int >= 18 | boolean }}", when: 2024-01-01}
"""


def write(folder: Path, text: str | bytes, name: str = "t.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rendered(path: Path) -> Any:
    template = compile_template(read_template(path, path.name), COLUMNS)
    (body,) = template.render({name: [cell] for name, cell in ROW.items()}, 1)
    return body


def faults(path: Path) -> list[Fault]:
    with pytest.raises(TemplateError) as caught:
        compile_template(read_template(path, path.name), COLUMNS)
    return list(caught.value.faults)


def test_a_template_of_yaml(tmp_path: Path) -> None:
    body = rendered(write(tmp_path, TEMPLATE))
    assert json.loads(body) == {
        "model": "gpt-4o",
        "temperature": 1.0,
        "max_tokens": "0x",
        "seed": "007",
        "top_p": 0.5,
        "messages": [
            {"role": "system", "content": 'You are Zoë "Q", 28 years old.'},
            {"role": "user", "content": 'Say "no":\n  29\n'},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        ],
        "metadata": {"age": 28, "text": "28", "adult": True, "when": "2024-01-01"},
    }
    assert b'"temperature":1.0,' in body
    assert b'"top_p":0.5,' in body


def test_it_is_what_the_same_body_within_the_experiment_is(tmp_path: Path) -> None:
    path = write(tmp_path, TEMPLATE)
    assert read_template(path, "t.yaml").values_by == "filter"
    inline = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": "{{ Age }}"}]})
    same = write(tmp_path, 'model: m\nmessages: [{role: user, content: "{{ Age }}"}]', "s.yml")
    assert compile_template(read_template(same, "s.yml"), COLUMNS).digest == compile_template(inline, COLUMNS).digest


def test_the_suffix_decides(tmp_path: Path) -> None:
    as_json = write(tmp_path, '{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 1}', "t.JSON")
    assert read_template(as_json, "t.JSON").values_by == "quotes"
    assert read_template(write(tmp_path, as_json.read_bytes(), "t.YML"), "t.YML").values_by == "filter"


def test_faults_stand_at_their_places(tmp_path: Path) -> None:
    text = """\
model: m
messages:
  - role: user
    content: >
      Hello
      {{Frist Name}} and
      {{ Age | nope }}
  - content: x
"""
    found = faults(write(tmp_path, text))
    assert [(fault.line, fault.column) for fault in found] == [(6, 7), (7, 7), (8, 5)]
    assert {fault.file for fault in found} == {"t.yaml"}
    assert "did you mean {{First Name}}?" in found[0].remedy
    assert "messages[1]: this message has no role" in found[2].cause


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("", None, "the file holds no template: it is empty"),
        ("# nothing\n", None, "the file holds no template: it is empty"),
        ("- a\n- b\n", 1, "the template is no mapping"),
        ("just a text\n", 1, "the template is no mapping"),
        ("model: m\nmodel: n\n", 2, "the key `model` stands here a second time"),
        ("model: m\nmessages: [\n", 2, "a closing bracket is missing"),
        ("model: m\nmessages: {{ Age }}\n", 2, "without quotes"),
        ("model: m\n---\nmodel: n\n", 2, "a second document begins here"),
        ("model: !!python/name:os.system m\n", 1, "does not belong in a template"),
        ("model: m\nmessages:\n\t- role: user\n", 3, ""),
        ("model: m\na: .nan\n", 2, "no number that JSON knows"),
        ("model: m\x00\n", 1, "cannot stand in a template file"),
        ("a: &a [*a]\n", 1, "would never end"),
    ],
)
def test_what_is_no_template(tmp_path: Path, text: str, line: int | None, cause: str) -> None:
    fault = faults(write(tmp_path, text))[0]
    assert fault.line == line
    assert cause in fault.cause
    assert fault.remedy
    assert "experiment" not in fault.cause + fault.remedy


def test_all_faults_are_said_together(tmp_path: Path) -> None:
    assert len(faults(write(tmp_path, "model: m\nmodel: n\nstop: .inf\n"))) == 2


@pytest.mark.parametrize("content", ["model: é".encode("latin-1"), "model: m".encode("utf-16")])
def test_other_encodings_are_named(tmp_path: Path, content: bytes) -> None:
    (fault,) = faults(write(tmp_path, content))
    assert "UTF-8" in fault.cause
    assert "json" not in fault.remedy


def test_a_mark_at_the_beginning_is_borne(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + b"model: m\r\nmessages: [{role: user, content: x}]\r\n")
    assert json.loads(rendered(path))["model"] == "m"
