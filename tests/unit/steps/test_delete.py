"""What may be deleted at the provider, by the journal and by what the provider shows."""

from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import ProviderDoubt
from batchflow.files import sha256_of
from batchflow.journal.events import Event
from batchflow.journal.state import RunState, fold
from batchflow.plan.folder import RunFolder
from batchflow.providers.base import Batch, RemoteFile
from batchflow.steps.delete import NEVER_FETCHED, UNFINISHED, RemoteCopy, Use, deletable, is_here, look, remaining
from batchflow.steps.expiry import expiries, expiry, in_words, is_confirmed, of_request_file
from tests.unit.journal.histories import batch, built, event, header, intent, receipt, released, uploaded, writer
from tests.unit.steps.fakes import FakeProvider
from tests.unit.steps.fakes import batch as shown

ONE, TWO = (1, 1), (1, 2)
ACCOUNT: dict[str, Any] = {"doubled": 0, "unknown": 0, "unreadable": 0, "out_of_money": 0, "final": {"answered": 10}}


def collected(place: tuple[int, int], *, lost: bool = False, owed: int = 0) -> Event:
    file = {"name": f"r{place[0]}-{place[1]:05d}.output.jsonl", "bytes": 1, "lines": 1, "sha256": "x", "lost": lost}
    account = {**ACCOUNT, "owed": {"expired": owed} if owed else {}, "final": {"answered": 10 - owed}}
    return event("collected", place, batch_id="batch-1", files=[file], account=account)


def done(place: tuple[int, int] = ONE, **how: Any) -> list[Event]:
    """A shard from upload to collection, with ids of its own."""
    name = f"{place[0]}{place[1]}"
    events = [uploaded(place, f"file-{name}"), intent(place, f"i-{name}", f"file-{name}")]
    events += [receipt(place, f"i-{name}", f"batch-{name}"), batch(place, f"batch-{name}")]
    ended = Event("batch", {**events[-1].payload, "output_file_id": f"out-{name}"}, round=place[0], shard=place[1])
    return [*events[:-1], ended, collected(place, **how)]


def deleted(file_id: str, place: tuple[int, int] = ONE) -> Event:
    return event("deleted", place, file_id=file_id, what="request", found=True)


def ids(state: RunState) -> set[str]:
    return {copy.file_id for copy in deletable(state)}


BEGUN = [header(), built(1, 2)]
CANCELLED = event("cancel", (1, 0), batches=1)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (BEGUN, set()),
        ([*BEGUN, *done(ONE)], set()),  # the other is not sent yet
        ([*BEGUN, *done(ONE), *done(TWO)[:1]], set()),
        ([*BEGUN, *done(ONE), *done(TWO)[:2]], set()),  # a doubt
        ([*BEGUN, *done(ONE), *done(TWO)[:3]], set()),  # a live batch
        ([*BEGUN, *done(ONE), *done(TWO)[:4]], set()),  # it has ended, and its answers are there alone
        ([*BEGUN, *done(ONE), *done(TWO)], {"file-11", "out-11", "file-12", "out-12"}),
        ([*BEGUN, *done(ONE), *done(TWO), deleted("out-11")], {"file-11", "file-12", "out-12"}),
        ([*BEGUN, *done(ONE, lost=True), *done(TWO)], {"file-11", "file-12", "out-12"}),
        ([*BEGUN, *done(ONE, owed=3), *done(TWO)], {"file-11", "out-11", "file-12", "out-12"}),
        ([*BEGUN, *done(ONE, owed=3), *done(TWO), built(2, 1)], set()),  # the next round is not sent yet
        ([*BEGUN, *done(ONE, owed=3), *done(TWO), built(2, 1), *done((2, 1))[:3]], set()),
        (
            [*BEGUN, *done(ONE, owed=3), *done(TWO), built(2, 1), *done((2, 1))],
            {"file-11", "out-11", "file-12", "out-12", "file-21", "out-21"},
        ),
        ([*BEGUN, *done(ONE), *done(TWO)[:1], CANCELLED], {"file-11", "out-11", "file-12"}),
        ([*BEGUN, *done(ONE), *done(TWO)[:2], CANCELLED], set()),
        ([*BEGUN, *done(ONE), *done(TWO)[:3], CANCELLED], set()),
        ([*BEGUN, *done(ONE), CANCELLED], {"file-11", "out-11"}),
    ],
)
def test_nothing_may_go_while_the_provider_has_work_of_ours(events: list[Event], expected: set[str]) -> None:
    assert ids(fold(events)) == expected


def test_why_something_stays() -> None:
    state = fold([*BEGUN, *done(ONE), *done(TWO)[:3]])
    assert {(copy.file_id, why) for copy, why in remaining(state)} == {
        ("file-11", UNFINISHED), ("out-11", UNFINISHED), ("file-12", UNFINISHED)
    }  # fmt: skip
    state = fold([*BEGUN, *done(ONE, lost=True), *done(TWO)])
    assert {copy.file_id: why for copy, why in remaining(state) if why} == {"out-11": NEVER_FETCHED}


def test_a_file_that_is_uploaded_anew_under_its_old_id_is_there_again() -> None:
    sent = [*BEGUN, uploaded(ONE, "file-11"), CANCELLED, deleted("file-11"), event("resumed", (1, 0), requests=20)]
    assert ids(fold([*sent, *done(ONE), *done(TWO)])) == {"file-11", "out-11", "file-12", "out-12"}


def test_what_was_deleted_and_is_still_to_be_sent_is_uploaded_anew() -> None:
    sent = [*BEGUN, uploaded(ONE, "file-11"), CANCELLED, deleted("file-11")]
    state = fold(sent)
    assert (state.shard(1, 1).phase, state.sent, ids(state)) == ("upload", True, set())
    state = fold([*sent, uploaded(ONE, "file-new")])
    assert (state.shard(1, 1).phase, ids(state)) == ("start", {"file-new"})
    # the file of a batch that did nothing is the file of its shard
    failed = [*done(ONE)[:3], batch(ONE, "batch-11", "failed"), released(ONE, "batch-11")]
    assert ids(fold([*BEGUN, *failed, CANCELLED])) == {"file-11"}


def test_the_reason_goes_with_the_file() -> None:
    left = event("left", files=[{"file_id": "file-11"}, {"file_id": "out-11"}], why="in use")
    state = fold([*BEGUN, *done(ONE), *done(TWO), left, writer(2)])
    assert state.left == {"file-11": "in use", "out-11": "in use"}
    state = fold([*BEGUN, *done(ONE), *done(TWO), left, deleted("out-11")])
    assert (state.left, state.deleted) == ({"file-11": "in use"}, {"out-11"})


def copies() -> list[RemoteCopy]:
    return deletable(fold([*BEGUN, *done(ONE), *done(TWO)]))


def live(batch_id: str, file_id: str, status: str = "in_progress") -> Batch:
    return shown(batch_id, 9000.0, status=status, input_file_id=file_id)


OURS = shown("batch-12", 9000.0, status="completed", input_file_id="file-12")


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling", "paused_by_provider"])
def test_a_file_that_an_open_batch_reads_is_seen(status: str) -> None:
    use = look(FakeProvider([live("b-other", "file-11", status), OURS]), copies(), ["batch-11", "batch-12"])
    assert use.why_not("file-11") == "b-other reads it, and has not ended"
    assert use.why_not("file-12") == ""


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (FakeProvider([OURS], tells_more=False, repeats=True), "does not show everything"),
        (FakeProvider([live("b-other", "file-x")]), "another key, project or address?"),
        (FakeProvider([]), "another key, project or address?"),
        (FakeProvider([live("b-other", ""), OURS]), "cannot be told which file the open batch b-other reads"),
    ],
)
def test_what_cannot_be_seen_lets_nothing_go(provider: FakeProvider, words: str) -> None:
    assert words in look(provider, copies(), ["batch-11", "batch-12"]).why_not("file-11")


def test_a_list_that_cannot_be_read_is_no_empty_one() -> None:
    with pytest.raises(ProviderDoubt):
        look(FakeProvider(list_error=ProviderDoubt("damaged")), copies(), ["batch-11"])


def test_without_a_batch_of_ours_a_file_of_ours_must_be_visible() -> None:
    unsent = deletable(fold([*BEGUN, *done(ONE)[:1], CANCELLED]))
    assert look(FakeProvider([], files={"file-11": RemoteFile("file-11", 1, None)}), unsent, []) == Use()
    assert look(FakeProvider([]), unsent, []).blind


def test_what_is_here_is_here_to_the_byte(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for path in (folder.requests, folder.responses):
        path.mkdir()
    request, answers = folder.shard("r1-00001"), folder.response("r1-00001", "output")
    request.write_bytes(b"{}\n")
    answers.write_bytes(b"[]\n")
    shard = fold([*BEGUN, *done(ONE)]).shard(1, 1)
    shard.sha256 = sha256_of(request)
    (file,) = (shard.collected or {})["files"]
    file["sha256"] = sha256_of(answers)
    assert is_here(folder, shard)
    for path in (request, answers):
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert not is_here(folder, shard)
        path.unlink()
        assert not is_here(folder, shard)
        path.write_bytes(before)


# how long files are kept


@pytest.mark.parametrize(
    ("created", "expires", "kept"),
    [
        (100.0, 3700.0, True),
        (100.0, 3730.0, True),
        (100.0, 200.0, True),
        (100.0, 3800.0, False),
        (100.0, None, False),
        (None, 3700.0, False),
    ],
)
def test_what_the_provider_says_is_held_against_what_was_asked(
    created: float | None, expires: float | None, *, kept: bool
) -> None:
    found = expiry(3600, RemoteFile("file-1", 1, created, expires_at=expires))
    assert found == {"asked": 3600, "created_at": created, "expires_at": expires}
    assert is_confirmed(found) is kept
    assert not is_confirmed(expiry(3600, None))


def test_expiries_are_those_of_every_file_that_was_asked_about() -> None:
    told = {"asked": 7200, "created_at": 1.0, "expires_at": 2.0}
    first = Event("uploaded", {**uploaded(ONE).payload, "expiry": told}, round=1, shard=1)
    state = fold([*BEGUN, first, *done(TWO)])
    assert list(expiries(state)) == [told]
    (file,) = (state.shard(1, 2).collected or {})["files"]
    file["expiry"] = {**told, "asked": 3600}
    assert [found["asked"] for found in expiries(state)] == [7200, 3600]


def test_the_intent_that_made_a_batch_says_what_was_asked_of_it() -> None:
    asked = Event("intent", {**intent(ONE).payload, "output_expires_after": 3600}, round=1, shard=1)
    state = fold([*BEGUN, uploaded(ONE), asked, receipt(ONE)])
    assert [one.expires_after for one in state.shard(1, 1).batches] == [3600]
    assert [one.expires_after for one in fold([*BEGUN, *done(ONE)]).shard(1, 1).batches] == [None]


def test_request_files_are_kept_for_three_days_at_least() -> None:
    assert [of_request_file(asked) for asked in (None, 3600, 259_200, 2_592_000)] == [None, 259_200, 259_200, 2_592_000]


def test_times_in_words() -> None:
    words = [in_words(seconds) for seconds in (3600, 7200, 86_400, 129_600, 604_800, 5400, 3601)]
    assert words == ["1 hour", "2 hours", "1 day", "36 hours", "7 days", "90 minutes", "3,601 seconds"]
