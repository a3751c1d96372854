"""`utils chat-complete`, `display`, `config`: every answer once, whatever kills the program; nothing secret shown."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.fake_http import COMPLETION, Asked, FakeHttp, Reply, error, json_reply, serving
from tests.deck.walking import Walker, write_requests
from tests.unit.cli.terminal import Terminal
from tests.zygote import Zygote

PATH = "/chat/completions"
GOOD = json_reply(COMPLETION)
SLOW = replace(GOOD, hang=4.0)


@pytest.fixture
def fake() -> Iterator[FakeHttp]:
    with serving([found := FakeHttp()]):
        yield found


@pytest.fixture
def walker(fake: FakeHttp, tmp_path: Path, zygote: Zygote) -> Walker:
    write_requests(tmp_path / "requests.jsonl", 6)
    return Walker(tmp_path, zygote, fake.base_url)


def asked(fake: FakeHttp) -> list[int]:
    """The seed of every request that came, which is the number of its line."""
    return [one.json()["seed"] for one in fake.asked]


def answers(walker: Walker) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (walker.folder / "requests-answers.jsonl").read_bytes().splitlines()]


def ask(walker: Walker, *more: str, **how: Any) -> Any:
    return walker.type("utils", "chat-complete", "requests.jsonl", "--json", *more, **how)


def test_every_request_is_asked_once_and_a_second_call_asks_nothing(walker: Walker, fake: FakeHttp) -> None:
    ended = ask(walker)
    assert (ended.status, "Ask gpt-4o at 127.0.0.1 6 requests. This costs the full price" in ended.stderr) == (0, True)
    assert (ended.json()["asked"], ended.json()["outcomes"]) == (6, {"answered": 6})
    assert sorted(asked(fake)) == list(range(6))
    found = answers(walker)
    assert {answer["custom_id"] for answer in found} == {f"id_{number}" for number in range(6)}
    assert found[0]["response"]["status_code"] == 200
    assert (found[0]["response"]["body"], found[0]["error"]) == (COMPLETION, None)
    again = ask(walker)
    assert (again.status, again.json()["asked"], len(fake.asked)) == (0, 0, 6)
    shown = walker.type("utils", "display", "requests-answers.jsonl")
    assert shown.stdout.count("answered\n  futuristic") == 6


def test_kill_9_and_only_the_rest_is_asked(walker: Walker, fake: FakeHttp) -> None:
    fake.script("POST", PATH, GOOD, GOOD, GOOD, SLOW)
    assert ask(walker, "--concurrency", "1", kill_after=3.0).status == -9
    before = {answer["custom_id"] for answer in answers(walker)}
    assert before == {"id_0", "id_1", "id_2"}
    first = len(fake.asked)
    assert ask(walker).status == 0
    rest = {f"id_{number}" for number in asked(fake)[first:]}
    assert rest == {f"id_{number}" for number in range(6)} - before
    assert len(answers(walker)) == 6


def test_a_signal_ends_it_in_order_with_what_flew_kept(walker: Walker, fake: FakeHttp) -> None:
    fake.script("POST", PATH, GOOD, GOOD, SLOW, SLOW)
    ended = ask(walker, "--concurrency", "2", kill_after=3.0, signal="SIGTERM")
    assert (ended.status, ended.json()["code"]) == (130, "interrupted")
    assert len(answers(walker)) == len(fake.asked) == 4
    assert ask(walker).status == 0
    assert sorted(asked(fake)) == list(range(6))


def test_a_line_that_a_crash_cut_is_cut_away(walker: Walker, fake: FakeHttp) -> None:
    assert ask(walker).status == 0
    path = walker.folder / "requests-answers.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert (ask(walker).status, len(fake.asked), len(answers(walker))) == (0, 7, 6)


def test_a_file_of_somebody_else_is_left_alone(walker: Walker, fake: FakeHttp) -> None:
    for content in ("my notes", '{"id": "mine"}\n'):
        (walker.folder / "notes.txt").write_text(content)
        assert (ask(walker, "--out", "notes.txt").status, len(fake.asked)) == (2, 0)
        assert (walker.folder / "notes.txt").read_text() == content


def test_a_request_that_cannot_be_answered_is_a_result_and_stays_one(walker: Walker, fake: FakeHttp) -> None:
    fake.script("POST", PATH, error(400, "invalid_image_url", "no such image"))
    told = ask(walker, "--concurrency", "1")
    assert (told.status, told.json()["outcomes"]) == (4, {"answered": 5, "error": 1})
    assert ask(walker).json()["asked"] == 0
    shown = walker.type("utils", "display", "requests-answers.jsonl", "--id", "id_0").stdout
    assert shown == "id_0: error\n  invalid_image_url\n  no such image\n"


def test_want_of_room_is_waited_for_and_doubt_is_not_repeated(walker: Walker, fake: FakeHttp) -> None:
    full = error(429, "rate_limit_exceeded", **{"retry-after": "0"})
    fake.script("POST", PATH, full, Reply(drop=True))
    told = ask(walker, "--concurrency", "1")
    assert (told.status, told.json()["owed"]) == (4, 1)
    assert "may have been billed" in told.stderr
    assert len(fake.asked) == 7
    assert (ask(walker).status, len(fake.asked)) == (0, 8)


def test_where_no_answer_comes_all_stay_owed(walker: Walker, fake: FakeHttp) -> None:
    write_requests(walker.folder / "requests.jsonl", 2)
    fake.script("POST", PATH, Reply(drop=True), Reply(drop=True))
    told = ask(walker)
    assert (told.status, told.json()["owed"], told.json()["outcomes"]) == (4, 2, {})
    assert not (walker.folder / "requests-answers.jsonl").exists()


@pytest.mark.parametrize(
    "reply", [error(401, "invalid_api_key"), error(429, "insufficient_quota"), error(404, None, "no such route")]
)
def test_what_waiting_does_not_mend_stops_it(walker: Walker, fake: FakeHttp, reply: Reply) -> None:
    fake.script("POST", PATH, json_reply(COMPLETION), reply)
    told = ask(walker, "--concurrency", "1")
    assert (told.status, told.json()["code"], len(fake.asked)) == (6, "provider-refused", 2)
    assert len(answers(walker)) == 1
    assert ask(walker).json()["asked"] == 5


def test_somebody_is_asked_before_anything_leaves_the_machine(tmp_path: Path) -> None:
    write_requests(tmp_path / "requests.jsonl", 6)
    env = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_BASE_URL": "https://nobody.invalid/v1"}
    with Terminal(tmp_path, "utils", "chat-complete", "requests.jsonl", **env) as terminal:
        terminal.wait_for("Go on? [y/N]")
        terminal.enter("n\n")
        assert terminal.end() == 2
    shown = terminal.text()
    assert "Ask gpt-4o at nobody.invalid 6 requests. This costs the full price, twice that of a batch." in shown
    assert "not agreed: nothing was done" in shown
    assert not (tmp_path / "requests-answers.jsonl").exists()


def test_answers_to_other_requests_are_not_taken_for_these(walker: Walker, fake: FakeHttp) -> None:
    assert ask(walker).status == 0
    path = walker.folder / "requests.jsonl"
    path.write_text(path.read_text().replace("most appealing", "least appealing"))
    told = ask(walker)
    assert (told.status, "holds the answer to another request named id_0" in told.stderr) == (2, True)
    assert (ask(walker, "--out", "other.jsonl").status, len(fake.asked)) == (0, 12)


def test_a_file_of_the_decks_tool_is_shown_with_its_image(walker: Walker) -> None:
    shown = walker.type("utils", "display", "requests.jsonl", "--limit", "1").stdout
    assert "id_0: asks gpt-4o\n  system: You are a participant." in shown
    assert "[image: https://images.example/select.png]" in shown


def test_config_shows_no_secret(walker: Walker, tmp_path: Path, zygote: Zygote) -> None:
    env = {"OPENAI_API_KEY": "sk-secret-0123456789", "OPENAI_BASE_URL": "https://me:word@llm.example/v1?key=word"}
    for more in ([], ["--json"]):
        ended = zygote.run(tmp_path, ["utils", "config", *more], env)
        assert ended.status == 0
        said = ended.stdout + ended.stderr
        assert ("https://llm.example/v1" in said, "secret" in said, "word" in said) == (True, False, False)
    assert walker.json("utils", "config")["key_usable"] is True
    assert walker.json("utils", "config", "--provider", "local")["simulated"] is True


def test_answers_that_were_moved_away_are_not_written_to_nowhere(
    walker: Walker, fake: FakeHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the third is asked the file is moved: the command stops, and goes on once it is back."""
    target, kept, plain = walker.folder / "requests-answers.jsonl", walker.folder / "kept", fake.answer

    def moving(one: Asked) -> Reply:
        if len(fake.asked) == 2:
            target.rename(kept)
        return plain(one)

    monkeypatch.setattr(fake, "answer", moving)
    ended = ask(walker, "--concurrency", "1")
    assert (ended.status, "moved or replaced" in ended.stderr) == (7, True), ended.stderr
    assert len(kept.read_bytes().splitlines()) == 2
    kept.rename(target)
    assert ask(walker).json()["asked"] == 4
    assert len(answers(walker)) == 6
