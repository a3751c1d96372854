from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import TemplateError
from batchflow.identity import JsonNumber, json_bytes
from batchflow.prompts.body import Place, Text, Value
from batchflow.prompts.document import read_json_template


def read(folder: Path, content: str | bytes) -> Any:
    path = folder / "t.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_json_template(path, "t.json")


def test_the_quotes_decide(tmp_path: Path) -> None:
    body = read(tmp_path, '\ufeff{"a": "{{x}}", "b": {{x}}, "c": [{{ {"k": 1}["k"] }}, {{{x}}}], "d": {"e":{{x}}}}')
    assert body.root == {
        "a": Text("{{x}}"),
        "b": Value("{{x}}"),
        "c": [Value('{{ {"k": 1}["k"] }}'), Value("{{{x}}}")],
        "d": {"e": Value("{{x}}")},
    }


def test_numbers_keep_their_text(tmp_path: Path) -> None:
    body = read(tmp_path, '{"a": [1.0, 1e3, -0, 12345678901234567890123, 1E-7, true, false, null]}')
    assert json_bytes(body.root) == b'{"a":[1.0,1e3,-0,12345678901234567890123,1E-7,true,false,null]}'
    assert isinstance(body.root["a"][0], JsonNumber)


@pytest.mark.parametrize(
    ("content", "where", "said"),
    [
        ('{"a": 1,\n "b": 2,}', "t.json:2:8", "delete this comma"),
        ('{"a": [1,]}', "t.json:1:9", "delete this comma"),
        ('{"a": 1 "b": 2}', "t.json:1:9", "a comma or } is missing"),
        ('{"a" 1}', "t.json:1:6", "a colon is missing"),
        ('{"a": }', "t.json:1:7", "a value is missing"),
        ("{'a': 1}", "t.json:1:2", "straight double quotes"),
        ('{"a": \u201cx\u201d}', "t.json:1:7", "straight double quotes"),
        ('{"a": "x\ny"}', "t.json:1:7", '"\\n"'),
        ('{"a": "x\ty"}', "t.json:1:9", "\\u0009"),
        ('{"a": "x\\y"}', "t.json:1:9", "backslash"),
        ('{"a": "x', "t.json:1:7", "never closed"),
        ('{\n// why\n"a": 1}', "t.json:2:1", "JSON has no comments"),
        ('{"a": 1, # why\n"b": 1}', "t.json:1:10", "JSON has no comments"),
        ('{"a": 1} {', "t.json:1:10", "after the end"),
        ('{"a": 1', "t.json:1:8", "closes line 1"),
        ('{"a":', "t.json:1:6", "middle of the JSON"),
        ('{"ä": NaN}', "t.json:1:7", "no JSON number"),
        ('{"a": -Infinity}', "t.json:1:7", "no JSON number"),
        ('{"a": 01}', "t.json:1:7", "no JSON number"),
        ('{"a": 1.}', "t.json:1:7", "no JSON number"),
        ('{"a": True}', "t.json:1:7", "write true"),
        ('{"a": None}', "t.json:1:7", "write null"),
        ('{"a": word}', "t.json:1:7", '"word"'),
        ("{a: 1}", "t.json:1:2", "key"),
        ("{{{x}}: 1}", "t.json:1:7", "after the end"),
        ('{"b": 1, {{x}}: 1}', "t.json:1:10", "cannot stand for a key"),
        ('{"a": {{x}', "t.json:1:7", "not closed"),
        ('{"a": 1, "b": {"a": 1, "a": 2}}', "t.json:1:24", "stands twice"),
        ("[1]", "t.json:1:1", "not a JSON object"),
        ("  \n", "t.json", "empty"),
        (b'{"a":\r\n "\xe4"}', "t.json:2:3", "0xE4"),
        ("{}".encode("utf-16"), "t.json:1:1", "UTF-16"),
        ("[" * 200, "t.json:1:102", "deep"),
        ('{"a": -1e400}', "t.json:1:7", "larger than any"),
        (f'{{"a": {"9" * 5000}}}', "t.json:1:7", "larger than any"),
    ],
)
def test_what_is_no_json_is_refused_at_its_place(tmp_path: Path, content: str | bytes, where: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        read(tmp_path, content)
    (fault,) = caught.value.faults
    assert fault.where() == where
    assert said in fault.cause + fault.remedy


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"t\.json: there is no such file"):
        read_json_template(tmp_path / "t.json", "t.json")


@pytest.mark.parametrize(
    ("place", "position"),
    [
        (Place(("a", 1, "k")), (3, 9)),
        (Place(("a", 1, "k"), offset=4), (3, 9 + 6 + 12 + 2 + 1)),  # after \u00e4, a surrogate pair, \n and x
        (Place(("a", 1, "k"), key=True), (3, 4)),
        (Place(("a", 9, "nowhere")), (1, 7)),
        (Place(()), (1, 1)),
    ],
)
def test_places_are_found_behind_escapes(tmp_path: Path, place: Place, position: tuple[int, int]) -> None:
    body = read(tmp_path, '{"a": [1,\n{\n  "k": "\\u00e4\\ud83d\\ude00\\nx{{y}}"}]}')
    fault = body.fault(place, "cause", "remedy")
    assert (fault.line, fault.column) == position
