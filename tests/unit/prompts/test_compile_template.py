import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import Fault, TemplateError
from batchflow.prompts.body import Body, Place
from batchflow.prompts.compile import RowFaults, Template, compile_template
from batchflow.prompts.document import body_from_mapping, body_from_prompt, read_json_template

COLUMNS = ("Age", "First Name", "Description", "Person's age", "a-b", "a|number")
ROW = {
    "Age": " 28 ",
    "First Name": 'Zoë "Q"',
    "Description": "{{Age}} & <b>",
    "Person's age": "7",
    "a-b": "ab",
    "a|number": "p",
}


def body_with(text: Any) -> Body:
    return body_from_mapping({"model": "m", "messages": [{"role": "user", "content": text}]})


def rendered(text: Any, row: Mapping[str, str] = ROW) -> Any:
    template = compile_template(body_with(text), tuple(row))
    (body,) = template.render({name: [cell] for name, cell in row.items()}, 1)
    return json.loads(body)["messages"][0]["content"]


def faults(body: Body, columns: tuple[str, ...] = COLUMNS) -> list[Fault]:
    with pytest.raises(TemplateError) as caught:
        compile_template(body, columns)
    return list(caught.value.faults)


def row_faults(text: Any, row: Mapping[str, str] = ROW) -> str:
    template = compile_template(body_with(text), tuple(row))
    with pytest.raises(RowFaults) as caught:
        template.render({name: [cell] for name, cell in row.items()}, 1)
    return "\n".join(fault.text() for fault in caught.value.as_faults("t.csv", 7, ["id 7"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{First Name}}|{{ First Name }}|{{{First Name}}}|{{&First Name}}", 'Zoë "Q"|Zoë "Q"|Zoë "Q"|Zoë "Q"'),
        ("{{& First Name }}", 'Zoë "Q"'),
        ("a{{! a comment with {{ Age}}b", "ab"),
        ("{{Description}}", "{{Age}} & <b>"),
        ("{{Person's age}} {{a-b}} {{a|number}}", "7 ab p"),
        ("{{ Age | int + 1 }}", "29"),
        ("{{ row['First Name'] | upper }}{{ row.Age }}", 'ZOË "Q" 28 '),
        ("{{ '}}' }}{{ '{{' }}{{ {'a': {'b': 1}}.a.b }}", "}}{{1"),
        ("x \n{{- Age | trim -}}\n y", "x28y"),
        ("{Description} { } }} {{{Age}}} {", "{Description} { } }}  28  {"),
        ("{# not a comment #} {% open", "{# not a comment #} {% open"),
        ("a\r\nb\r{% if Age | int > 5 %}\r\n{{First Name}}{% endif %}\r\n", 'a\r\nb\r\r\nZoë "Q"\r\n'),
        ("{% for k, v in row.items() if k == 'Age' %}{{ k }}={{ v }}{% endfor %}", "Age= 28 "),
        ("{% raw %}{{First Name}}{% endraw %}{{! gone }}{{&Age}}{# gone #}{% set x = 1 %}", "{{First Name}} 28 "),
        ("{{ Description | tojson }}", '"{{Age}} & <b>"'),
        ("{{ range(3) | list }} {{ true }} {{ 1.50 }}", "[0, 1, 2] True 1.5"),
        ("{{ Age | number }}", 28),
        (" {{ 'true' | boolean }} ", True),
        ("{{ '[1, {\"b\": null}]' | json }}", [1, {"b": None}]),
        ("{{ [Age | int, First_Name | default('x')] | json }}", [28, "x"]),
        ("", ""),
    ],
)  # fmt: skip
def test_texts(text: str, expected: Any) -> None:
    row = {**ROW, "First_Name": "x"} if "First_Name" in text else ROW
    assert rendered(text, row) == expected


def test_a_column_comes_before_everything_else() -> None:
    row = {"!a": "1", "-b": "2", "&c": "3", "#d": "4", "range": "5", "x | number": "6", "row": "7"}
    assert rendered("{{!a}}{{-b}}{{&c}}{{#d}}{{range}}{{x | number}}{{row}}{{ row['row'] }}", row) == "12345677"


def test_a_value_of_an_expression() -> None:
    assert rendered("{{ (Age | int / 2) | number }}") == 14.0
    assert rendered("{{ Age | int > 20 | boolean }}") is True


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("{{Descripton}}", "there is no column 'Descripton'", "did you mean {{Description}}?"),
        ("{{First Nam}}", "there is no column 'First Nam'", "did you mean {{First Name}}?"),
        ("{{Person's agee}}", "there is no column", "did you mean {{Person's age}}?"),
        ("{{Agge | int}}", "there is no column 'Agge'", "did you mean {{Age}}?"),
        ("{{ row['x'] }}", "there is no column 'x'", "the columns are Age"),
        ("{{ row.Agee }}", "there is no column 'Agee'", "{{Age}}"),
        ("{% if Agee %}{% endif %}", "there is no column 'Agee'", "{{Age}}"),
        ("{% if %}{% endif %}", "Jinja", ""),
        ("{{ Age | nope }}", "No filter named 'nope'", "a filter"),
        ("{{ Age | random }}", "No filter named 'random'", ""),
        ("{{ lipsum() }}", "'lipsum'", ""),
        ("{{ cycler(1) }}", "'cycler'", ""),
        ("{{ namespace() }}", "'namespace'", ""),
        ("{% include 'x' %}", "other files", ""),
        ("{{#Age}}x{{/Age}}", "sections of mustache", "{% if Age %}…{% endif %}"),
        ("{{^First Name}}", "sections of mustache", '{% if not row["First Name"] %}…{% endif %}'),
        ("{{>part}}", "sections of mustache", "the text itself"),
        ("{{}}", "this slot is empty", "name of a column"),
        ("{{ Age", "never closed", "}}"),
        ("a {{ Age | number }}", "whole text", "delete"),
    ],
)
def test_faults_of_templates(text: str, cause: str, remedy: str) -> None:
    first = faults(body_with(text))[0]
    assert cause in first.cause
    assert remedy in first.remedy
    assert "messages[0].content" in first.cause


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"model": "m", "stream": true,\n "x{{Age}}": "{{A}} {{Age | number}}",\n "messages": []}')
    found = faults(read_json_template(path, "t.json"))
    assert [fault.where() for fault in found] == [
        "t.json:1:26",
        "t.json:2:3",
        "t.json:2:15",
        "t.json:2:21",
        "t.json:3:14",
    ]
    assert "delete the quotes" in found[3].remedy


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ({"messages": [{"role": "user"}]}, "no model"),
        ({"model": " ", "messages": [{"role": "user"}]}, "model must be"),
        ({"model": 4, "messages": [{"role": "user"}]}, "model must be"),
        ({"model": "{{Age}}", "messages": [{"role": "user"}]}, "slot in model is not supported yet"),
        ({"model": "m"}, "no messages"),
        ({"model": "m", "messages": []}, "at least one"),
        ({"model": "m", "messages": "x"}, "at least one"),
        ({"model": "m", "messages": ["x"]}, "must be an object"),
        ({"model": "m", "messages": [{"content": "x"}]}, "no role"),
        ({"model": "m", "messages": [{"role": "user"}], "stream": True}, "stream"),
        ({"model": "m", "messages": [{"role": "user"}], "stream": None}, "stream"),
        ({"model": "m", "messages": [{"role": "user"}], "n": 3}, "only the first would be kept"),
        ({"model": "m", "messages": [{"role": "user"}], "n": True}, "only the first would be kept"),
        ({"model": "m", "messages": [{"role": "user"}], "n": "{{ topic | number }}"}, "only the first would be kept"),
        ({"custom_id": "1", "method": "POST", "url": "/v1", "body": {"model": "m"}}, "line of a batch file"),
        ({"model": "m", "messages": [{"role": "user"}], 1: 2}, "not a text"),
        ({"model": "m", "messages": [{"role": "user"}], "top_p": float("nan")}, "JSON"),
    ],
)
def test_bodies_that_the_api_would_refuse(body: dict[Any, Any], cause: str) -> None:
    assert cause in faults(body_from_mapping(body))[0].cause


@pytest.mark.parametrize("text", ['"n": 1', '"n": null', '"m": 3', '"n": 2', '"n": {{ age }}'])
def test_one_answer_is_asked_for(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"model": "m", "messages": [{"role": "user"}],\n ' + text + "}")
    body = read_json_template(path, "t.json")
    if text in {'"n": 2', '"n": {{ age }}'}:
        assert faults(body)[0].where() == "t.json:2:7"
    else:
        assert compile_template(body, ("age",)).slots == ()


def test_more_answers_by_a_parameter_are_refused() -> None:
    assert "only the first would be kept" in faults(body_with("x").with_parameters({"n": 3}))[0].cause


def test_stream_false_is_no_fault() -> None:
    assert compile_template(body_with("x").with_parameters({"stream": False}), ()).slots == ()


@pytest.mark.parametrize(
    ("text", "cells", "said"),
    [
        ("{{ Age | number }}", {"Age": "x"}, "column 'Age': 'x' is not a number"),
        ("{{ Age | number }}", {"Age": "true"}, "is not a number"),
        ("{{ Age | number }}", {"Age": "0,5"}, "write 0.5 with a point"),
        ("{{ Age | number }}", {"Age": ""}, "the empty cell is not a number"),
        ("{{ Age | number }}", {"Age": "NaN"}, "is not a number"),
        ("{{ Age | number }}", {"Age": "1e999"}, "larger than any"),
        ("{{ Age | number }}", {"Age": "9" * 5000}, "larger than any"),
        ("{{ Age | json }}", {"Age": f"[{'9' * 5000}]"}, "larger than any"),
        ("{{ 10 ** 400 | number }}", {"Age": "1"}, "larger than any"),
        ("{{ Age | number }}", {"Age": "01"}, "is not a number"),
        ("{{ Age | boolean }}", {"Age": "TRUE"}, "write true in small letters"),
        ("{{ Age | json }}", {"Age": '{"a": 1, "a": 2}'}, "stands twice"),
        ("{{ Age | json }}", {"Age": "NaN"}, "no JSON number"),
        ("{{ 1 / (Age | int) }}", {"Age": "0"}, "ZeroDivisionError"),
        ("{{ Age.nope }}", {}, "no attribute 'nope'"),
        ("{% if Age.nope %}x{% endif %}", {}, "no attribute 'nope'"),
        ("{{ 1 + Age }}", {}, "`| int`"),
        ("{{ row.get('x') }}", {}, "none"),
        ("{{ range(10001) | list }}", {}, "at most 10,000"),
        ("{{ 'x' * 99999999 }}", {}, "longer than"),
        ("{{ 9 ** 99999 }}", {}, "too large"),
        ("{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", {}, "longer than"),
        ("{{ [1] | map('int') }}", {}, "generator"),
        ("{{ range }}", {}, "function"),
        ("{{ Age.__class__.__mro__ }}", {}, "unsafe"),
        ("{% if Age %}{{ row.clear() }}{% endif %}", {}, "unsafe"),
        ("{{ (Age | int / 0) | number }}", {}, "ZeroDivisionError"),
    ],
)
def test_faults_of_rows(text: str, cells: dict[str, str], said: str) -> None:
    text = row_faults(text, {**ROW, **cells})
    assert "t.csv: row 7 (id 'id 7')" in text
    assert said in text


def test_every_bad_row_of_a_chunk_is_told() -> None:
    template = compile_template(body_with("{{Age}}").with_parameters({}), ("Age",))
    assert template.render({"Age": []}, 0) == []
    template = compile_template(body_with("{{ Age | number }}"), ("Age",))
    with pytest.raises(RowFaults) as caught:
        template.render({"Age": ["1", "x", "2", ""]}, 4)
    assert [(fault.offset, fault.column) for fault in caught.value.faults] == [(1, "Age"), (3, "Age")]


def test_unquoted_slots_of_json(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"model":"m","messages":{{M | json}},"a":{{Age}},"b":{{ Age|int * 2 }},"c":{{ T }},"d":{{N}}}')
    template = compile_template(read_json_template(path, "t"), ("Age", "T", "N", "M"))
    cells = {"Age": [" -3 "], "T": ["true"], "N": ["null"], "M": ['[ {"role":"user", "n": 1e2} ]']}
    assert template.render(cells, 1) == [
        b'{"model":"m","messages":[{"role":"user","n":1e2}],"a":-3,"b":-6,"c":true,"d":null}'
    ]


def test_columns_are_counted_both_ways() -> None:
    template = compile_template(body_with("{{a-b}} {{ row['Age'] }} {Description}"), COLUMNS)
    assert template.columns == ("Age", "a-b")
    assert template.unused == ("First Name", "Description", "Person's age", "a|number")
    assert template.notes == (
        "messages[0].content: {Description} in single braces is sent as it stands; a slot is written {{Description}}",
    )
    everything = compile_template(body_with("{{ row.values() | join }}"), COLUMNS)
    assert everything.columns == COLUMNS


def test_parameters_replace_keys_in_place() -> None:
    body = body_from_mapping({"temperature": 1, "model": "m", "messages": [{"role": "user"}]})
    template = compile_template(body.with_parameters({"top_p": 0.5, "model": "n", "stop": ["{"], "seed": 10**30}), ())
    expected = (
        b'{"temperature":1,"model":"n","messages":[{"role":"user"}],"top_p":0.5,"stop":["{"],"seed":1'
        + b"0" * 30
        + b"}"
    )
    assert template.render({}, 1) == [expected]
    assert template.model == "n"


def test_parameters_are_no_templates() -> None:
    (fault,) = faults(body_with("x").with_parameters({"stop": ["{{Age}}"]}))
    assert "parameters are plain values" in fault.cause


def test_faults_are_placed_by_whoever_knows_the_file() -> None:
    def locate(place: Place, cause: str, remedy: str) -> Fault:
        return Fault(
            "e.yaml",
            cause,
            remedy,
            *{"user": (3, place.offset), "": (1, 1), "stream": (9, 9)}["".join(map(str, place.path))],
        )

    body = body_from_prompt("you", "é{{Nope}}", locate).with_parameters({"stream": True}, locate)
    assert [fault.where() for fault in faults(body)] == ["e.yaml:1:1", "e.yaml:3:1", "e.yaml:9:9"]


def digest(text: str, columns: tuple[str, ...] = COLUMNS) -> str:
    return compile_template(body_with(text), columns).digest


def test_the_digest_is_of_what_is_asked(tmp_path: Path) -> None:
    digests = {
        name: compiled(tmp_path, text).digest
        for name, text in {
            "plain": '{"model":"m","messages":[{"role":"user","content":"{{Age}} x"}]}',
            "spaced": '{ "model": "m",\n "messages": [ {"role": "user", "content": "{{ Age }} x{{! c }}"} ] }',
            "order": '{"messages":[{"role":"user","content":"{{Age}} x"}],"model":"m"}',
            "value": '{"model":"m","messages":[{"role":"user","content":{{Age}}}]}',
        }.items()
    }
    assert digests["plain"] == digests["spaced"]
    assert len(set(digests.values())) == 3
    assert (
        len({digest("{{Age}}"), digest("{{a-b}}"), digest("Age"), digest("{{Age|upper}}"), digest("{{Age|lower}}")})
        == 5
    )
    assert digest("{{Age}}") == digest("{{Age}}", ("x", "Age"))


def compiled(folder: Path, text: str) -> Template:
    (folder / "t.json").write_text(text)
    return compile_template(read_json_template(folder / "t.json", "t.json"), COLUMNS)


def test_a_template_without_logic_does_without_jinja() -> None:
    code = (
        "import sys; from batchflow.prompts.compile import compile_template as c;"
        "from batchflow.prompts.document import body_from_prompt as b;"
        "t = c(b(None, 'x {{A b}}').with_parameters({'model': 'm'}), ['A b']); t.render({'A b': ['1']}, 1);"
        "sys.exit('jinja2' in sys.modules or 'duckdb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
