"""Law 3: whatever a provider's files hold, every request has exactly one outcome and none is invented."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchflow.results.account import Reading
from batchflow.results.lines import parse, records
from batchflow.results.outcome import Outcome
from batchflow.spec.endpoints import ENDPOINTS

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(
    LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(TEXT, some, max_size=3), max_leaves=6
)
CODES = st.sampled_from(
    ["batch_expired", "batch_cancelled", "server_error", "insufficient_quota", "invalid_prompt", ""]
)
MESSAGES = st.fixed_dictionaries({}, optional={"content": VALUES, "refusal": VALUES, "tool_calls": VALUES}) | VALUES
CHOICES = st.fixed_dictionaries({}, optional={"message": MESSAGES, "finish_reason": VALUES}) | VALUES
ERRORS = st.fixed_dictionaries({}, optional={"code": CODES | VALUES, "message": VALUES, "type": VALUES}) | VALUES
BODIES = (
    st.fixed_dictionaries(
        {},
        optional={"choices": st.lists(CHOICES, max_size=2) | VALUES, "usage": VALUES, "error": ERRORS, "model": VALUES},
    )
    | VALUES
)
STATUSES = st.sampled_from([200, 200, 200, 0, 400, 429, 500, "200", "²", None]) | VALUES
RESPONSES = (
    st.fixed_dictionaries({}, optional={"status_code": STATUSES, "body": BODIES | BODIES.map(json.dumps)}) | VALUES
)
IDS = st.sampled_from([f"r-{number}" for number in range(8)])
RECORDS = st.fixed_dictionaries({"custom_id": IDS}, optional={"response": RESPONSES, "error": ERRORS})


def simple(custom_id: str, kind: str) -> dict[str, Any]:
    """A line whose outcome is plain."""
    match kind:
        case "expired":
            return {"custom_id": custom_id, "response": None, "error": {"code": "batch_expired"}}
        case "broken":
            return {"custom_id": custom_id, "response": {"status_code": 503, "body": None}}
        case "invalid":
            return {"custom_id": custom_id, "response": {"status_code": 400, "body": None}}
        case "refused":
            message: dict[str, Any] = {"refusal": "no"}
        case _:
            message = {"content": kind}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    return {"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}


PLAIN = st.builds(simple, IDS, st.sampled_from(["expired", "broken", "invalid", "refused", "yes", "no"]))
RUBBISH = st.binary(max_size=30).filter(lambda some: b"\n" not in some)
LINES = st.one_of(
    PLAIN.map(lambda record: json.dumps(record).encode()),
    RECORDS.map(lambda record: json.dumps(record).encode()),
    RUBBISH,
)
FILES = st.lists(LINES, max_size=14)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, files: list[list[bytes]], separator: bytes = b"\n") -> list[Path]:
    paths = []
    for number, lines in enumerate(files):
        path = folder / f"{number}.jsonl"
        path.write_bytes(separator.join(lines))
        paths.append(path)
    return paths


@quick
@given(st.lists(FILES, max_size=2), st.lists(IDS, unique=True), st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_the_account_adds_up_for_any_mix_of_lines(
    folder: Path, files: list[list[bytes]], expected: list[str], separator: bytes
) -> None:
    paths = write(folder, files, separator)
    reading = Reading(expected, paths)
    answers = list(reading)
    named = [answer.custom_id for answer in answers]
    assert len(set(named)) == len(named)
    assert set(named) <= set(expected)
    finals = {answer.custom_id for answer in answers if not answer.owed}
    account = reading.account
    assert account.requests == len(expected)
    assert account.final.total() == len(finals)
    assert set(reading.owed) == set(expected) - finals
    assert account.owed.total() == len(reading.owed)
    missing = {name for name, outcome in reading.owed.items() if outcome is Outcome.MISSING}
    assert missing == set(expected) - set(named)
    lines = sum(1 for path in paths for _ in records(path))
    assert account.conflicting <= account.doubled
    assert lines == len(named) + account.doubled + account.unknown + account.unreadable


@quick
@given(st.lists(st.lists(PLAIN, max_size=14), max_size=2), st.lists(IDS, unique=True))
def test_the_first_word_of_the_model_wins_else_a_final_error_else_the_first_line(
    folder: Path, files: list[list[dict[str, Any]]], expected: list[str]
) -> None:
    reading = Reading(expected, write(folder, [[json.dumps(one).encode() for one in lines] for lines in files]))
    found = {answer.custom_id: answer for answer in reading}
    told = [parse(json.dumps(one).encode()) for lines in files for one in lines]
    for name in expected:
        own = [answer for answer in told if answer is not None and answer.custom_id == name]
        final = [answer for answer in own if not answer.owed]
        said = [answer for answer in final if answer.outcome is not Outcome.ERROR]
        assert found.get(name) == next(iter([*said, *final, *own]), None)


@quick
@given(st.lists(PLAIN, max_size=14), st.randoms(use_true_random=False), st.lists(IDS, unique=True))
def test_the_order_of_lines_without_doubles_changes_nothing(
    folder: Path, lines: list[dict[str, Any]], dice: Any, expected: list[str]
) -> None:
    single = list({one["custom_id"]: one for one in lines}.values())
    first = Reading(expected, write(folder, [[json.dumps(one).encode() for one in single]])).run()
    dice.shuffle(single)
    second = Reading(expected, write(folder, [[json.dumps(one).encode() for one in single]])).run()
    assert (first.account, first.owed) == (second.account, second.owed)


@settings(quick, max_examples=200)
@given(st.binary(max_size=200) | RECORDS.map(lambda record: json.dumps(record).encode()))
@example(b'{"custom_id":"a","response":{"status_code":"\xc2\xb2","body":{}}}')
@example(b'{"custom_id":"a","response":{"status_code":"' + b"9" * 5000 + b'","body":{}}}')
@example(b'{"custom_id":"a","response":{"status_code":200,"body":"' + b"[" * 100_000 + b'"}}')
@example(b'{"custom_id":"a","response":{"body":NaN},"error":Infinity}')
def test_no_line_whatever_it_holds_is_more_than_a_line(record: bytes) -> None:
    answer = parse(record)
    if answer is None:
        return
    assert answer.outcome not in {Outcome.MISSING, Outcome.UNSENT, Outcome.IN_FLIGHT}
    for text in (answer.content, answer.refusal, answer.finish_reason, answer.model_answered, answer.body):
        assert text is None or text.encode() is not None
    for number in (answer.prompt_tokens, answer.completion_tokens, answer.total_tokens):
        assert number is None or (type(number) is int and abs(number) < 2**63)
    if answer.outcome is Outcome.ANSWERED:
        assert answer.content
    if answer.owed:
        assert answer.outcome in {Outcome.ERROR, Outcome.EXPIRED, Outcome.CANCELLED}


# the words that parsers look for, so that a body of chance gets into every corner of them
WORDS = st.sampled_from(
    [
        *("output", "data", "results", "choices", "content", "text", "type", "message", "phase", "status", "usage"),
        *("output_text", "refusal", "final_answer", "function_call", "completed", "failed", "incomplete", "object"),
        *("incomplete_details", "reason", "embedding", "index", "input_tokens", "response", "text_completion", "model"),
    ]
)
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=25,
)


@settings(quick, max_examples=300)
@given(st.sampled_from([*ENDPOINTS, "", "/v1/other"]), st.dictionaries(WORDS, BODIES, max_size=6))
def test_no_body_of_any_endpoint_is_more_than_a_body(endpoint: str, body: dict[str, Any]) -> None:
    line = {"custom_id": "a", "response": {"status_code": 200, "body": body}}
    answer = parse(json.dumps(line).encode(), endpoint)
    assert answer is not None
    assert answer.outcome is not Outcome.ANSWERED or answer.content
    for text in (answer.content, answer.refusal, answer.finish_reason, answer.model_answered, answer.error_code):
        assert text is None or text.encode() is not None
    for number in (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens, answer.reasoning_tokens):
        assert number is None or (type(number) is int and abs(number) < 2**63)
    assert answer.dimensions in {None, len(json.loads(answer.content or "[]"))}
    assert json.loads(answer.body or "null") == body or "NaN" in (answer.body or "")


@quick
@given(st.binary(max_size=400))
def test_any_bytes_are_read_to_the_end(folder: Path, content: bytes) -> None:
    path = folder / "x"
    path.write_bytes(content)
    reading = Reading(["r-1", "r-2"], [path]).run()
    assert reading.account.requests == 2
    joined = b"".join(record for _, record in records(path))
    assert len(joined) <= len(content)
