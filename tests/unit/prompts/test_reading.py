"""What is told of a template before a row is rendered: members that inserts have not, cells that are compared with
numbers, slots in inserts.
"""

import json
from typing import Any

import pytest

from batchflow.errors import TemplateError
from batchflow.prompts.compile import RowFaults, Template, compile_template
from batchflow.prompts.context import Insert, Members, Table
from batchflow.prompts.document import body_from_mapping

CODES = Table([Members(code="1", label="Price"), Members(code="2", label="Taste")])
RULES: dict[str, Any] = {"scale": {"low": 1, "high": 7}, "steps": [{"a": 1}, {"b": 2}], "none": {}}
INSERTS = {"codebook": Insert.of(CODES), "rules": Insert.of(RULES)}


def compiled(text: str, inserts: dict[str, Insert] = INSERTS) -> Template:
    body = body_from_mapping({"model": "m", "messages": [{"role": "user", "content": text}]})
    return compile_template(body, ("age", "First Name", "item"), context=inserts)


def notes(text: str) -> list[str]:
    return [note for note in compiled(text).notes if "no prompt uses" not in note]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("{% if age == 34 %}a{% endif %}", "`age == 34` is never true, for cells are text; write age | int == 34"),
        ("{{ 'a' if 34 != age else 'b' }}", "`age != 34` is always true, for cells are text; write age | int != 34"),
        ("{{ age == -1.5 }}", "`age == -1.5` is never true, for cells are text; write age | float == -1.5"),
        ("{% if age in [3, 4] %}a{% endif %}", "`age in [3, 4]` is never true"),
        ("{% if age not in (3, 4) %}a{% endif %}", "`age not in [3, 4]` is always true"),
        ("{% if row['First Name'] == 3 %}a{% endif %}", '`row["First Name"] == 3` is never true'),
        ("{% if row.age == 3 %}a{% endif %}", '`row["age"] == 3` is never true'),
    ],
)
def test_a_cell_that_is_compared_with_a_number_is_told(text: str, note: str) -> None:
    (told,) = notes(text)
    assert told.startswith(f"messages[0].content: {note}")


@pytest.mark.parametrize(
    "text",
    [
        "{% if age == '34' %}a{% endif %}", "{% if age | int == 34 %}a{% endif %}",
        "{% if age | int > 3 %}a{% endif %}",
        "{% if age in ['3', 4] %}a{% endif %}", "{% if age == item %}a{% endif %}",
        "{% if rules.scale.low == 1 %}a{% endif %}",
        "{% set age = age | int %}{% if age == 34 %}a{% endif %}", "{% if '3' in age %}a{% endif %}",
        "{% for n in [1] %}{% if n == 1 %}a{% endif %}{% endfor %}", "{% if age == true %}a{% endif %}",
    ],
)  # fmt: skip
def test_other_comparisons_are_not(text: str) -> None:
    assert notes(text) == []


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("{{ rules.scale.lo }} {{ age }}", "rules.scale has no 'lo'", "did you mean rules.scale.low?"),
        ("{{ rules['scale']['lo'] }}", "rules['scale'] has no 'lo'", "did you mean rules['scale'].low?"),
        ("{{ rules.scael.low }}", "rules has no 'scael'", "did you mean rules.scale? rules has scale, steps, none"),
        ("{{ rules.none.x }}", "rules.none has no 'x'", "rules.none has nothing"),
        ("{% for c in codebook %}{{ c.lable }}{% endfor %}", "c has no 'lable'", "did you mean c.label? c has code"),
        ("{% for c in codebook if c.cod == age %}x{% endfor %}", "c has no 'cod'", "c has code, label"),
        ("{% for c in codebook if c.code == age %}{{ c.lable }}{% endfor %}", "", ""),
        ("{% for s in rules.steps %}{{ s.c }}{% endfor %}", "s has no 'c'", "s has a, b"),
        ("{{ codebook[1].lable }}", "codebook[1] has no 'lable'", "codebook[1] has code, label"),
        ("{{ codebook.label }}", "codebook is a list, which has no 'label'", "{% for each in codebook %}{{ each.lab"),
        ("{% if age == 'x' %}{{ rules.lo }}{% endif %}", "rules has no 'lo'", "rules has scale"),
    ],
)  # fmt: skip
def test_a_member_that_an_insert_has_not_is_one_fault_of_the_template(text: str, cause: str, remedy: str) -> None:
    if not cause:
        compiled(text)
        return
    with pytest.raises(TemplateError) as caught:
        compiled(text)
    (fault,) = caught.value.faults
    assert fault.cause == f"messages[0].content: {cause}"
    assert remedy in fault.remedy


@pytest.mark.parametrize(
    "text",
    [
        "{{ rules.lo | default('x') }}", "{% if rules.lo is defined %}{{ rules.lo }}{% endif %}",
        "{{ rules.lo if 'lo' in rules else 'x' }}", "{{ 'lo' in rules and rules.lo }}",
        "{% for s in rules.steps %}{% if 'a' in s %}{{ s.a }}{% endif %}{% endfor %}",
        "{% for name, part in rules.items() %}{{ name }}{% endfor %}", "{{ rules.scale.keys() | join }}",
        "{% set rules = {'lo': 1} %}{{ rules.lo }}", "{% for rules in [{'lo': 1}] %}{{ rules.lo }}{% endfor %}",
        "{{ rules[age] | default('') }}", "{{ codebook | map(attribute='label') | join }}",
        "{{ item.lo | default('') }}",
        "{% for c in codebook %}{{ loop.index }}{{ c.code }}{% endfor %}",
        "{{ (codebook | first).lable | default('') }}",
    ],
)  # fmt: skip
def test_what_a_template_may_do_with_inserts_is_left_to_it(text: str) -> None:
    template = compiled(text)
    assert template.render({"age": ["1"], "First Name": ["a"], "item": ["i"]}, 1)


def test_a_member_that_only_a_row_tells_is_named_in_the_authors_words() -> None:
    template = compiled("{% if rules.scale %}{{ rules.scale.lo }}{% endif %}{{ age }}")
    with pytest.raises(RowFaults) as caught:
        template.render({"age": ["1"]}, 1)
    assert "there is no member 'lo'; there are low, high" in caught.value.faults[0].cause


@pytest.mark.parametrize("text", ["Write to {{ First Name }}.", "{% if x %}"])
def test_a_slot_in_an_insert_is_told_to_be_sent_as_it_stands(text: str) -> None:
    slot = text.removeprefix("Write to ").removesuffix(".")
    for prompt in ("{{ guide }}", "{% if age %}{{ guide }}{% endif %}"):
        template = compiled(prompt, {"guide": Insert.of(text)})
        assert f"inserts are sent as they stand: {slot} in 'guide' is not filled" in template.notes
        (body,) = template.render({"age": ["1"]}, 1)
        assert json.loads(body)["messages"][0]["content"] == text
    assert compiled("{{ guide }}", {"guide": Insert.of('{"a": {"b": {}}}')}).notes == ()
    assert not any("as they stand" in note for note in compiled("x", {"guide": Insert.of(text)}).notes)
