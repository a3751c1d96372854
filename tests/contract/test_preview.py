"""`preview` shows what would be sent: to the byte what a run of the study sends, and as a person reads it."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.engine.planning import plan_run
from batchflow.engine.previewing import preview_study
from batchflow.errors import DataError, SpecError, UsageError
from batchflow.plan.study import Study, compile_study
from batchflow.sources.choice import RowChoice
from batchflow.sources.workshop import Workshop
from batchflow.spec.load import load_spec
from batchflow.steps.preview import Prompt, Wanted
from tests.zygote import Ended, Zygote

ROWS = {"007": 'Zoë "Z" \U0001f600', "8": "two\u2028lines", "9": "a\\tb", "ten": "<b>&amp;</b> {{x}}"}


def write(folder: Path, rows: dict[str, str], **keys: Any) -> None:
    lines = [json.dumps({"id": name, "topic": text, "secret": f"s{name}"}) for name, text in rows.items()]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    study = {
        "version": 1, "name": "seen", "data": {"source": "rows.jsonl", "id": "id", "missing": "empty"},
        "prompt": {"system": "You are brief.", "user": "About {{topic}}: yes?"}, "parameters": {"model": "gpt-4o"},
    }  # fmt: skip
    (folder / "experiment.yaml").write_text(json.dumps(study | keys))


def compiled(folder: Path, choice: RowChoice | None = None) -> Study:
    return compile_study(load_spec(folder / "experiment.yaml"), None, Workshop(), choice)


def seen(study: Study, wanted: Wanted) -> list[Prompt]:
    return preview_study(study, wanted).prompts


def lines_of(prompts: Sequence[Prompt]) -> list[bytes]:
    return [line for prompt in prompts for line in prompt.lines]


def built(study: Study) -> dict[str, bytes]:
    folder = plan_run(study).run.folder
    found = [line for path in sorted(folder.requests.glob("r1-*.jsonl")) for line in path.open("rb")]
    return {json.loads(line)["custom_id"]: line for line in found}


def varied() -> Iterator[dict[str, Any]]:
    yield {}
    yield {"design": {"factors": {"temperature": [0, 0.50, 1e3], "model": ["gpt-4o", "gpt-5"]}, "replicates": 2}}
    yield {"design": {"factors": {"temperature": [0, 1]}, "assign": "between", "seed": 7}}
    yield {"design": {"factors": {"temperature": [0, 1]}, "assign": "between", "balance": "exact"}}
    yield {"design": {"factors": {"temperature": [0, 1]}, "where": ["id = 'ten' OR temperature = 1"]}}
    yield {"answer": {"fields": {"why": "text", "choice": ["a", "b"]}}, "duplicates": "share"}
    yield {"prompt": {"user": "{% for letter in topic %}{{ letter }}.{% endfor %}"}}
    yield {"endpoint": "/v1/responses", "prompt": {"user": "{{topic}}"}}
    yield {"endpoint": "/v1/embeddings", "prompt": {"user": "{{topic}}"}}


@pytest.mark.parametrize("keys", [*varied()])
def test_previewed_lines_are_those_that_are_sent(keys: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, ROWS, **keys)
    study = compiled(tmp_path)
    prompts = seen(study, Wanted(most=1000))
    assert not (tmp_path / "runs").exists()
    sent = built(study)
    assert {json.loads(line)["custom_id"]: line for line in lines_of(prompts)} == sent
    assert lines_of(prompts) == [sent[name] for name in sorted(sent)]
    for prompt in prompts:
        one = seen(study, Wanted((prompt.row_id,), prompt.condition or "1", 1))
        assert one == [prompt]
        assert prompt.cells == {"topic": ROWS[prompt.row_id]}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TABLE = st.dictionaries(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), TEXT, min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(
    TABLE,
    st.integers(1, 3),
    st.lists(st.text("aü<& ,=", min_size=1, max_size=9), min_size=1, max_size=3, unique=True),
    st.integers(1, 6),
)
def test_whatever_is_in_the_table(rows: dict[str, str], replicates: int, frames: list[str], most: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        frame = {f"f{number}": text for number, text in enumerate(frames)}
        design = {"factors": {"frame": frame}, "replicates": replicates}
        write(folder, rows, design=design, prompt={"user": "{{frame}}: {{topic}}"})
        study = compiled(folder)
        prompts = seen(study, Wanted(most=most))
        sent = built(study)
        assert len(prompts) == min(most, len(rows) * len(frames))
        assert len({prompt.row_id for prompt in prompts}) == min(most, len(rows))
        assert all(sent[json.loads(line)["custom_id"]] == line for line in lines_of(prompts))


def test_few_prompts_are_spread_over_rows_and_conditions(tmp_path: Path) -> None:
    write(tmp_path, ROWS, design={"factors": {"temperature": [0, 1], "model": ["gpt-4o", "gpt-5"]}})
    study = compiled(tmp_path)
    found = [(prompt.row_id, prompt.condition_number) for prompt in seen(study, Wanted())]
    assert found == [("007", 1), ("8", 2), ("9", 3)]
    wanted = Wanted(("ten",), "temperature=1")
    assert [(each.row_id, each.condition_number) for each in seen(study, wanted)] == [("ten", 3), ("ten", 4)]
    assert len(seen(study, Wanted(tuple(ROWS), most=1))) == 4  # each row that is named
    (alone,) = seen(study, Wanted(condition="model=gpt-5,temperature=1", most=1))
    assert alone.condition == "temperature=1,model=gpt-5"


def test_what_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, ROWS, design={"factors": {"temperature": [0, 1]}, "where": ["id <> '8' "]})
    study = compiled(tmp_path)
    assert seen(study, Wanted(("8",))) == []
    with pytest.raises(UsageError, match="no row has the id '11', '12'") as error:
        seen(study, Wanted(("11", "9", "12")))
    assert error.value.hint == "the first ids are 007, 8, 9, ten"
    with pytest.raises(UsageError, match="no condition 'heat=1'") as error:
        seen(study, Wanted(condition="heat=1"))
    assert error.value.hint.split() == ["the", "conditions", "are:", "temperature=0", "temperature=1"]
    write(tmp_path, ROWS)
    with pytest.raises(UsageError, match="nothing varies"):
        seen(compiled(tmp_path), Wanted(condition="temperature=0"))


CHOICES = [
    RowChoice(n=2, seed=1),
    RowChoice(ids=["ten", "8"], source="ids.txt"),
    RowChoice(where="topic LIKE '%\\%' OR id = 'ten'"),
    RowChoice(n=1, ids=["ten", "8", "007"], where="id <> '8'"),
]


@pytest.mark.parametrize(("choice", "keys"), [*zip(CHOICES, varied(), strict=False)])
def test_rows_that_are_chosen_are_those_that_a_run_would_ask(
    choice: RowChoice, keys: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path, ROWS, **keys)
    study = compiled(tmp_path, choice)
    prompts = seen(study, Wanted(most=1000))
    assert {json.loads(line)["custom_id"]: line for line in lines_of(prompts)} == built(study)
    asked = {prompt.row_id for prompt in prompts}
    assert 0 < len(asked) < len(ROWS)
    for row_id in ROWS:
        if row_id in asked:
            assert {prompt.row_id for prompt in seen(study, Wanted((row_id,)))} == {row_id}
        else:
            with pytest.raises(UsageError, match=f"would not ask the row '{row_id}': "):
                seen(study, Wanted((row_id,)))


def test_why_a_row_is_not_among_those_that_are_chosen(tmp_path: Path) -> None:
    write(tmp_path, ROWS, design={"factors": {"temperature": [0, 1]}, "where": ["id <> '9'"]})
    choice = RowChoice(n=1, ids=["8", "9", "ten"], source="ids.txt", where="id <> '8'")
    study = compiled(tmp_path, choice)
    assert [prompt.row_id for prompt in seen(study, Wanted())] == ["ten", "ten"]
    assert seen(study, Wanted(("9", "ten"), most=1))[0].row_id == "ten"  # 9 is asked by no run of the study
    with pytest.raises(UsageError) as error:
        seen(study, Wanted(("8", "007", "9")))
    assert error.value.message == (
        "a run that asks a sample of 1 row (seed 0) with one of 3 ids, where id <> '8' would not ask the row '007': "
        "ids.txt does not name it; nor the row '8': id <> '8' is not true of it"
    )


def test_where_no_row_is_left(tmp_path: Path) -> None:
    write(tmp_path, ROWS, design={"factors": {"temperature": [0, 1]}})
    with pytest.raises(SpecError, match="no row is left to be asked"):
        seen(compiled(tmp_path, RowChoice(where="id = 'x'")), Wanted())
    write(tmp_path, ROWS, design={"factors": {"temperature": [0, 1]}, "where": "id = 'x'"})
    with pytest.raises(SpecError, match="the design leaves no request"):
        seen(compiled(tmp_path), Wanted())


def test_a_row_that_can_be_asked_is_shown_though_another_cannot(tmp_path: Path) -> None:
    (tmp_path / "prompt.json").write_text(
        '{"model": "gpt-4o", "temperature": {{topic}}, "messages": [{"role": "user", "content": "Hi"}]}'
    )
    write(tmp_path, {"a": "0.5", "b": "warm"}, prompt=None, template="prompt.json")
    study = compiled(tmp_path)
    assert len(seen(study, Wanted(("a",)))) == 1
    with pytest.raises(DataError, match=r"row 2 \(id 'b'\)"):
        seen(study, Wanted())


def ended(zygote: Zygote, folder: Path, *words: str) -> Ended:
    return zygote.run(folder, ["preview", ".", *words], {"COLUMNS": "80", "OPENAI_API_KEY": ""})


def test_as_a_person_reads_it(tmp_path: Path, zygote: Zygote) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo" + "A" * 4000}}
    body = {
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "See:\n\n  {{topic}}"}, picture]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    }
    rows = {"1": "a\x1b[31mb " + "long " * 40 + "\u202eend", "2": "short"}
    write(tmp_path, rows, prompt=None, template=body, provider="openai", answer={"fields": {"why": "text"}})
    told = ended(zygote, tmp_path)
    assert told.status == 0, told.stderr
    assert "2 prompts for gpt-4o at api.openai.com; nothing was written, nothing was sent." in told.stderr
    assert not [
        path
        for path in tmp_path.iterdir()
        if path.name[0] != "." and path.name not in {"rows.jsonl", "experiment.yaml"}
    ]
    assert "\x1b" not in told.stdout
    assert "\u202e" not in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert told.stdout.count("long") == 80  # in the table and in the prompt: nothing is cut
    shown = told.stdout.partition("Row 2")[2]
    assert shown == (
        ", id 2\n\n  from the table:\n    topic: short\n\n  user:\n    See:\n\n      short\n"
        "    [image: PNG, 3,008 bytes within the request]\n\n  assistant:\n    [calls look with {}]\n\n"
        "  settings: as above\n"
    )
    assert "    tools: look\n" in told.stdout
    assert "    response_format: JSON that fits the schema 'answer', strict: why\n" in told.stdout


def test_json_holds_the_lines(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path, ROWS, design={"replicates": 2})
    value = ended(zygote, tmp_path, "--json", "--row", "007", "--row", "8").json()
    sent = built(compiled(tmp_path))
    told = {each["custom_id"]: each["line"] for prompt in value["prompts"] for each in prompt["requests"]}
    assert len(told) == 4
    assert all(sent[name] == line.encode() + b"\n" for name, line in told.items())


def test_the_options_of_a_pilot(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path, ROWS)
    (tmp_path / "ids.txt").write_text("ten\n9\n")
    pilot = ("--ids", "ids.txt", "--where", "id <> '9'", "--sample", "5", "--seed", "2")
    value = ended(zygote, tmp_path, "--json", *pilot).json()
    assert [prompt["row_id"] for prompt in value["prompts"]] == ["ten"]
    planned = zygote.run(tmp_path, ["plan", ".", "--json", *pilot]).json()
    assert value["sample"] == planned["sample"]
    (sent,) = (tmp_path / planned["folder"]).glob("requests/r1-*.jsonl")
    assert sent.read_text() == value["prompts"][0]["requests"][0]["line"] + "\n"
    told = ended(zygote, tmp_path, *pilot, "--row", "9")
    assert (told.status, told.stdout) == (2, "")
    assert "would not ask the row '9': id <> '9' is not true of it" in told.stderr
    assert ended(zygote, tmp_path, "--where", "id = 'x'").status == 3
    write(tmp_path, ROWS, sample={"n": 1})
    assert len(ended(zygote, tmp_path, "--json").json()["prompts"]) == 1
    assert len(ended(zygote, tmp_path, "--json", "--sample", "2").json()["prompts"]) == 2
