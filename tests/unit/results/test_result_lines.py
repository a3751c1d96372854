"""Every shape of a result line that was seen, and the outcome it must have."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchflow.results.account import Account, Reading
from batchflow.results.lines import parse, records
from batchflow.results.outcome import DESCRIBED, Answer, Outcome

FINAL, OWED = False, True


def body(content: Any = "kawaii", finish: Any = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "system_fingerprint": "fp_1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
        ],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 7,
            "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


def ok(body_: Any, status: Any = 200, **members: Any) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "x", "body": body_}
    return {"id": "batch_req_1", "custom_id": "r-1", "response": response, "error": None, **members}


def failed(status: Any, code: str | None = None, **words: Any) -> dict[str, Any]:
    return ok({"error": {"message": "it said so", "type": "some_type", "param": None, "code": code, **words}}, status)


def not_run(code: Any, **members: Any) -> dict[str, Any]:
    error = {"code": code, "message": "not executed"}
    return {"id": "b", "custom_id": "r-1", "response": None, "error": error, **members}


def without(record: dict[str, Any], *path: str) -> dict[str, Any]:
    copy = json.loads(json.dumps(record))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return dict(copy)


def read(record: Any) -> Answer:
    answer = parse(json.dumps(record).encode())
    assert answer is not None
    return answer


TOOL = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]

SHAPES: list[tuple[str, Any, Outcome, bool]] = [
    # batch-api.md 2.5
    ("answered", ok(body()), Outcome.ANSWERED, FINAL),
    ("context too long", failed(400, "context_length_exceeded"), Outcome.ERROR, FINAL),
    ("expired", not_run("batch_expired"), Outcome.EXPIRED, OWED),
    ("cancelled", not_run("batch_cancelled"), Outcome.CANCELLED, OWED),
    ("american", not_run("batch_canceled"), Outcome.CANCELLED, OWED),
    ("request expired", not_run("request_expired"), Outcome.EXPIRED, OWED),
    ("request cancelled", not_run("request_cancelled"), Outcome.CANCELLED, OWED),
    ("loud", not_run("BATCH_EXPIRED"), Outcome.EXPIRED, OWED),
    # traps 5 and 8: HTTP failures
    *((f"status {status}", failed(status, "c"), Outcome.ERROR, FINAL) for status in (400, 401, 403, 404, 413, 422)),
    *((f"status {status}", failed(status, "c"), Outcome.ERROR, OWED) for status in (408, 409, 429, 500, 502, 503, 529)),
    ("out of money", failed(429, "insufficient_quota"), Outcome.ERROR, OWED),
    ("error beside the response", ok(None, 500, error={"code": "server_error", "message": "m"}), Outcome.ERROR, OWED),
    ("error beside a 400", ok(None, 400, error={"code": "c", "message": "m"}), Outcome.ERROR, FINAL),
    ("status without words", ok(None, 503), Outcome.ERROR, OWED),
    ("html of a gateway", ok("<html>Bad Gateway</html>", 502), Outcome.ERROR, OWED),
    ("status 0", ok(None, 0), Outcome.ERROR, OWED),
    ("status 0 with a body", ok({}, 0), Outcome.ERROR, OWED),
    ("status 0, expired", ok(None, 0, error={"code": "batch_expired", "message": ""}), Outcome.EXPIRED, OWED),
    ("a teapot", ok(None, 418), Outcome.ERROR, FINAL),
    ("a redirect", ok(None, 302), Outcome.ERROR, FINAL),
    ("error in a 200", ok({"error": {"code": "server_error", "message": "m"}}), Outcome.ERROR, OWED),
    ("refused in a 200", ok({"error": {"code": "invalid_prompt", "message": "m"}}), Outcome.ERROR, FINAL),
    # batch-api.md 15: other servers
    ("body encoded twice", ok(json.dumps(body())), Outcome.ANSWERED, FINAL),
    ("error encoded twice", ok(json.dumps({"error": {"code": "x"}}), 500), Outcome.ERROR, OWED),
    ("body is not JSON", ok("not JSON"), Outcome.EMPTY, FINAL),
    ("body is a list", ok([1]), Outcome.EMPTY, FINAL),
    ("body is null", ok(None), Outcome.EMPTY, FINAL),
    ("status as text", ok(body(), "200"), Outcome.ANSWERED, FINAL),
    ("error status as text", failed("429", "rate_limit_exceeded"), Outcome.ERROR, OWED),
    ("status as a float", ok(body(), 200.0), Outcome.ANSWERED, FINAL),
    ("status as a bool", ok(body(), True), Outcome.ANSWERED, FINAL),
    ("status 201", ok(body(), 201), Outcome.ANSWERED, FINAL),
    ("no status", without(ok(body()), "response", "status_code"), Outcome.ANSWERED, FINAL),
    ("no status, an error", without(failed(0, "server_error"), "response", "status_code"), Outcome.ERROR, OWED),
    ("no status, invalid", without(failed(0, "invalid_prompt"), "response", "status_code"), Outcome.ERROR, FINAL),
    ("no error member", without(ok(body()), "error"), Outcome.ANSWERED, FINAL),
    ("no response member", without(not_run("batch_expired"), "response"), Outcome.EXPIRED, OWED),
    ("neither", {"custom_id": "r-1"}, Outcome.ERROR, OWED),
    ("both null", {"custom_id": "r-1", "response": None, "error": None}, Outcome.ERROR, OWED),
    ("error without a code", {"custom_id": "r-1", "error": {"message": "m"}}, Outcome.ERROR, OWED),
    ("error as text", {"custom_id": "r-1", "error": "went wrong"}, Outcome.ERROR, OWED),
    ("error as a number", {"custom_id": "r-1", "error": 7}, Outcome.ERROR, OWED),
    ("code as a number", not_run(500), Outcome.ERROR, OWED),
    ("permanent, not run", not_run("model_not_found"), Outcome.ERROR, FINAL),
    ("type in place of a code", {"custom_id": "r-1", "error": {"type": "invalid_request_error"}}, Outcome.ERROR, FINAL),
    ("response as text", {"custom_id": "r-1", "response": "gone"}, Outcome.ERROR, OWED),
    # trap 17: a 200 that is no answer
    ("refused", ok(body(None, refusal="I cannot")), Outcome.REFUSED, FINAL),
    ("refused, empty text", ok(body("", refusal="I cannot")), Outcome.REFUSED, FINAL),
    ("not refused", ok(body(refusal=None)), Outcome.ANSWERED, FINAL),
    ("not refused, empty", ok(body(refusal="")), Outcome.ANSWERED, FINAL),
    ("cut", ok(body("half an ans", "length")), Outcome.TRUNCATED, FINAL),
    ("cut before any text", ok(body("", "length")), Outcome.TRUNCATED, FINAL),
    ("filtered", ok(body(None, "content_filter")), Outcome.FILTERED, FINAL),
    ("filtered half way", ok(body("half", "content_filter")), Outcome.FILTERED, FINAL),
    ("null text", ok(body(None)), Outcome.EMPTY, FINAL),
    ("empty text", ok(body("")), Outcome.EMPTY, FINAL),
    ("text is a number", ok(body(7)), Outcome.EMPTY, FINAL),
    ("no choices", ok({"choices": []}), Outcome.EMPTY, FINAL),
    ("choices null", ok({"choices": None}), Outcome.EMPTY, FINAL),
    ("choice null", ok({"choices": [None]}), Outcome.EMPTY, FINAL),
    ("no message", ok({"choices": [{"finish_reason": "stop"}]}), Outcome.EMPTY, FINAL),
    ("empty body", ok({}), Outcome.EMPTY, FINAL),
    ("error null in the body", ok({**body(), "error": None}), Outcome.ANSWERED, FINAL),
    ("in parts", ok(body([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])), Outcome.ANSWERED, FINAL),
    ("parts without text", ok(body([{"type": "image"}, None, 1])), Outcome.EMPTY, FINAL),
    ("no parts", ok(body([])), Outcome.EMPTY, FINAL),
    ("calls a tool", ok(body(None, "tool_calls", tool_calls=TOOL)), Outcome.ANSWERED, FINAL),
    ("calls a tool, empty text", ok(body("", "tool_calls", tool_calls=TOOL)), Outcome.ANSWERED, FINAL),
    ("calls a tool, no parts", ok(body([], "tool_calls", tool_calls=TOOL)), Outcome.ANSWERED, FINAL),
    ("calls nothing", ok(body(None, tool_calls=[])), Outcome.EMPTY, FINAL),
    ("unknown finish", ok(body("x", "because")), Outcome.ANSWERED, FINAL),
    ("finish is a number", ok(body("x", 7)), Outcome.ANSWERED, FINAL),
    ("no finish", ok(body("x", None)), Outcome.ANSWERED, FINAL),
]  # fmt: skip


@pytest.mark.parametrize(("record", "outcome", "owed"), [pytest.param(*rest, id=name) for name, *rest in SHAPES])
def test_shapes(record: Any, outcome: Outcome, owed: bool) -> None:
    answer = read(record)
    assert (answer.outcome, answer.owed) == (outcome, owed)
    assert answer.custom_id == "r-1"


def test_the_parts_of_an_answer() -> None:
    answer = read(ok(body()))
    assert answer == Answer(
        "r-1",
        Outcome.ANSWERED,
        http_status=200,
        content="kawaii",
        finish_reason="stop",
        model_answered="gpt-4o-2024-08-06",
        system_fingerprint="fp_1",
        prompt_tokens=11,
        cached_tokens=3,
        completion_tokens=7,
        reasoning_tokens=2,
        total_tokens=18,
        parsed=answer.parsed,
        plain=True,
    )
    assert json.loads(answer.body or "") == body()


def test_the_words_of_an_error() -> None:
    answer = read(failed(429, "rate_limit_exceeded"))
    assert (answer.http_status, answer.error_code, answer.error_message) == (429, "rate_limit_exceeded", "it said so")
    answer = read({"custom_id": "r-1", "error": "went wrong"})
    assert (answer.http_status, answer.error_code, answer.error_message) == (None, None, "went wrong")
    assert read(failed(400)).error_code == "some_type"
    assert read(failed(429, "insufficient_quota")).out_of_money
    assert not read(failed(429, "rate_limit_exceeded")).out_of_money


def test_parts_are_joined_and_tool_calls_are_kept_as_json() -> None:
    assert read(ok(body([{"text": "a"}, {"text": None}, {"text": "b"}]))).content == "ab"
    assert json.loads(read(ok(body("", tool_calls=TOOL))).content or "") == TOOL
    assert read(ok(body("words", tool_calls=TOOL))).content == "words"


def test_only_the_first_choice_is_the_answer() -> None:
    several = body()
    several["choices"].append({"message": {"content": "second"}})
    assert read(ok(several)).content == "kawaii"


def test_half_a_character_stays_readable() -> None:
    answer = parse(
        b'{"custom_id":"r-1","response":{"status_code":200,"body":{"choices":[{"message":{"content":"a\\ud83d!"}}]}}}'
    )
    assert answer is not None
    assert answer.content == "a\\ud83d!"
    (answer.content + (answer.body or "")).encode()


def test_a_damaged_character_does_not_cost_the_answer() -> None:
    record = json.dumps(ok(body("caf#"))).encode().replace(b"#", b"\xe9")
    answer = parse(record)
    assert answer is not None
    assert (answer.outcome, answer.content) == (Outcome.ANSWERED, "caf\ufffd")


@pytest.mark.parametrize("number", [10**30, -(10**30), 1.5, True, "7", None, [], 2**63])
def test_tokens_that_no_column_holds_are_unknown(number: Any) -> None:
    usage = {"prompt_tokens": number, "total_tokens": 5, "prompt_tokens_details": number}
    answer = read(ok({**body(), "usage": usage}))
    assert (answer.prompt_tokens, answer.cached_tokens, answer.total_tokens) == (None, None, 5)
    assert read(ok({**body(), "usage": number})).total_tokens is None


@pytest.mark.parametrize(
    "status", ["²", "9" * 5000, "-1", "2e2", "", " 200", "٢٠٠", 10**30, -1, [], {}, None], ids=repr
)  # fmt: skip
def test_a_status_that_is_none_costs_nothing(status: Any) -> None:
    answer = read(ok(body(), status))
    if isinstance(status, int):
        assert answer.http_status == status
    else:
        assert (answer.http_status, answer.outcome) == (200, Outcome.ANSWERED)


@pytest.mark.parametrize("depth", [50, 900, 970, 980, 985, 990, 995, 1000, 100_000])
def test_deep_nesting_is_an_answer_or_no_result_but_never_a_crash(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for record in (
        json.dumps(ok("@")).replace('"@"', deep),
        json.dumps(ok(deep)),
        json.dumps(ok(body("@"))).replace('"@"', deep),
        json.dumps(ok(body(None, tool_calls="@"))).replace('"@"', deep),
        deep,
        "[" * depth,
    ):
        answer = parse(record.encode())
        assert answer is None or answer.custom_id == "r-1"


@pytest.mark.parametrize(
    "record",
    [
        b"not JSON",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{}",
        b'{"custom_id":null}',
        b'{"custom_id":7}',
        b'{"custom_id":"r-1"',
        b"\x00",
    ],
)
def test_what_is_no_result(record: bytes) -> None:
    assert parse(record) is None


def test_every_outcome_has_words() -> None:
    assert set(DESCRIBED) == set(Outcome)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r1-00001.output.jsonl"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n \t\n", []),
        (b"a\nb\n", [(1, b"a"), (2, b"b")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a"), (2, b"b")]),
        (b"\n\na\n\nb", [(3, b"a"), (5, b"b")]),
        (b"\xef\xbb\xbfa\nb\n", [(1, b"a"), (2, b"b")]),
        ("a\u2028\u2029\x85\x0b\x0c\x1cb\nc".encode(), [(1, "a\u2028\u2029\x85\x0b\x0c\x1cb".encode()), (2, b"c")]),
        (b"a\rb\n", [(1, b"a\rb")]),
    ],
)
def test_records_are_split_at_the_line_feed_alone(
    path: Path, content: bytes, expected: list[tuple[int, bytes]]
) -> None:
    path.write_bytes(content)
    assert list(records(path)) == expected


def line(custom_id: str, record: dict[str, Any], text: str | None = None) -> bytes:
    record = {**record, "custom_id": custom_id}
    if text is not None:
        record["response"]["body"]["choices"][0]["message"]["content"] = text
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def test_both_files_are_read_and_every_request_is_accounted_for(tmp_path: Path) -> None:
    output, error = tmp_path / "output", tmp_path / "error"
    output.write_bytes(
        line("b", ok(body()), "second\u2028answer") + line("stranger", ok(body())) + b"rubbish\n"
        + line("b", ok(body()), "doubled") + line("e", failed(500)) + line("a", ok(body(None, refusal="no")))
    )  # fmt: skip
    error.write_bytes(line("c", not_run("batch_expired")) + line("e", ok(body()), "after all") + line("a", failed(400)))
    reading = Reading(["a", "b", "c", "d", "e"], [output, error])
    answers = {answer.custom_id: answer for answer in reading}
    assert list(answers) == ["b", "a", "e", "c"]
    assert answers["b"].content == "second\u2028answer"
    assert answers["a"].outcome is Outcome.REFUSED
    assert answers["e"].content == "after all"
    assert reading.owed == {"c": Outcome.EXPIRED, "d": Outcome.MISSING}
    account = reading.account
    assert account.final == {"answered": 2, "refused": 1}
    assert account.owed == {"expired": 1, "missing": 1}
    assert (account.doubled, account.unknown, account.unreadable) == (3, 1, 1)
    assert (account.requests, account.answered, account.outcomes.total()) == (5, 2, 5)


def test_without_files_everything_is_missing() -> None:
    reading = Reading(["a", "b"], []).run()
    assert reading.owed == {"a": Outcome.MISSING, "b": Outcome.MISSING}
    assert reading.account.owed == {"missing": 2}


def test_money_is_counted_only_where_it_is_still_owed(tmp_path: Path) -> None:
    path, dry = tmp_path / "error", failed(429, "insufficient_quota")
    path.write_bytes(line("a", dry) + line("b", dry) + line("b", ok(body())))
    assert Reading(["a", "b"], [path]).run().account.out_of_money == 1


def account(final: dict[str, int], owed: dict[str, int], *others: int) -> Account:
    names = ("doubled", "unknown", "unreadable", "out_of_money")
    return Account.from_json({"final": final, "owed": owed, **dict(zip(names, others, strict=True))})


def test_accounts_add_up_over_shards_and_rounds() -> None:
    round_ = Account()
    round_.add(account({"answered": 7}, {"expired": 2, "error": 1}, 1, 0, 0, 0))
    round_.add(account({"answered": 4, "error": 1}, {"missing": 5}, 0, 2, 3, 4))
    assert (round_.requests, round_.outcomes["error"], round_.owed.total()) == (20, 2, 8)
    run = Account()
    run.follow_with(round_)
    run.follow_with(account({"answered": 6}, {"missing": 2}, 0, 0, 0, 0))
    assert run == account({"answered": 17, "error": 1}, {"missing": 2}, 1, 2, 3, 4)
    assert run.requests == 20
    assert Account.from_json(run.to_json()) == run


INVALID = failed(400, "invalid_request_error")


@pytest.mark.parametrize(
    ("lines", "outcome", "content", "counts"),
    [
        ([INVALID, ok(body())], "answered", "kawaii", (1, 1)),
        ([ok(body()), INVALID], "answered", "kawaii", (1, 1)),
        ([INVALID, ok(body(None, refusal="no"))], "refused", None, (1, 1)),
        ([INVALID, INVALID], "error", None, (1, 0)),
        ([INVALID, failed(422, "other")], "error", None, (1, 0)),
        ([failed(503), INVALID], "error", None, (1, 0)),
        ([INVALID, failed(503)], "error", None, (1, 0)),
        ([failed(503), INVALID, ok(body())], "answered", "kawaii", (2, 1)),
        ([ok(body("yes")), ok(body("no"))], "answered", "yes", (1, 1)),
        ([ok(body("yes")), ok(body("yes"))], "answered", "yes", (1, 0)),
        ([ok(body("yes")), ok(body("yes", finish="length"))], "answered", "yes", (1, 1)),
        ([ok(body("yes")), not_run("batch_expired")], "answered", "yes", (1, 0)),
    ],
)
def test_a_paid_answer_is_never_thrown_away_and_contradictions_are_counted(
    path: Path, lines: list[dict[str, Any]], outcome: str, content: str | None, counts: tuple[int, int]
) -> None:
    path.write_bytes(b"".join(line("r-1", one) for one in lines))
    reading = Reading(["r-1"], [path])
    (found,) = reading
    assert (found.outcome, found.owed, found.content) == (outcome, False, content)
    assert (reading.account.final, reading.account.owed, reading.owed) == ({outcome: 1}, {}, {})
    assert (reading.account.doubled, reading.account.conflicting) == counts


def test_contradictions_add_up_and_old_records_know_none() -> None:
    one = Account(doubled=2, conflicting=1)
    one.add(Account(doubled=3, conflicting=3))
    assert (one.doubled, one.conflicting) == (5, 4)
    assert Account.from_json(one.to_json()) == one
    assert Account.from_json(without(one.to_json(), "conflicting")).conflicting == 0
