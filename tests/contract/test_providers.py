"""What every BatchProvider keeps to, over real HTTP: errors are refusals or doubts, a create is sent once, lists are
not believed when damaged, downloads are whole or doubted, and a key goes to its own host only.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from batchflow.errors import ProviderDoubt, ProviderError, ProviderRefused
from batchflow.plan.target import resolve
from batchflow.providers import openai as adapter
from batchflow.providers.base import BatchProvider, RemoteFile
from batchflow.providers.openai import OpenAIProvider, connect, translated
from batchflow.spec.provider import ProviderSpec
from tests.contract.fake_http import FAST_RETRY, HTML, FakeHttp, Reply, error, json_reply, serving
from tests.server_process import ServerProcess

ENDPOINT = "/v1/chat/completions"
KEY = "sk-the-key-of-this-test"
BATCH = {"id": "batch_1", "object": "batch", "status": "validating", "created_at": 1_700_000_000}
FILE = {"id": "file-1", "object": "file", "bytes": 12, "created_at": 1_700_000_000, "purpose": "batch"}


def requests(count: int) -> bytes:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Which?\u2028"}]}
    lines = [{"custom_id": f"r-{n}", "method": "POST", "url": ENDPOINT, "body": body} for n in range(count)]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture(scope="module")
def listening() -> Iterator[FakeHttp]:
    found = FakeHttp()
    with serving([found]):
        yield found


@pytest.fixture
def fake(listening: FakeHttp) -> FakeHttp:
    listening.reset()
    return listening


@pytest.fixture(scope="module")
def provider(listening: FakeHttp) -> Iterator[OpenAIProvider]:
    found = OpenAIProvider(name="fake", base_url=listening.base_url, api_key=KEY, own_settings=False)
    yield found
    found.close()


# --- what holds for every provider, on both servers ------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server") / "store") as running:
        yield running


@pytest.fixture(params=["fake", "server"])
def any_provider(request: pytest.FixtureRequest) -> Iterator[OpenAIProvider]:
    address = request.getfixturevalue(request.param).base_url
    found = OpenAIProvider(name="any", base_url=address, api_key=f"sk-{request.node.name}", own_settings=False)
    yield found
    found.close()


def sent(provider: BatchProvider, tmp_path: Path, content: bytes) -> RemoteFile:
    path = tmp_path / "requests"
    path.write_bytes(content)
    return provider.upload(path, "run-r1-00001.jsonl")


def test_a_file_becomes_a_batch_becomes_answers(any_provider: OpenAIProvider, tmp_path: Path) -> None:
    provider: BatchProvider = any_provider
    content = requests(3)
    file = sent(provider, tmp_path, content)
    assert file.bytes == len(content)
    assert file.created_at is not None
    assert provider.find_file(file.id) == file
    metadata = {"batchflow_intent": "i-1", "batchflow_shard": "r1-00001"}
    made = provider.create(file.id, ENDPOINT, metadata)
    assert (made.input_file_id, made.metadata) == (file.id, metadata)
    assert made.created_at is not None
    until = time.monotonic() + 20
    while not (found := provider.find_batch(made.id)) or not found.ended:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert (found.status, found.error_file_id, found.errors) == ("completed", None, ())
    assert found.counts == {"total": 3, "completed": 3, "failed": 0}
    assert found.output_file_id is not None
    answers = [json.loads(line) for line in b"".join(provider.download(found.output_file_id)).splitlines()]
    assert sorted(answer["custom_id"] for answer in answers) == ["r-0", "r-1", "r-2"]
    (listed,) = provider.page(None).batches
    assert (listed.id, listed.metadata) == (made.id, metadata)


def test_files_are_listed_newest_first_and_deleted_for_good(any_provider: OpenAIProvider, tmp_path: Path) -> None:
    assert any_provider.file_page(None).files == ()
    made = [sent(any_provider, tmp_path, requests(1)) for _ in range(3)]
    page = any_provider.file_page(None)
    assert [one.id for one in page.files] == [one.id for one in made[::-1]]
    assert {one.purpose for one in page.files} == {"batch"}
    assert [one.id for one in any_provider.file_page(made[1].id).files] == [made[0].id]
    assert any_provider.delete_file(made[1].id)
    assert not any_provider.delete_file(made[1].id)
    assert any_provider.find_file(made[1].id) is None
    assert len(any_provider.file_page(None).files) == 2


def test_a_batch_that_is_not_there_cannot_be_cancelled(any_provider: OpenAIProvider) -> None:
    assert any_provider.cancel("batch_unknown") is None


def test_a_cancelled_batch_says_so(fake: FakeHttp, provider: OpenAIProvider) -> None:
    fake.script("POST", "/batches/batch_1/cancel", json_reply({**BATCH, "status": "cancelling"}))
    found = provider.cancel("batch_1")
    assert found is not None
    assert found.status == "cancelling"


# --- one request by itself -------------------------------------------------------------------------------------------

ASK = b'{"model":"gpt-4o","temperature":1.0,"messages":[{"role":"user","content":"\\u2028"}]}'


def test_a_request_is_asked_byte_for_byte(fake: FakeHttp, provider: OpenAIProvider) -> None:
    fake.script("POST", "/chat/completions", json_reply({"id": "c", "n": 1.0}, 200, **{"x-request-id": "req_1"}))
    reply = provider.ask(ENDPOINT, ASK)
    assert (reply.status, json.loads(reply.body), reply.request_id) == (200, {"id": "c", "n": 1.0}, "req_1")
    (asked,) = fake.asked
    assert (asked.body, asked.headers["content-type"]) == (ASK, "application/json")
    assert asked.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(("status", "code"), [(400, "bad"), (404, "model_not_found"), (413, "bad"), (422, "bad")])
def test_a_refusal_of_the_request_itself_is_its_reply(
    fake: FakeHttp, provider: OpenAIProvider, status: int, code: str
) -> None:
    fake.script("POST", "/chat/completions", error(status, code, "the words"))
    reply = provider.ask(ENDPOINT, ASK)
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (status, "the words")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(401, "invalid_api_key"), ProviderRefused),
        (error(403), ProviderRefused),
        (error(404), ProviderRefused),
        (error(429, "rate_limit_exceeded"), ProviderRefused),
        (error(429, "insufficient_quota"), ProviderRefused),
        (error(400, "billing_not_active"), ProviderRefused),
        (error(500), ProviderDoubt),
        (error(409), ProviderDoubt),
        (error(408), ProviderDoubt),
        (HTML, ProviderDoubt),
        (Reply(400, b"<html>", {"content-type": "text/html"}), ProviderDoubt),
        (Reply(200, b"[]", {"content-type": "application/json"}), ProviderDoubt),
        (Reply(drop=True), ProviderDoubt),
    ],
)
def test_an_asking_that_failed_is_never_repeated(
    fake: FakeHttp, provider: OpenAIProvider, reply: Reply, kind: type[ProviderError]
) -> None:
    fake.script("POST", "/chat/completions", reply)
    with pytest.raises(kind):
        provider.ask(ENDPOINT, ASK)
    assert fake.count("POST", "/chat/completions") == 1


# --- what is not there -----------------------------------------------------------------------------------------------


def test_what_does_not_exist_is_none_and_its_content_is_a_404(any_provider: OpenAIProvider) -> None:
    assert any_provider.find_file("file-unknown") is None
    assert any_provider.find_batch("batch_unknown") is None
    with pytest.raises(ProviderRefused) as caught:
        b"".join(any_provider.download("file-unknown"))
    assert caught.value.status == 404
    assert any_provider.page(None).batches == ()


def test_the_list_is_newest_first_and_pages_after_an_id(any_provider: OpenAIProvider, tmp_path: Path) -> None:
    file = sent(any_provider, tmp_path, requests(1))
    made = [any_provider.create(file.id, ENDPOINT, {"n": str(n)}).id for n in range(3)]
    page = any_provider.page(None)
    assert [one.id for one in page.batches] == made[::-1]
    assert page.has_more is False
    assert [one.id for one in any_provider.page(made[1]).batches] == made[:1]
    assert any_provider.page(made[0]).batches == ()


# --- errors ----------------------------------------------------------------------------------------------------------


def classes(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for derived in base.__subclasses__():
        yield from classes(derived)


STATUS_ERRORS = sorted(set(classes(openai.APIStatusError)), key=str)
OTHER_ERRORS = sorted(set(classes(openai.OpenAIError)) - set(STATUS_ERRORS), key=str)
TRANSPORT_ERRORS = sorted({*classes(httpx2.HTTPError), *classes(httpx2.StreamError), httpx2.InvalidURL}, key=str)
PLAIN_4XX = [400, 401, 402, 403, 404, 405, 410, 413, 415, 422, 425, 429, 451, 499]
BODIES: list[Any] = [{"error": {"message": "no", "code": "c"}}, {"message": "no"}, "no", None, [], {"error": "no"}]
DOUBTFUL = [300, 304, 408, 409, 500, 501, 502, 503, 504, 524, 529, 599]


def raised(failure: Exception) -> ProviderError:
    with pytest.raises(ProviderError) as caught, translated():
        raise failure
    assert caught.value.__cause__ is failure
    assert caught.value.message
    return caught.value


def test_the_list_of_the_sdks_errors_is_not_empty() -> None:
    assert openai.APIConnectionError in OTHER_ERRORS
    assert openai.APITimeoutError in OTHER_ERRORS
    assert openai.APIResponseValidationError in OTHER_ERRORS
    assert openai.RateLimitError in STATUS_ERRORS
    assert httpx2.RemoteProtocolError in TRANSPORT_ERRORS
    assert len(OTHER_ERRORS) + len(STATUS_ERRORS) > 15


@pytest.mark.parametrize("kind", [*OTHER_ERRORS, *TRANSPORT_ERRORS], ids=lambda kind: kind.__name__)
def test_every_error_without_a_status_is_doubt(kind: type[Exception]) -> None:
    failure = kind.__new__(kind)
    Exception.__init__(failure, "words of the library")
    assert isinstance(raised(failure), ProviderDoubt)


@pytest.mark.parametrize("kind", STATUS_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_with_a_status_is_judged_by_it(kind: Any) -> None:
    for status in (*PLAIN_4XX, *DOUBTFUL):
        response = httpx2.Response(status, request=httpx2.Request("POST", "https://api.example/v1"))
        for body in BODIES:
            failure = kind.__new__(kind)
            openai.APIStatusError.__init__(failure, "no", response=response, body=body)
            mapped = raised(failure)
            assert isinstance(mapped, ProviderRefused if status in PLAIN_4XX else ProviderDoubt)
            if isinstance(mapped, ProviderRefused):
                assert mapped.status == status


def test_our_own_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="mine"), translated():
        raise ValueError("mine")


@pytest.mark.parametrize(
    ("reply", "code", "message"),
    [
        (error(400, "invalid_value", "Invalid endpoint"), "invalid_value", "Invalid endpoint"),
        (error(429, "insufficient_quota", "No money"), "insufficient_quota", "No money"),
        (error(404), "some_type", "it said so"),
        (json_reply({"detail": "not found here"}, 404), "", '{"detail": "not found here"}'),
        (json_reply({"message": "flat", "code": "flat_code"}, 422), "flat_code", "flat"),
        (json_reply({"error": "only text"}, 400), "", '{"error": "only text"}'),
        (json_reply(["a list"], 400), "", '["a list"]'),
        (Reply(403, b"<html>Forbidden</html>", {"content-type": "text/html"}), "", "<html>Forbidden</html>"),
        (Reply(413, b""), "", ""),
    ],
)
def test_a_refusal_carries_the_providers_own_words(
    fake: FakeHttp, provider: OpenAIProvider, reply: Reply, code: str, message: str
) -> None:
    fake.script("POST", "/batches", reply)
    with pytest.raises(ProviderRefused) as caught:
        provider.create("file-1", ENDPOINT, {})
    refusal = caught.value
    assert (refusal.status, refusal.provider_code, refusal.provider_message) == (reply.status, code, message)
    assert str(reply.status) in refusal.message
    assert KEY not in refusal.text()


@pytest.mark.parametrize(
    ("told", "expected"),
    [("300", 300.0), ("0.5", 0.5), ("-1", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)],
)
def test_the_time_to_wait_is_carried(
    fake: FakeHttp, provider: OpenAIProvider, told: str, expected: float | None
) -> None:
    fake.script("POST", "/batches", error(429, "rate_limit_exceeded", **{"retry-after": told}))
    with pytest.raises(ProviderRefused) as caught:
        provider.create("file-1", ENDPOINT, {})
    assert caught.value.retry_after == expected


def test_nothing_that_listens_is_doubt() -> None:
    with serving([other := FakeHttp()]):
        pass
    gone = OpenAIProvider(name="x", base_url=other.base_url, api_key=KEY, own_settings=False)
    with pytest.raises(ProviderDoubt):
        gone.create("file-1", ENDPOINT, {})
    gone.close()


# --- a create is sent once -------------------------------------------------------------------------------------------

JSON = {"content-type": "application/json"}
LOST = {
    "dropped": Reply(drop=True),
    "cut": Reply(200, json.dumps(BATCH).encode(), JSON, cut=20),
    "cut without length": Reply(200, json.dumps(BATCH).encode(), JSON, cut=20, length=False),
    "empty": Reply(200, b""),
    "no content": Reply(204),
    "html": HTML,
    "broken JSON": Reply(200, b'{"id": "batch_1"', JSON),
    "not UTF-8": Reply(200, b'{"id": "\xff"}', JSON),
    "no id": json_reply({"object": "batch"}),
    "job of another service": json_reply({"job": {"id": "x"}}),
    "empty id": json_reply({**BATCH, "id": ""}),
    "id is a number": json_reply({**BATCH, "id": 7}),
    "a list": json_reply([BATCH]),
    "null": json_reply(None),
    "deep": Reply(200, b"[" * 100_000, JSON),
    "endless number": Reply(200, b'{"id":' + b"9" * 5000 + b"}", JSON),
    "redirect to a page": Reply(302, b"", {"location": "/v1/login"}),
    "redirect to itself": Reply(307, b"", {"location": "/v1/batches"}),
    "redirect to a longer path": Reply(308, b"", {"location": "/v1/batches/"}),
    "redirect to no address": Reply(307, b"", {"location": "http://[::1"}),
    "redirect without a place": Reply(302, b""),
    **{f"status {status}": error(status) for status in (408, 409, 500, 502, 503, 529)},
    "500 that asks for a retry": error(500, **{"x-should-retry": "true"}),
    "503 html": Reply(503, b"<html>", {"content-type": "text/html"} | FAST_RETRY),
}  # fmt: skip


@pytest.mark.parametrize("reply", LOST.values(), ids=LOST.keys())
def test_an_unreadable_reply_to_a_create_is_doubt_and_it_is_sent_once(
    fake: FakeHttp, provider: OpenAIProvider, reply: Reply
) -> None:
    fake.script("POST", "/batches", reply, json_reply(BATCH))
    with pytest.raises(ProviderDoubt):
        provider.create("file-1", ENDPOINT, {})
    assert fake.count("POST", "/batches") == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429])
def test_a_plain_4xx_of_a_create_is_a_refusal_and_it_is_sent_once(
    fake: FakeHttp, provider: OpenAIProvider, status: int
) -> None:
    fake.script("POST", "/batches", error(status, **{"x-should-retry": "true"}), json_reply(BATCH))
    with pytest.raises(ProviderRefused):
        provider.create("file-1", ENDPOINT, {})
    assert fake.count("POST", "/batches") == 1


def test_a_create_that_is_not_answered_in_time_is_doubt_and_sent_once(
    fake: FakeHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "CALL_TIMEOUT", 0.2)
    hasty = OpenAIProvider(name="x", base_url=fake.base_url, api_key=KEY, own_settings=False)
    fake.script("POST", "/batches", Reply(hang=20), json_reply(BATCH))
    with pytest.raises(ProviderDoubt):
        hasty.create("file-1", ENDPOINT, {})
    assert fake.count("POST", "/batches") == 1
    hasty.close()


def test_what_a_create_says(fake: FakeHttp, provider: OpenAIProvider) -> None:
    fake.script("POST", "/batches", json_reply(BATCH))
    provider.create("file-1", ENDPOINT, {"batchflow_intent": "i-1"})
    (asked,) = fake.asked
    assert asked.json() == {
        "input_file_id": "file-1", "endpoint": ENDPOINT, "completion_window": "24h",
        "metadata": {"batchflow_intent": "i-1"},
    }  # fmt: skip
    assert asked.headers["authorization"] == f"Bearer {KEY}"


# --- everything else is asked again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first", [error(500), error(429, "rate_limit_exceeded"), error(408)], ids=["500", "429", "408"]
)
def test_reading_calls_are_repeated_by_the_sdk(fake: FakeHttp, provider: OpenAIProvider, first: Reply) -> None:
    fake.script("GET", "/batches", first, first, json_reply({"data": [BATCH]}))
    fake.script("GET", "/batches/batch_1", first, json_reply(BATCH))
    fake.script("GET", "/files/file-1", first, json_reply(FILE))
    fake.script("GET", "/files/file-1/content", first, Reply(200, b"line\n"))
    assert len(provider.page(None).batches) == 1
    assert provider.find_batch("batch_1") is not None
    assert provider.find_file("file-1") is not None
    assert b"".join(provider.download("file-1")) == b"line\n"
    assert len(fake.asked) == 9


def test_a_call_that_keeps_failing_is_doubt(fake: FakeHttp, provider: OpenAIProvider) -> None:
    fake.script("GET", "/batches", *[error(503)] * 3)
    with pytest.raises(ProviderDoubt, match="503"):
        provider.page(None)
    assert len(fake.asked) == 3


def test_a_repeated_upload_is_sent_whole_under_the_name_that_was_given(
    fake: FakeHttp, provider: OpenAIProvider, tmp_path: Path
) -> None:
    content = requests(500)
    fake.script("POST", "/files", error(500))
    assert sent(provider, tmp_path, content).bytes == len(content)
    assert len(fake.asked) == 2
    for asked in fake.asked:
        assert b'filename="run-r1-00001.jsonl"' in asked.body
        assert content in asked.body
        assert b"batch" in asked.body.partition(b'name="purpose"')[2][:20]


@pytest.mark.parametrize("call", ["find_batch", "find_file"])
@pytest.mark.parametrize("reply", [HTML, Reply(200, b""), json_reply({"object": "x"}), json_reply([])])
def test_an_unreadable_description_is_doubt(fake: FakeHttp, provider: OpenAIProvider, call: str, reply: Reply) -> None:
    fake.script("GET", "/batches/x", reply)
    fake.script("GET", "/files/x", reply)
    with pytest.raises(ProviderDoubt):
        getattr(provider, call)("x")


@pytest.mark.parametrize("call", ["find_batch", "find_file"])
def test_a_refused_key_is_not_an_absence(fake: FakeHttp, provider: OpenAIProvider, call: str) -> None:
    for status in (401, 403):
        fake.script("GET", "/batches/x", error(status))
        fake.script("GET", "/files/x", error(status))
        with pytest.raises(ProviderRefused) as caught:
            getattr(provider, call)("x")
        assert caught.value.needs_human


# --- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({"object": "list", "data": None, "has_more": False}),
        json_reply({"object": "list"}),
        json_reply({"error": {"message": "try later"}}),
        json_reply({"data": {"id": "batch_1"}}),
        json_reply({"data": "none"}),
        json_reply(None),
        json_reply("text"),
        json_reply({"data": [{"status": "completed"}]}),
        json_reply({"data": [BATCH, None]}),
        json_reply([BATCH, 7]),
        HTML,
        Reply(200, b'{"data": [', {"content-type": "application/json"}),
        Reply(200, b""),
    ],
)
def test_a_damaged_list_is_never_an_empty_one(fake: FakeHttp, provider: OpenAIProvider, reply: Reply) -> None:
    fake.script("GET", "/batches", reply)
    with pytest.raises(ProviderDoubt):
        provider.page(None)


@pytest.mark.parametrize(
    ("value", "has_more"),
    [
        ({"data": [BATCH], "has_more": True}, True),
        ({"data": [BATCH], "has_more": False}, False),
        ({"data": [BATCH]}, None),
        ({"data": [BATCH], "has_more": "yes"}, None),
        ([BATCH], None),
    ],
)
def test_lists_as_services_write_them(
    fake: FakeHttp, provider: OpenAIProvider, value: Any, has_more: bool | None
) -> None:
    fake.script("GET", "/batches", json_reply(value))
    page = provider.page("batch 0&limit=é")
    assert ([one.id for one in page.batches], page.has_more) == (["batch_1"], has_more)
    assert fake.asked[0].query == {"limit": ["100"], "after": ["batch 0&limit=é"]}


def test_an_empty_list_is_empty(fake: FakeHttp, provider: OpenAIProvider) -> None:
    fake.script("GET", "/batches", json_reply({"data": [], "has_more": False}), json_reply([]))
    assert provider.page(None).batches == provider.page(None).batches == ()
    assert "after" not in fake.asked[0].query


# --- batches and files as services write them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "status", "ended"),
    [
        ("COMPLETED", "completed", True), ("Failed", "failed", True), ("EXPIRED", "expired", True),
        ("canceled", "cancelled", True), ("CANCELED", "cancelled", True), ("canceling", "cancelling", False),
        ("IN_PROGRESS", "in_progress", False), ("scheduling", "scheduling", False), ("", "unknown", False),
        (None, "unknown", False), (7, "unknown", False), ("paused_by_provider", "paused_by_provider", False),
    ],
)  # fmt: skip
def test_statuses(fake: FakeHttp, provider: OpenAIProvider, told: Any, status: str, ended: bool) -> None:
    fake.script("GET", "/batches/batch_1", json_reply({**BATCH, "status": told}))
    found = provider.find_batch("batch_1")
    assert found is not None
    assert (found.status, found.ended) == (status, ended)


@pytest.mark.parametrize("told", [None, "", 0, False, [], {}])
def test_a_file_id_that_is_none(fake: FakeHttp, provider: OpenAIProvider, told: Any) -> None:
    fake.script("GET", "/batches/b", json_reply({**BATCH, "output_file_id": told, "error_file_id": told}))
    found = provider.find_batch("b")
    assert found is not None
    assert (found.output_file_id, found.error_file_id, found.input_file_id) == (None, None, "")


@pytest.mark.parametrize("told", [None, "soon", "2026-11-22T10:00:00Z", [], True, -1, 10**400, float("inf")])
def test_members_that_are_missing_or_odd_are_unknown(fake: FakeHttp, provider: OpenAIProvider, told: Any) -> None:
    names = ("created_at", "in_progress_at", "request_counts", "errors", "usage", "metadata")
    fake.script("GET", "/batches/b", json_reply({**BATCH, **dict.fromkeys(names, told)}), json_reply({"id": "b"}))
    for found in (provider.find_batch("b"), provider.find_batch("b")):
        assert found is not None
        assert (found.created_at, found.counts, found.errors, found.tokens, found.metadata) == (None, {}, (), {}, None)
    fake.script("GET", "/files/f", json_reply({"id": "f", "bytes": None, "created_at": told}))
    assert provider.find_file("f") == RemoteFile("f", None, None)


def test_a_whole_batch_is_read(fake: FakeHttp, provider: OpenAIProvider) -> None:
    errors = {"data": [{"code": "invalid_json_line", "message": "m", "line": 7, "param": None}, {"line": None}, "odd"]}
    value = {
        **BATCH, "status": "failed", "input_file_id": "file-1", "errors": errors, "failed_at": 1_700_000_009.5,
        "request_counts": {"total": 3, "completed": 0, "failed": None}, "metadata": {"a": "b", "n": 1},
        "usage": {"input_tokens": 5, "details": {}},
    }  # fmt: skip
    fake.script("GET", "/batches/batch_1", json_reply(value))
    found = provider.find_batch("batch_1")
    assert found is not None
    assert [(one.code, one.message, one.line) for one in found.errors] == [
        ("invalid_json_line", "m", 7),
        ("", "", None),
    ]
    assert found.counts == {"total": 3, "completed": 0}
    assert found.metadata == {"a": "b"}
    assert found.tokens == {"input_tokens": 5}
    assert found.moments == {"created_at": 1_700_000_000, "failed_at": 1_700_000_009.5}


def test_numbers_that_no_table_holds_are_none(fake: FakeHttp, provider: OpenAIProvider) -> None:
    huge = {"total": 2**70, "completed": 2**63 - 1, "failed": -(2**63)}
    fault = {"data": [{"code": "c", "message": "m", "line": 2**64}]}
    fake.script(
        "GET", "/batches/batch_1", json_reply({**BATCH, "request_counts": huge, "usage": huge, "errors": fault})
    )
    fake.script("GET", "/files/file-1", json_reply({**FILE, "bytes": 2**63}))
    found, file = provider.find_batch("batch_1"), provider.find_file("file-1")
    assert found is not None
    assert file is not None
    assert found.counts == found.tokens == {"completed": 2**63 - 1}
    assert (found.errors[0].line, file.bytes) == (None, None)


# --- downloads -------------------------------------------------------------------------------------------------------

CONTENT = b"".join(b'{"custom_id":"r-%d"}\n' % n for n in range(3000))


@pytest.mark.parametrize(
    "reply",
    [Reply(body=CONTENT), Reply(body=CONTENT, length=False), Reply(body=CONTENT, chunked=True), Reply(body=b"")],
)
def test_a_whole_download_comes_byte_for_byte(fake: FakeHttp, provider: OpenAIProvider, reply: Reply) -> None:
    fake.script("GET", "/files/f/content", reply)
    assert b"".join(provider.download("f")) == reply.body


@pytest.mark.parametrize(
    "reply", [Reply(body=CONTENT, cut=1000), Reply(body=CONTENT, cut=1000, chunked=True), Reply(body=CONTENT, cut=0)]
)
def test_a_cut_download_is_doubt(fake: FakeHttp, provider: OpenAIProvider, reply: Reply) -> None:
    fake.script("GET", "/files/f/content", reply)
    received: list[bytes] = []
    with pytest.raises(ProviderDoubt):
        received.extend(provider.download("f"))
    assert CONTENT.startswith(b"".join(received))


def test_a_cut_that_nobody_can_see_is_left_to_collect(fake: FakeHttp, provider: OpenAIProvider) -> None:
    fake.script("GET", "/files/f/content", Reply(body=CONTENT, cut=1000, length=False))
    assert b"".join(provider.download("f")) == CONTENT[:1000]


@pytest.mark.parametrize("status", [404, 403, 429, 500])
def test_a_refused_download_is_judged_by_its_status(fake: FakeHttp, provider: OpenAIProvider, status: int) -> None:
    fake.script("GET", "/files/f/content", *[error(status, "c", "the words")] * 3)
    with pytest.raises(ProviderDoubt if status == 500 else ProviderRefused, match="the words"):
        b"".join(provider.download("f"))


# --- keys ------------------------------------------------------------------------------------------------------------

OTHERS = {
    "OPENAI_API_KEY": "sk-openai-own-secret",
    "OPENAI_ADMIN_KEY": "sk-admin-secret",
    "OPENAI_ORG_ID": "org-secret",
    "OPENAI_PROJECT_ID": "proj-secret",
    "OPENAI_CUSTOM_HEADERS": "X-Gateway-Token: header-secret",
}


def everything_sent(fake: FakeHttp) -> str:
    return "\n".join(f"{asked.path} {asked.headers} {asked.body!r}" for asked in fake.asked)


def all_calls(provider: BatchProvider, tmp_path: Path) -> None:
    file = sent(provider, tmp_path, requests(1))
    made = provider.create(file.id, ENDPOINT, {})
    provider.find_file(file.id)
    provider.find_batch(made.id)
    provider.page(None)
    b"".join(provider.download(file.id))
    provider.file_page(None)
    provider.delete_file(file.id)
    provider.cancel("batch_unknown")
    provider.ask(ENDPOINT, ASK)


def test_a_foreign_host_gets_its_own_key_and_nothing_of_openais(
    fake: FakeHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MY_SERVICE_API_KEY", KEY)
    spec = ProviderSpec(name="my-service", base_url=fake.base_url, api_key_env="MY_SERVICE_API_KEY")
    with contextlib.closing(connect(resolve(spec))) as provider:
        all_calls(provider, tmp_path)
    said = everything_sent(fake)
    assert len(fake.asked) == 10
    assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in fake.asked)
    assert "secret" not in said
    assert all(os.environ[name] == value for name, value in OTHERS.items()), "the environment is as it was"


def test_the_environments_own_host_gets_the_environments_settings(
    fake: FakeHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_BASE_URL", fake.base_url)
    with contextlib.closing(connect(resolve(ProviderSpec(name="openai")))) as provider:
        all_calls(provider, tmp_path)
    asked = fake.asked[0]
    assert asked.headers["authorization"] == f"Bearer {OTHERS['OPENAI_API_KEY']}"
    assert asked.headers["openai-organization"] == "org-secret"
    assert asked.headers["x-gateway-token"] == "header-secret"


def test_a_deletion_is_believed_where_the_provider_says_or_shows_it(fake: FakeHttp, provider: OpenAIProvider) -> None:
    fake.script("DELETE", "/files/file-1", json_reply({"id": "file-1", "deleted": False}))
    fake.script("GET", "/files/file-1", json_reply({"id": "file-1"}))
    with pytest.raises(ProviderDoubt, match="does not say that it deleted file-1"):
        provider.delete_file("file-1")
    fake.script("DELETE", "/files/file-1", json_reply({}), json_reply({"id": "file-1", "deleted": True}))
    assert provider.delete_file("file-1")  # a retrieve says 404
    assert provider.delete_file("file-1")
    assert not provider.delete_file("file-1")


def test_how_long_files_are_to_be_kept_is_said_only_where_it_is_asked(
    fake: FakeHttp, provider: OpenAIProvider, tmp_path: Path
) -> None:
    path = tmp_path / "r1.jsonl"
    path.write_bytes(b'{"custom_id":"r-1"}\n')
    for seconds in (None, 7200):
        file = provider.upload(path, "r1.jsonl", expires_after=seconds)
        provider.create(file.id, "/v1/chat/completions", {}, expires_after=seconds)
    (plain, created, kept, told) = [asked for asked in fake.asked if asked.method == "POST"]
    assert b"expires_after" not in plain.body
    assert "output_expires_after" not in created.json()
    assert b'name="expires_after[anchor]"\r\n\r\ncreated_at' in kept.body
    assert b'name="expires_after[seconds]"\r\n\r\n7200' in kept.body
    assert told.json()["output_expires_after"] == {"anchor": "created_at", "seconds": 7200}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_but_said(
    fake: FakeHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The requests themselves and the headers of a gateway are as little another host's business as the key."""
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-gateway-token: header-secret")
    own = OpenAIProvider(name="openai", base_url=fake.base_url, api_key=KEY, own_settings=True)
    path = tmp_path / "requests"
    path.write_bytes(requests(1))
    with contextlib.closing(own), serving([other := FakeHttp()]):
        calls: dict[tuple[str, str], Any] = {
            ("GET", "/batches"): lambda: own.page(None),
            ("GET", "/batches/batch_1"): lambda: own.find_batch("batch_1"),
            ("GET", "/files/file-1"): lambda: own.find_file("file-1"),
            ("GET", "/files/file-1/content"): lambda: b"".join(own.download("file-1")),
            ("POST", "/files"): lambda: own.upload(path, "r1.jsonl"),
            ("POST", "/batches"): lambda: own.create("file-1", ENDPOINT, {}),
            ("GET", "/files"): lambda: own.file_page(None),
            ("DELETE", "/files/file-1"): lambda: own.delete_file("file-1"),
            ("POST", "/batches/batch_1/cancel"): lambda: own.cancel("batch_1"),
            ("POST", "/chat/completions"): lambda: own.ask(ENDPOINT, ASK),
        }
        for (method, where), call in calls.items():
            there = {"location": f"{other.base_url}{where}?signature=very-secret"}
            fake.script(method, where, Reply(status, b"", there))
            with pytest.raises(ProviderDoubt, match=f"redirects to {other.base_url}{where}: .*base_url") as caught:
                call()
            assert "very-secret" not in str(caught.value)
            assert fake.count(method, where) == 1
    assert other.asked == []


def test_loopback_servers_are_not_asked_through_a_proxy(fake: FakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    provider = OpenAIProvider(name="x", base_url=fake.base_url, api_key=KEY, own_settings=False)
    assert provider.page(None).batches == ()
    provider.close()


def test_the_host_is_named_without_port(provider: OpenAIProvider) -> None:
    assert (provider.host, provider.name, provider.simulated) == ("127.0.0.1", "fake", False)


def test_an_upload_streams_its_file(fake: FakeHttp, provider: OpenAIProvider, tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    path.write_bytes(requests(20_000))
    assert provider.upload(path, "big.jsonl").bytes == path.stat().st_size
    assert fake.count("POST", "/files") == 1
