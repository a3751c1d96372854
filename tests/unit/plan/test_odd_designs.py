"""Designs that are odd, or large: refused before anything is sent, or built in bounded memory."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from batchflow.engine.planning import plan_run
from batchflow.engine.run import RunView
from batchflow.errors import SpecError
from batchflow.plan.study import Study, compile_study
from batchflow.spec.load import load_spec
from batchflow.steps import requests
from batchflow.steps.load import Loader


def compiled(folder: Path, table: str, design: dict[str, Any], prompt: str = "{{word}}", **other: Any) -> Study:
    (folder / "rows.csv").write_text(table)
    asked = {} if "template" in other else {"prompt": {"user": prompt}}
    spec = {
        "version": 1, "name": "d", "data": {"source": "rows.csv", "id": "id"}, **asked,
        "parameters": {"model": "m"}, "provider": "local", "design": design, **other,
    }  # fmt: skip
    (folder / "experiment.yaml").write_text(yaml.safe_dump(spec))
    return compile_study(load_spec(folder / "experiment.yaml"))


def built(folder: Path, table: str, design: dict[str, Any], prompt: str = "{{word}}") -> RunView:
    return plan_run(compiled(folder, table, design, prompt), fresh=True).run


@pytest.mark.parametrize("name", ["condition_number", "Condition_Number", "Model", "MODEL", "outcome", "Row_ID"])
def test_a_factor_cannot_have_the_name_of_a_column_of_ours(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="of their own"):
        built(tmp_path, "id,word\n1,a\n", {"factors": {name: ["a", "b"]}}, f"{{{{word}}}} {{{{{name}}}}}")


@pytest.mark.parametrize("name", ["number", "c", "d", "row", "for", "None", "a b", 'x"y'])
def test_a_factor_may_have_any_other_name(name: str, tmp_path: Path) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    design = {"factors": {name: ["a", "b"]}, "where": [f"word = 'w' AND {quoted} = 'b'"]}
    run = built(tmp_path, "id,word\n1,w\n2,x\n", design, f"{{{{word}}}} {{{{{name}}}}}")
    assert run.plan.requests == 1


def test_columns_of_the_data_may_have_the_names_that_the_machinery_uses(tmp_path: Path) -> None:
    design = {"factors": {"frame": ["x", "y"]}, "where": ["number = '3'"]}
    run = built(tmp_path, "id,word,number,condition_number,c,d\n1,a,3,7,,\n", design, "{{word}} {{frame}}")
    Loader(run.folder, run.plan, tmp_path / "r.duckdb").load(run.state)
    with duckdb.connect(str(tmp_path / "r.duckdb"), read_only=True) as database:
        assert database.execute("SELECT number, condition_number, frame FROM results").fetchall() == [
            ("3", "7", "x"), ("3", "7", "y"),
        ]  # fmt: skip


def test_the_condition_that_fails_for_a_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        built(tmp_path, "id,word\n1,5\n2,b\n", {"where": ["id <> '9'"], "exclude": ["word::int > 7"]})
    (fault,) = caught.value.faults
    assert fault.excerpt is not None
    assert "word::int" in fault.excerpt


def test_rows_are_rendered_few_at_a_time_where_conditions_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    part = requests._Builder.part

    def watched(*arguments: Any, **options: Any) -> Any:
        found = part(*arguments, **options)
        sizes.append(len(found[1] or ()))
        return found

    monkeypatch.setattr(requests._Builder, "part", watched)
    table = "id,word\n" + "".join(f"{number},w\n" for number in range(50))
    design = {"factors": {"a": list(range(20)), "b": list(range(20))}, "where": ["a >= 0"], "replicates": 2}
    assert built(tmp_path, table, design, "{{word}} {{a}} {{b}}").plan.requests == 50 * 400 * 2
    assert max(sizes) <= requests.AT_ONCE
    sizes.clear()
    built(tmp_path, table, design | {"assign": "between"}, "{{word}} {{a}} {{b}}")
    assert len(sizes) == 1


def test_one_stratum_may_stand_alone(tmp_path: Path) -> None:
    table = "id,word\n1,a\n2,b\n3,a\n"
    exact = {"factors": {"model": ["m", "n"]}, "assign": "between", "balance": "exact"}
    alone, listed = (built(tmp_path, table, {**exact, "strata": strata}) for strata in ("word", ["word"]))
    assert alone.plan.fingerprint == listed.plan.fingerprint
    with pytest.raises(SpecError, match="there is no column 'words'") as caught:
        built(tmp_path, table, {**exact, "strata": "words"})
    assert caught.value.faults[0].excerpt == "  strata: words"


ROWS = "id,word\n1,a\n2,b\n"
FRAMED = {"factors": {"frame": {"gain": "You win.", "loss": "You lose."}, "temperature": [0, 0.5]}}
BOTH = "the labels of frame are gain, loss; the labels of temperature are 0, 0.5"


@pytest.mark.parametrize(
    ("exclude", "note"),
    [
        ("frame = 'gian'", "`exclude` (frame = 'gian') removes nothing; the labels of frame are gain, loss"),
        (
            ["word = 'c'", "FRAME = 'loss' and temperature > 1", "frame = 'loss'"],
            f"`exclude` (FRAME = 'loss' and temperature > 1) removes nothing; {BOTH}",
        ),
        ("frame = 'loss'", ""),
        ("frame = 'gian' OR word = 'a'", ""),
    ],
)
def test_an_exclusion_of_factors_that_removes_nothing_is_told(exclude: Any, note: str, tmp_path: Path) -> None:
    study = compiled(tmp_path, ROWS, {**FRAMED, "exclude": exclude}, "{{word}} {{frame}}")
    assert [told for told in study.notes() if "exclude" in told] == ([note] if note else [])


def test_values_that_something_else_takes_the_place_of_are_told(tmp_path: Path) -> None:
    parameters = {"model": "m", "temperature": 1}
    study = compiled(tmp_path, ROWS, FRAMED, "{{word}} {{frame}}", parameters=parameters)
    note = "the factor 'temperature' sets what `parameters.temperature` sets as well: that value is not used"
    assert note in list(study.notes())
    template = {"messages": [{"role": "user", "content": "{{word}}"}], "temperature": "{{ temp | number }}"}
    design = {"factors": {"temp": [0, 1]}}
    with pytest.raises(SpecError) as caught:
        compiled(tmp_path, ROWS, design, template=template, parameters=parameters)
    (fault,) = caught.value.faults
    taken = "`parameters.temperature` takes the place of {{ temp | number }}, where the template names it"
    assert fault.cause == f"the factor 'temp' changes nothing: {taken}"
    assert fault.remedy == "remove `temperature` under `parameters`"
    template = {**template, "temperature": "{{ word | number }}"}
    study = compiled(tmp_path, ROWS, {}, template=template, parameters=parameters)
    assert "`temperature` is set beside the template, whose {{ word | number }} is not used" in list(study.notes())


def test_a_factor_that_no_prompt_names_is_to_be_written_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(tmp_path, ROWS, {"factors": {"tone": ["warm", "cold"]}}, "{{word}}")
    (fault,) = caught.value.faults
    assert fault.remedy.startswith("write {{ tone }} where it belongs in the template")
    with pytest.raises(SpecError) as caught:
        compiled(tmp_path, ROWS, {"factors": {"temprature": [0, 1]}}, "{{word}}")
    assert caught.value.faults[0].remedy.endswith("or name the key that you meant: temperature?")
