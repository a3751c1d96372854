"""Upload, start and poll: what they ask the provider for, and what they refuse to believe."""

import dataclasses
from pathlib import Path

import pytest

from batchflow.errors import ProviderDoubt, ProviderError, ProviderRefused, SetupError
from batchflow.identity import sha256_hex
from batchflow.providers.base import RemoteFile
from batchflow.steps.base import Absent, Evidence, Found, StepName, Unsure
from batchflow.steps.listing import Walk
from batchflow.steps.poll import Poll, PollTask
from batchflow.steps.start import INTENT, Start, StartTask
from batchflow.steps.upload import SIZE_TRIES, Upload, UploadTask
from tests.unit.steps.fakes import FakeProvider, batch

CONTENT = b'{"custom_id":"r-1"}\n'


def task(tmp_path: Path, content: bytes = CONTENT) -> UploadTask:
    path = tmp_path / "r1-00001.jsonl"
    path.write_bytes(content)
    return UploadTask(path, "run-r1-00001.jsonl", len(CONTENT), sha256_hex(CONTENT))


def test_an_upload_sends_the_file_that_was_built(tmp_path: Path) -> None:
    fake = FakeProvider()
    assert Upload(fake).perform(task(tmp_path)) == RemoteFile("file-up", len(CONTENT), 5.0)
    assert fake.asked == ["upload run-r1-00001.jsonl"]


def test_a_changed_or_missing_request_file_is_never_sent(tmp_path: Path) -> None:
    fake = FakeProvider()
    changed = task(tmp_path, CONTENT.replace(b"r-1", b"r-2"))
    with pytest.raises(SetupError, match="not the one that was built"):
        Upload(fake).perform(changed)
    changed.path.unlink()
    with pytest.raises(SetupError):
        Upload(fake).perform(changed)
    assert fake.asked == []


@pytest.mark.parametrize(
    ("told", "tries", "doubted"),
    [
        (len(CONTENT), 0, False),
        (None, 0, False),
        (0, 0, False),
        (len(CONTENT) - 1, 0, True),
        (len(CONTENT) - 1, SIZE_TRIES - 1, True),
        (len(CONTENT) - 1, SIZE_TRIES, False),
    ],
)
def test_an_upload_of_another_length_is_doubted_for_a_while(
    tmp_path: Path, told: int | None, tries: int, doubted: bool
) -> None:
    fake = FakeProvider(files={"run-r1-00001.jsonl": RemoteFile("file-1", told, None)})
    sending = dataclasses.replace(task(tmp_path), tries=tries)
    if doubted:
        with pytest.raises(ProviderDoubt, match="bytes"):
            Upload(fake).perform(sending)
    else:
        assert Upload(fake).perform(sending).id == "file-1"


def test_a_start_carries_its_intent_and_is_asked_for_once() -> None:
    fake = FakeProvider()
    made = Start(fake, lambda: None).perform(
        StartTask("file-1", "/v1/chat/completions", "i-1", "run", "r1-00001", "hash")
    )
    assert fake.asked == ["create file-1 /v1/chat/completions"]
    assert made.metadata == {
        INTENT: "i-1", "batchflow_run": "run", "batchflow_shard": "r1-00001", "batchflow_sha256": "hash",
    }  # fmt: skip


FILE = RemoteFile("file-1", 9, 5000.0)


def evidence(*walks: Walk, file: RemoteFile | None = FILE, known: frozenset[str] = frozenset()) -> Evidence:
    return Evidence("i-1", "file-1", file, walks, known, settle=60.0)


def seen(*shown: str, at: float = 0.0, complete: bool = True, keeps: bool = True, stuck: bool = False) -> Walk:
    batches = [
        batch(name, input_file_id="file-1", metadata={INTENT: intent} if keeps else None)
        for name, _, intent in (one.partition("=") for one in shown)
    ]
    return Walk(tuple(batches), complete, at, at + 1.0, stuck=stuck)


def test_a_batch_of_ours_is_found_even_by_a_walk_that_was_cut_short() -> None:
    found = Start(FakeProvider(), lambda: None).reconcile(evidence(seen("b1=i-1", "b2=i-0", complete=False)))
    assert isinstance(found, Found)
    assert found.batch.id == "b1"


def test_an_earlier_batch_on_the_same_file_is_not_this_one() -> None:
    """A shard that was refused by a full queue and sent again; the second reply was lost."""
    step = Start(FakeProvider(), lambda: None)
    assert isinstance(step.reconcile(evidence(seen("b1=i-0"), known=frozenset({"b1"}))), Unsure)
    dropped = evidence(seen("b1", keeps=False), seen("b1", keeps=False, at=100), known=frozenset({"b1"}))
    assert isinstance(step.reconcile(dropped), Absent)
    both = step.reconcile(evidence(seen("b1", "b2", keeps=False), known=frozenset({"b1"})))
    assert isinstance(both, Found)
    assert both.batch.id == "b2"


def test_several_candidates_are_never_chosen_from() -> None:
    step = Start(FakeProvider(), lambda: None)
    for walks in ([seen("b1=i-1", "b2=i-1")], [seen("b1", "b2", keeps=False)], [seen("b1=i-1"), seen("b2=i-1")]):
        found = step.reconcile(evidence(*walks))
        assert isinstance(found, Unsure)
        assert found.hopeless
        assert "b1, b2" in found.reason


@pytest.mark.parametrize(
    ("walks", "absent"),
    [
        ([], False),
        ([seen()], False),
        ([seen(), seen(at=60.0)], False),
        ([seen(), seen(at=61.0)], True),
        ([seen(), seen(at=30.0), seen(at=61.0)], True),
        ([seen(complete=False), seen(at=61.0)], False),
        ([seen(), seen(at=61.0, complete=False)], False),
        ([seen(), seen(at=30.0), seen(at=100.0, complete=False)], False),
        ([seen("b1=i-0"), seen("b1=i-0", at=61.0)], True),
    ],
)
def test_absent_takes_two_complete_walks_settle_apart(walks: list[Walk], absent: bool) -> None:
    found = Start(FakeProvider(), lambda: None).reconcile(evidence(*walks))
    assert isinstance(found, Absent) == absent
    if isinstance(found, Unsure):
        assert not found.hopeless


def test_a_file_that_this_client_does_not_see_ends_hope_but_never_means_absent() -> None:
    step = Start(FakeProvider(), lambda: None)
    found = step.reconcile(evidence(seen(), seen(at=100), file=None))
    assert isinstance(found, Unsure)
    assert found.hopeless
    assert isinstance(step.reconcile(evidence(seen("b1=i-1"), file=None)), Found)


def test_a_list_that_repeats_itself_ends_hope() -> None:
    found = Start(FakeProvider(), lambda: None).reconcile(evidence(seen(complete=False, stuck=True)))
    assert isinstance(found, Unsure)
    assert found.hopeless


def test_few_open_batches_are_asked_for_one_by_one() -> None:
    fake = FakeProvider([batch("b1"), batch("b2")])
    sighting = Poll(fake).perform(PollTask({"b1": 1.0, "b2": None, "b9": 1.0}))
    assert fake.asked == ["batch b1", "batch b2", "batch b9"]
    assert set(sighting.batches) == {"b1", "b2"}
    assert sighting.gone == {"b9"}


def test_many_open_batches_are_looked_up_in_the_list_and_the_rest_one_by_one() -> None:
    fake = FakeProvider([batch(f"b{n}", 9000.0 - n) for n in range(6)] + [batch("old", 1.0)], per_page=4)
    open_ = {f"b{n}": 9000.0 - n for n in range(4)} | {"unlisted": 9000.0}
    sighting = Poll(fake).perform(PollTask(open_))
    assert fake.asked == ["list None", "list b3", "batch unlisted"]
    assert set(sighting.batches) == {"b0", "b1", "b2", "b3"}
    assert sighting.gone == {"unlisted"}


@pytest.mark.parametrize("error", [ProviderDoubt("damaged"), ProviderRefused("no such page", status=404)])
def test_a_list_that_is_not_to_be_had_costs_calls_but_no_answer(error: ProviderError) -> None:
    fake = FakeProvider([batch(f"b{n}") for n in range(4)], list_error=error)
    assert len(Poll(fake).perform(PollTask(dict.fromkeys(["b0", "b1", "b2", "b3"]))).batches) == 4
    assert len(fake.asked) == 5


def test_a_key_that_is_refused_is_told_at_once() -> None:
    fake = FakeProvider(list_error=ProviderRefused("bad key", status=401))
    with pytest.raises(ProviderRefused):
        Poll(fake).perform(PollTask(dict.fromkeys(["b0", "b1", "b2", "b3"])))
    assert fake.asked == ["list None"]


def test_steps_have_the_names_of_the_dag() -> None:
    assert [Upload.name, Start.name, Poll.name] == [StepName.UPLOAD, StepName.START, StepName.POLL]
    assert [step.value for step in StepName] == ["build", "upload", "start", "poll", "collect", "load"]
