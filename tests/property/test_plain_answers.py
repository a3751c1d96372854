"""Answers read by the file are those read line by line, to the last bit, whatever the lines hold."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from batchflow import files
from batchflow.cost.rates import Prices
from batchflow.identity import json_bytes
from batchflow.journal.state import BatchState, RunState, ShardState
from batchflow.plan.answer_types import AnswerColumn, AnswerPlan, field_kinds
from batchflow.results.outcome import Answer, Outcome
from batchflow.sinks.duckdb import PlainShard, Sink
from batchflow.sinks.plain import cost_in_sql
from batchflow.spec.fields import object_schema
from batchflow.steps.collect import read_shard
from batchflow.steps.load import Loader
from batchflow.steps.spending import cost_of
from tests.unit.sinks.made import Made, make

ROWS = 6
SECRET = "secret-of-mine"  # noqa: S105 - what must not be in a table
FIELDS = {"why": "text", "choice": ["a", "b"], "score": "1..7", "share": "0.0..1.0?", "tags": "list of text"}
quick = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
bodies = settings(quick, max_examples=20)
NUMBERS = count()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", SECRET)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


TEXTS = st.text(max_size=6) | st.sampled_from(
    [
        "",
        "yes",
        'a "q"',
        "b\\",
        "\u2028\u2029\x85",
        "\x00",
        "\x1f\x7f",
        "é☃𝄞",
        "\ud83d",
        "\ud83dx",
        "null",
        "5",
        "[1]",
        SECRET,
        " x\n",
    ]
)
ODD = st.sampled_from(
    [None, True, False, 0, -1, 5, 1.0, 2.5, 10**15, 2**63, 10**30, "5", "", [], {}, [5], {"text": "a"}]
)
COUNTS = st.integers(0, 10**6)
MODELS = st.sampled_from(["gpt-4o", None, "sk-1234567890", "a-risk-model", "m\\n", "x Bearer abc"])
DETAILS = st.fixed_dictionaries({}, optional={"cached_tokens": COUNTS, "cache_write_tokens": COUNTS})
USAGE = st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS},
    optional={"prompt_tokens_details": DETAILS, "completion_tokens_details": st.just({"reasoning_tokens": 3})},
)
ANSWERS = st.builds(
    lambda why, choice, score, share, tags: json.dumps(
        {"why": why, "choice": choice, "score": score, "share": share, "tags": tags}, ensure_ascii=len(why) % 2 == 0
    ),
    TEXTS,
    st.sampled_from(["a", "a", "b", "c"]),
    st.integers(1, 8) | st.sampled_from([2.0, "3", None]),
    st.none() | st.floats(0, 1) | st.integers(0, 1),
    st.lists(TEXTS, max_size=2),
)


@dataclass(frozen=True)
class Line:
    """A line: the row that it answers, its text with `ID` for the request's id, and what to do to its bytes."""

    row: int
    record: Mapping[str, Any]
    change: str


def record(content: Any, finish: str, model: Any, usage: Any, places: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    body = {"id": "x", "model": model, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    body |= {"usage": usage, "system_fingerprint": "fp"}
    made: dict[str, Any] = {"id": "b", "custom_id": "ID", "response": {"status_code": 200, "body": body}, "error": None}
    for path, value in places.items():
        put(made, path, value)
    return made


def put(value: Any, path: Sequence[str], new: Any) -> None:
    """Change a member, where there is such a place."""
    for step in path[:-1]:
        value = value[0] if isinstance(value, list) and value else value
        value = value.get(step) if isinstance(value, dict) else None
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, dict):
        value[path[-1]] = new


BODY = ("response", "body")
USED = (*BODY, "usage")
PLACES = st.sampled_from(
    [
        ("custom_id",), ("response",), ("error",), ("response", "status_code"), BODY, (*BODY, "error"),
        (*BODY, "choices"), (*BODY, "choices", "message"), (*BODY, "choices", "message", "content"),
        (*BODY, "choices", "message", "refusal"), (*BODY, "choices", "message", "tool_calls"),
        (*BODY, "choices", "finish_reason"), (*BODY, "model"), (*BODY, "system_fingerprint"), USED,
        (*USED, "prompt_tokens"), (*USED, "input_tokens"), (*USED, "total_tokens"), (*USED, "prompt_tokens_details"),
        (*USED, "input_tokens_details"), (*USED, "completion_tokens_details", "reasoning_tokens"), ("extra",),
    ]
)  # fmt: skip
CHANGED: Mapping[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "ascii": lambda data: data,
    "cut": lambda data: data[: len(data) // 2],
    "comma": lambda data: data[:-1] + b",}",
    "twice": lambda data: data[:-1] + b',"custom_id":"other"}',
    "twice within": lambda data: data.replace(b'"content"', b'"content": "first", "content"'),
    "twice in a body": lambda data: data.replace(b'"more":', b'"more": 1, "more":'),
    "case": lambda data: data.replace(b'"content"', b'"Content": "first", "content"'),
    "nan": lambda data: data[:-1] + b',"more":NaN}',
    "inf": lambda data: data[:-1] + b',"more":inf}',
    "digits": lambda data: data[:-1] + b',"more":' + b"9" * 5000 + b"}",
    "deep": lambda data: data[:-1] + b',"more":' + b"[" * 300 + b"]" * 300 + b"}",
    "minus": lambda data: data.replace(b'"prompt_tokens": ', b'"prompt_tokens": -'),
    "blank": lambda data: b"\n  \n" + data + b"\r",
    "control": lambda data: data.replace(b"x", b"\x01"),
    "bytes": lambda data: data.replace(b"e", b"\xff", 1),
    "bom": lambda data: b"\xef\xbb\xbf" + data,
    "form feed": lambda data: b"\x0b" + data + b"\x0c",
    "two": lambda data: data + data,
    "no id": lambda data: b'{"id":1}' * bool(data),
    "list": lambda data: b"[" + data + b"]",
}
CHANGES = st.just("") | st.sampled_from(sorted(CHANGED))


def lines(contents: st.SearchStrategy[Any]) -> st.SearchStrategy[Line]:
    finish = st.sampled_from(["stop", "stop", "stop", "stop", "length", "content_filter", "tool_calls"])
    odd: st.SearchStrategy[Any] = st.dictionaries(PLACES, ODD, max_size=1) | st.just({})
    records = st.builds(record, contents, finish, MODELS, USAGE | st.none(), odd)
    plain = st.builds(record, contents, st.just("stop"), st.just("gpt-4o"), USAGE, st.just({}))
    return st.builds(Line, st.integers(1, ROWS), plain, st.just("")) | st.builds(
        Line, st.integers(1, ROWS), records, CHANGES
    )


def encoded(line: Line, custom_id: str) -> bytes:
    whole = dict(line.record)
    if whole["custom_id"] == "ID":
        whole["custom_id"] = custom_id
    text = json.dumps(whole, ensure_ascii=line.change == "ascii")
    text = re.sub(r'"NUMERAL ([^"]*)"(?!:)', r"\1", text)
    return CHANGED[line.change](text.encode("utf-8", "surrogatepass"))


def content_of(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All of ours, as text."""
    with duckdb.connect(str(database), read_only=True) as con:
        own = con.execute("SELECT schema_name || '.\"' || table_name || '\"' FROM duckdb_tables()").fetchall()
        return {
            name: sorted(
                con.execute(f"SELECT CAST(t AS VARCHAR), hash(t) FROM {name} t").fetchall()  # noqa: S608
            )
            for (name,) in own
        }


def loaded_both_ways(
    root: Path, shards: Sequence[list[list[Line]]], answer: AnswerPlan | None, end: bytes = b"\n", *, raw: bool = False
) -> tuple[Any, Any, list[str]]:
    """The tables, read line by line and by the file; and how each shard was read then."""
    made = make(root / str(next(NUMBERS)), rows=[{"Name": "x"}] * ROWS * len(shards), per_shard=ROWS)
    made = Made(replace(made.plan, answer=answer, raw=raw), made.folder)
    made.folder.manifest.write_bytes(made.plan.to_bytes())
    made.folder.responses.mkdir()
    by_line, by_file = {}, {}
    for number, files_ in enumerate(shards, start=1):
        by_line[number], by_file[number] = collected(made, number, files_, end)
    slow = load(made, RunState(made.run, {1: by_line}), made.folder.path / "slow.duckdb")
    how = dict.fromkeys(by_file, "not tried")
    real = Sink.load_files

    def load_files(sink: Sink, shard: PlainShard, rest: Any) -> int | None:
        rows = real(sink, shard, rest)
        how[shard.batch.shard] = "left" if rows is None else "by the file"
        return rows

    with patch.object(Sink, "load_files", load_files):
        fast = load(made, RunState(made.run, {1: by_file}), made.folder.path / "fast.duckdb")
    return slow, fast, list(how.values())


def collected(made: Made, number: int, parts: list[list[Line]], end: bytes) -> tuple[ShardState, ShardState]:
    """A shard whose account says nothing of plain answers, and as it is."""
    name = f"r1-{number:05d}"
    described: list[dict[str, Any]] = []
    ids = [made.id(ROWS * (number - 1) + row) for row in range(1, ROWS + 1)]
    made.folder.shard(name).write_text("".join(f'{{"custom_id":"{each}"}}\n' for each in ids))
    for kind, some in zip(("output", "error"), parts, strict=False):
        path = made.folder.responses / f"{name}.{kind}.jsonl"
        path.write_bytes(b"\n".join(encoded(line, ids[line.row - 1]) for line in some) + (end if some else b""))
        records = sum(1 for line in path.read_bytes().split(b"\n") if line.strip())
        described.append({"name": path.name, "lines": records, "sha256": files.sha256_of(path), "lost": False})
    reading = read_shard(made.folder, 1, number, [file["name"] for file in described]).run()
    account = reading.account.to_json()
    if (odd := reading.odd_lines()) is not None:
        described = [file | {"odd": odd[file["name"]]} for file in described]
    cost = {"usd": 0.0, "unpriced": 0, "prompt_tokens": 0, "completion_tokens": 0, "prices": PRICES.to_json()}
    return tuple(  # type: ignore[return-value]
        ShardState(
            1, number, ROWS, 0, "", ROWS, batches=[BatchState(f"batch_{number}", ended=True)],
            collected={"files": described, "account": account | told, "cost": cost},
        )
        for told in ({"plain": 0}, {})
    )  # fmt: skip


PRICES = Prices(((0, 2.5), (1000, 5.1)), ((0, 10.0), (1000, 0.1)), ((0, 0.3),), ((0, 0.7), (500, 1e-7)))


def load(made: Made, state: RunState, database: Path) -> dict[str, list[tuple[Any, ...]]]:
    Loader(made.folder, made.plan, database).load(state)
    return content_of(database)


def shards(
    contents: st.SearchStrategy[Any], of: Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Line]] = lines
) -> st.SearchStrategy[list[list[list[Line]]]]:
    """The lines of one or two files of each shard; one line for each request, or none."""
    once = st.lists(of(contents), min_size=1, max_size=ROWS, unique_by=lambda line: line.row)
    files_ = st.tuples(once, st.integers(0, ROWS)).map(lambda both: [both[0][: both[1]], both[0][both[1] :]])
    return st.lists(once.map(lambda some: [some]) | files_, min_size=1, max_size=12)


ENDS = st.sampled_from([b"\n", b"", b"\r\n", b"\n\n"])


@quick
@given(shards(TEXTS), ENDS)
def test_by_the_file_or_line_by_line_the_tables_are_the_same(
    root: Path, some: list[list[list[Line]]], end: bytes
) -> None:
    slow, fast, how = loaded_both_ways(root, some, None, end)
    for way in how:
        event(way)
    assert fast == slow


def answer_plan() -> AnswerPlan:
    schema = object_schema(FIELDS)
    kinds = field_kinds(schema)
    columns = tuple(AnswerColumn(name, name, name, kind) for name, kind in kinds.items())
    return AnswerPlan(columns, json_bytes(schema).decode())


@quick
@given(shards(ANSWERS), ENDS)
def test_and_so_are_typed_answers(root: Path, some: list[list[list[Line]]], end: bytes) -> None:
    slow, fast, how = loaded_both_ways(root, some, answer_plan(), end)
    for way in how:
        event(way)
    assert fast == slow


FLOATS = st.floats(allow_nan=False) | st.sampled_from(
    [1e-4, 9.999e-5, 1e16, 9999999999999998.0, 123456789012345.67, -1e-7, 5e-324, 1.5e300, -0.0, 2.0**63, 1e22]
)
NUMERALS = st.sampled_from(
    [
        "1E5",
        "-0",
        "1.50",
        "0.00001",
        "1e-4",
        "1e+3",
        "0e9",
        "1e400",
        "NaN",
        "-Infinity",
        "9" * 40,
        "1.00000000000000000001",
    ]
)
WHOLE = st.integers(-(2**70), 2**70) | st.sampled_from([2**63, 2**64 - 1, 2**64, 10**16, 10**17 - 1, -(2**63) - 1])
NASTY = TEXTS | st.sampled_from(
    [
        "\\u00e9",
        "\\ud83d",
        "\x0b",
        "\x0e",
        "\b\f\n\r\t/",
        "\x7f",
        "é" * 120,
        "—\u2019" * 8,
        "\ud7ff\ue000\uffff",
        "a,1e5",
        ",0.00001",
        "[1e",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | FLOATS | NASTY | NUMERALS.map(lambda text: f"NUMERAL {text}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=4,
)
TOKENS = st.builds(
    lambda token, logprob: {"content": [{"token": token, "logprob": logprob, "bytes": [104], "top_logprobs": []}]},
    NASTY,
    FLOATS,
)
CALLS = st.builds(lambda text: [{"id": "call", "type": "function", "function": {"arguments": text}}], NASTY)
PLACED = st.dictionaries(
    st.sampled_from([(*BODY, "more"), (*BODY, "id"), (*BODY, "choices", "more")]), VALUES, max_size=1
)
LOGGED = st.dictionaries(st.just((*BODY, "choices", "logprobs")), st.none() | TOKENS, max_size=1)
CALLING = st.dictionaries(st.just((*BODY, "choices", "message", "tool_calls")), CALLS, max_size=1)


def with_bodies(contents: st.SearchStrategy[Any]) -> st.SearchStrategy[Line]:
    places = st.one_of(PLACED, LOGGED, CALLING)
    made = st.builds(record, contents, st.just("stop"), st.just("gpt-4o"), USAGE, places)
    return st.builds(Line, st.integers(1, ROWS), made, st.sampled_from(["", "ascii"]))


@bodies
@given(shards(TEXTS | NASTY, with_bodies) | shards(TEXTS), ENDS)
def test_and_so_are_bodies(root: Path, some: list[list[list[Line]]], end: bytes) -> None:
    slow, fast, how = loaded_both_ways(root, some, None, end, raw=True)
    for way in how:
        event(way)
    assert fast == slow


@quick
@given(shards(ANSWERS), ENDS)
def test_and_bodies_of_typed_answers(root: Path, some: list[list[list[Line]]], end: bytes) -> None:
    slow, fast, _ = loaded_both_ways(root, some, answer_plan(), end, raw=True)
    assert fast == slow


def test_odd_bodies_do_not_slow_down_the_others(root: Path) -> None:
    """Nor do characters that DuckDB has to escape."""
    odd: list[Any] = [1e-7, 1e16, 10**20, "\x0b", "\x7f", "😀", "\ud83d", "\\u00e9", "é" * 120, ",1e5"]
    some = [[[line_of(1), with_more(2, value), line_of(3, "très “chic”\n")]] for value in odd]
    slow, fast, how = loaded_both_ways(root, some, None, raw=True)
    assert fast == slow
    assert how == ["by the file"] * len(some)


def test_a_name_twice_in_a_body_is_told(root: Path) -> None:
    """And does not slow down the others."""
    twice = replace(with_more(2, "x"), change="twice in a body")
    slow, fast, how = loaded_both_ways(root, [[[line_of(1), twice, line_of(3)]]], None, raw=True)
    assert (fast, how) == (slow, ["by the file"])


def test_where_most_lines_are_odd_none_is_read_by_the_file(root: Path) -> None:
    odd = [line_of(2, finish="length"), line_of(3, finish="length")]
    slow, fast, how = loaded_both_ways(root, [[[line_of(1), *odd]]], None)
    assert (fast, how) == (slow, ["not tried"])


def test_a_secret_in_a_body_is_taken_out(root: Path) -> None:
    slow, fast, how = loaded_both_ways(root, [[[line_of(1), with_more(2, f"x {SECRET}")]]], None, raw=True)
    assert (fast, how) == (slow, ["left"])
    assert not any(SECRET in str(rows) for name, rows in fast.items() if "responses" in name)


def with_more(row: int, value: Any) -> Line:
    made = record("yes", "stop", "gpt-4o", {"prompt_tokens": 3}, {(*BODY, "more"): value})
    return Line(row, made, "ascii" if value == "\ud83d" else "")


def line_of(row: int, content: str = "yes", change: str = "", finish: str = "stop") -> Line:
    return Line(row, record(content, finish, "gpt-4o", {"prompt_tokens": 3}, {}), change)


def test_an_odd_line_does_not_slow_down_the_others(root: Path) -> None:
    odd = [line_of(2, finish="length"), line_of(2, change="cut"), line_of(2, "\ud83d", change="ascii"), line_of(2, "")]
    some = [[[line_of(1), each, line_of(3)]] for each in odd]
    some.append([[line_of(1), line_of(3)], [Line(2, {"custom_id": "ID", "error": {"code": "batch_expired"}}, "")]])
    slow, fast, how = loaded_both_ways(root, some, None)
    assert fast == slow
    assert how == ["by the file"] * len(some)


@pytest.mark.parametrize("odd", [r"\ud83d", r"\ud83d\ud83d\ude00", r"\uDC00x"])
def test_half_a_character_in_a_typed_answer(root: Path, odd: str) -> None:
    """DuckDB reads nothing of a text in which one stands, escaped."""
    fits = '{"why":"x","choice":"a","score":1,"share":null,"tags":["t"]}'
    some = [[[line_of(1, fits), line_of(2, fits.replace(old, odd)), line_of(3, fits)]] for old in ("x", "t")]
    slow, fast, how = loaded_both_ways(root, some, answer_plan())
    assert (fast, how) == (slow, ["by the file"] * len(some))
    assert r"\u" in str(fast)


def test_nor_does_an_invalid_answer(root: Path) -> None:
    fits = '{"why":"x","choice":"a","score":1,"share":null,"tags":["t"]}'
    odd = ["no JSON", '{"why":"x"}', fits.replace('"a"', '"c"'), fits.replace("1", "9"), "[]"]
    some = [[[line_of(1, fits), line_of(2, each), line_of(3, fits)]] for each in odd]
    slow, fast, how = loaded_both_ways(root, some, answer_plan())
    assert fast == slow
    assert how == ["by the file"] * len(some)


def test_what_holds_a_secret_is_left_to_the_one_that_takes_it_out(root: Path) -> None:
    slow, fast, how = loaded_both_ways(root, [[[line_of(1), line_of(2, f"x {SECRET}")]]], None)
    assert (fast, how) == (slow, ["left"])
    assert not any(SECRET in str(rows) for name, rows in fast.items() if "responses" in name)


def test_a_secret_where_every_answer_is_plain(root: Path) -> None:
    """Then nothing else is looked at but how many were taken."""
    some = [*map(line_of, range(1, ROWS)), line_of(ROWS, f"x {SECRET}")]
    slow, fast, how = loaded_both_ways(root, [[some]], None)
    assert (fast, how) == (slow, ["left"])


def test_one_line_is_not_taken_in_place_of_another(root: Path) -> None:
    """A model that is a number is not plain, but passes for it by the file; with a status that is left out, it is the
    other way round.
    """
    number = Line(2, record("yes", "stop", 5, None, {}), "")
    left_out = Line(3, record("yes", "stop", "gpt-4o", None, {("response", "status_code"): None}), "")
    slow, fast, how = loaded_both_ways(root, [[[line_of(1), number, left_out]]], None)
    assert (fast, how) == (slow, ["left"])


def test_a_line_that_passes_for_plain_where_all_others_are_is_found(root: Path) -> None:
    number = Line(ROWS, record("yes", "stop", 5, None, {}), "")
    slow, fast, how = loaded_both_ways(root, [[[*map(line_of, range(1, ROWS)), number]]], None)
    assert (fast, how) == (slow, ["by the file"])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.none() | COUNTS, st.none() | COUNTS, st.none() | COUNTS, st.none() | COUNTS), min_size=1),
    st.lists(st.tuples(st.integers(1, 2000), st.floats(0, 100)), max_size=3, unique_by=lambda step: step[0]).map(
        sorted
    ),
)
def test_sql_and_python_agree_on_what_an_answer_costs(counts: list[tuple[int | None, ...]], steps: list[Any]) -> None:
    prices = PRICES._replace(input=((0, 1.1), *map(tuple, steps)))
    answers = [
        Answer("x", Outcome.ANSWERED, prompt_tokens=a, completion_tokens=b, cached_tokens=c, written_tokens=d)
        for a, b, c, d in counts
    ]
    usage = "{prompt_tokens: a, completion_tokens: b, prompt_tokens_details: {cached_tokens: c, cache_write_tokens: d}}"
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t (a BIGINT, b BIGINT, c BIGINT, d BIGINT)")
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", counts)
        found = con.execute(f"SELECT {cost_in_sql(prices)} FROM (SELECT {usage} AS usage FROM t)").fetchall()  # noqa: S608
    assert [cost for (cost,) in found] == [cost_of(answer, prices) for answer in answers]
