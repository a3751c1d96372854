"""For any short form: its schema is strict; what the simulator answers is judged valid, and in the tables as said."""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchflow.identity import JsonNumber, json_bytes
from batchflow.plan.answer_types import ANSWER_KEYS, AnswerColumn, AnswerPlan, field_kinds
from batchflow.results.judge import judge_of
from batchflow.results.outcome import Answer, Outcome
from batchflow.server.responder import Ask
from batchflow.server.schema.strict import check_strict
from batchflow.server.simulator import Simulator
from batchflow.sinks.duckdb import ResponseRow, Rest, Sink
from batchflow.sinks.layout import ANSWERS, run_table
from batchflow.sources.columns import resolve
from batchflow.sources.database import identifier
from batchflow.spec.fields import object_schema
from batchflow.spec.strict import strict_problems
from tests.unit.plan.plans import plan
from tests.unit.sinks.made import Made, batch, make

_NAMES = st.sampled_from(
    [
        "why",
        "score",
        "type",
        "description",
        "nullable",
        "a b",
        'q"x',
        "é",
        "content",
        "round",
        "row_id",
        "experiment",
        "$",
    ]
)
_INTEGERS = st.integers(-(10**6), 10**6)
_RANGES = st.tuples(_INTEGERS, _INTEGERS).map(lambda ends: f"{min(ends)}..{max(ends)}")
_DECIMALS = st.tuples(_INTEGERS, _INTEGERS).map(lambda ends: f"{min(ends)}.0..{max(ends) + 1}.0")
_WORDS = st.sampled_from(["text", "integer", "number", "boolean", "1..7", "0.0..1.0"]) | _RANGES | _DECIMALS
_CHOICES = (
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5), min_size=1, max_size=4, unique=True)
    | st.lists(_INTEGERS, min_size=1, max_size=4, unique=True)
    | st.lists(st.sampled_from(["0.5", "1.25", "-2.0"]), min_size=1, unique=True).map(
        lambda texts: [JsonNumber(text) for text in texts]
    )
)
_SIMPLE = st.one_of(_WORDS, _WORDS.map(lambda word: f"{word}?"), _WORDS.map(lambda word: f"list of {word}"), _CHOICES)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(_NAMES, inner, min_size=2, max_size=3)


_FIELDS = st.recursive(
    _SIMPLE,
    lambda inner: st.one_of(
        inner.map(lambda field: {"list of": field}),
        st.builds(lambda field, null: {"type": field, "nullable": null, "description": "What?"}, inner, st.booleans()),
        _objects(inner),
    ),
    max_leaves=5,
)
_SPECS = st.dictionaries(_NAMES, _FIELDS, min_size=1, max_size=5)


def lines(schema: Mapping[str, Any], ids: list[str]) -> list[bytes]:
    """The result lines of requests that ask the local simulator for this schema."""
    described = {"name": "answer", "strict": True, "schema": json.loads(json_bytes(schema))}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "Choose 'kawaii' or 'cubs'."}],
        "response_format": {"type": "json_schema", "json_schema": described},
    }
    asked = json.dumps(body).encode()
    replies = [Simulator(0).reply(Ask(body, asked, draw), 1) for draw in range(1, len(ids) + 1)]
    assert all(reply.status == 200 for reply in replies), replies[0].body
    return [
        json.dumps({"custom_id": name, "response": {"status_code": reply.status, "body": reply.body}}).encode()
        for name, reply in zip(ids, replies, strict=True)
    ]


def planned(schema: Mapping[str, Any]) -> AnswerPlan:
    kinds = field_kinds(json.loads(json_bytes(schema)))
    stored = resolve(list(kinds), ANSWER_KEYS, "answer_")
    columns = tuple(AnswerColumn(n, s, s, kind) for (n, kind), s in zip(kinds.items(), stored, strict=True))
    return AnswerPlan(columns, json_bytes(schema).decode())


def same(kept: Any, said: Any) -> bool:
    """Whether a column holds what the answer says; numbers may have become floating point ones."""
    if isinstance(said, dict):
        return (
            isinstance(kept, dict) and list(kept) == list(said) and all(same(kept[name], said[name]) for name in said)
        )
    if isinstance(said, list):
        return isinstance(kept, list) and len(kept) == len(said) and all(map(same, kept, said))
    if isinstance(said, float):
        return isinstance(kept, float) and math.isclose(kept, said, rel_tol=1e-15)
    return kept == said and (type(kept) is type(said) or (type(kept) is float and type(said) is int))


def judged(fields: dict[str, Any], ids: list[str]) -> tuple[AnswerPlan, list[Answer]]:
    answers = planned(object_schema(fields))
    judge = judge_of(plan(answer=answers))
    found = [judge(line) for line in lines(object_schema(fields), ids)]
    return answers, [answer for answer in found if answer is not None]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_SPECS)
def test_any_short_form_is_strict_and_its_answers_are_valid(fields: dict[str, Any]) -> None:
    schema = object_schema(fields)
    plain = json.loads(json_bytes(schema))
    assert strict_problems(plain) == []
    check_strict(plain)
    assert list(plain["properties"]) == plain["required"] == list(fields)
    _, answers = judged(fields, ["1", "2", "3"])
    assert [answer.outcome for answer in answers] == [Outcome.ANSWERED] * 3, answers[0].error_message
    for answer in answers:
        assert answer.typed is not None
        assert same(list(answer.typed), list(json.loads(answer.content or "").values()))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_SPECS)
def test_the_table_holds_what_the_answers_say(fields: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = make(root)
        ids = [made.id(row) for row in (1, 2, 3)]
        kept, answers = judged(fields, ids)
        database = root / "results.duckdb"
        load(database, replace(made, plan=replace(made.plan, answer=kept)), answers)
        names = ", ".join(identifier(column.stored) for column in kept.columns)
        with duckdb.connect(str(database), read_only=True) as con:
            rows = con.execute(f"SELECT {names} FROM {run_table(ANSWERS, made.run)} ORDER BY custom_id").fetchall()  # noqa: S608
            shown = len(con.execute("DESCRIBE results").fetchall())
        assert [list(row) for row in rows] == [list(answer.typed or ()) for answer in answers]
        assert all(
            same(list(row), list(json.loads(answer.content or "").values()))
            for row, answer in zip(rows, answers, strict=True)
        )
        assert shown == 22 + len(fields)


def load(database: Path, made: Made, answers: list[Answer]) -> None:
    shared = [name for name in ResponseRow._fields if name not in {"cost_usd", "body"}]
    rows = [ResponseRow(**{name: getattr(answer, name) for name in shared}) for answer in answers]
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(rows, {}))
        sink.set_run(made.row())
