"""Result files come whole or not at all; what may have been cut is fetched again, but not for ever."""

from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import ProviderDoubt, ProviderRefused, ProviderUntrusted
from batchflow.files import sha256_of
from batchflow.plan.folder import RunFolder
from batchflow.providers.base import RemoteFile
from batchflow.steps.collect import SAME_TRIES, Collect, CollectTask
from tests.unit.steps.fakes import FakeProvider, batch

LINE = b'{"custom_id":"r-1"}\n'
TASK = CollectTask("r1-00001", "b-1", "file-out", None, expected_lines=None)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path)
    found.responses.mkdir()
    found.requests.mkdir()
    found.shard("r1-00001").write_bytes(LINE + b'{"custom_id":"r-2"}\n')
    return found


def provider(*pieces: bytes, told: int | None = None, **settings: object) -> FakeProvider:
    size = sum(map(len, pieces)) if told is None else told
    files = {name: RemoteFile(name, size, None) for name in ("file-out", "file-err")}
    return FakeProvider(files=files, contents={"file-out": pieces, "file-err": pieces}, **settings)  # type: ignore[arg-type]


def task(**changes: int | str | None) -> CollectTask:
    return TASK._replace(**changes)  # type: ignore[arg-type]


def test_a_file_is_published_as_it_came(folder: RunFolder) -> None:
    (collected,) = Collect(provider(LINE[:7], LINE[7:], b"\n", LINE), folder).perform(TASK)
    path = folder.response("r1-00001", "output")
    assert path.read_bytes() == LINE + b"\n" + LINE
    assert collected.to_json() == {
        "name": "r1-00001.output.jsonl",
        "bytes": 2 * len(LINE) + 1,
        "lines": 2,
        "sha256": sha256_of(path),
        "lost": False,
    }


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ((None, None), []),
        (("file-out", None), ["r1-00001.output.jsonl"]),
        ((None, "file-err"), ["r1-00001.error.jsonl"]),
        (("file-out", "file-err"), ["r1-00001.output.jsonl", "r1-00001.error.jsonl"]),
    ],
)
def test_each_combination_of_files(folder: RunFolder, ids: tuple[str | None, str | None], names: list[str]) -> None:
    collected = Collect(provider(LINE), folder).perform(task(output_file_id=ids[0], error_file_id=ids[1]))
    assert [one.name for one in collected] == names
    assert sorted(path.name for path in folder.responses.iterdir()) == sorted(names)


def test_an_empty_file_is_a_whole_one(folder: RunFolder) -> None:
    (collected,) = Collect(provider(), folder).perform(task(output_file_id=None, error_file_id="file-err"))
    assert (collected.bytes, collected.lines, collected.lost) == (0, 0, False)
    assert folder.response("r1-00001", "error").read_bytes() == b""


def test_a_last_line_without_line_feed_is_whole_if_it_parses(folder: RunFolder) -> None:
    (collected,) = Collect(provider(LINE + LINE[:-1]), folder).perform(TASK)
    assert collected.lines == 2


def test_what_is_there_already_is_not_fetched_again(folder: RunFolder) -> None:
    folder.response("r1-00001", "output").write_bytes(LINE)
    fake = provider(b"something else")
    (collected,) = Collect(fake, folder).perform(TASK)
    assert (collected.bytes, collected.lines) == (len(LINE), 1)
    assert fake.asked == []


@pytest.mark.parametrize("tries", [0, 1, 99])
@pytest.mark.parametrize("content", [LINE + LINE[:9], b"<html>", LINE + b"\xff"])
def test_a_broken_last_line_is_never_accepted(folder: RunFolder, content: bytes, tries: int) -> None:
    with pytest.raises(ProviderDoubt, match="middle of a line"):
        Collect(provider(content), folder).perform(task(tries=tries, patient=False))
    assert list(folder.responses.iterdir()) == [], "nothing half is left"


@pytest.mark.parametrize("tries", [0, 99])
def test_a_file_short_of_answers_and_of_bytes_is_never_accepted(folder: RunFolder, tries: int) -> None:
    with pytest.raises(ProviderDoubt, match=f"{len(LINE)} of 999 bytes"):
        Collect(provider(LINE, told=999), folder).perform(task(expected_lines=2, tries=tries, patient=False))
    assert list(folder.responses.iterdir()) == []


def test_lines_that_the_provider_itself_lost_are_accepted(folder: RunFolder) -> None:
    assert len(Collect(provider(LINE), folder).perform(task(expected_lines=2))) == 1


def test_a_size_that_the_provider_counts_in_its_own_way_is_no_harm(folder: RunFolder) -> None:
    assert len(Collect(provider(LINE, told=999), folder).perform(task(expected_lines=1))) == 1


def test_fewer_answers_than_counted_are_doubted_where_no_size_is_known(folder: RunFolder) -> None:
    for tries in range(SAME_TRIES):
        with pytest.raises(ProviderDoubt, match="1 of 2 answers"):
            Collect(provider(LINE, told=0), folder).perform(task(expected_lines=2, tries=tries))
    assert len(Collect(provider(LINE, told=0), folder).perform(task(expected_lines=2, tries=SAME_TRIES))) == 1


@pytest.mark.parametrize("content", [b'{"error":"temporarily unavailable"}\n', b'{"custom_id":"r-9"}\n'])
def test_a_file_without_one_answer_of_ours_is_never_accepted(folder: RunFolder, content: bytes) -> None:
    with pytest.raises(ProviderDoubt, match="no answer to this batch"):
        Collect(provider(content), folder).perform(task(expected_lines=1, tries=99, patient=False))


def test_an_empty_file_is_never_taken_for_answers(folder: RunFolder) -> None:
    with pytest.raises(ProviderDoubt, match="is empty"):
        Collect(provider(), folder).perform(task(expected_lines=2, tries=99, patient=False))


def test_the_count_of_answers_says_nothing_about_the_error_file(folder: RunFolder) -> None:
    errors = task(output_file_id=None, error_file_id="file-err", expected_lines=5)
    assert len(Collect(provider(LINE), folder).perform(errors)) == 1


MISSING: dict[str, Any] = {"refuses": 404, "batches": [batch("b-1")]}


def test_a_file_that_is_not_found_is_waited_for_and_then_lost(folder: RunFolder) -> None:
    gone = FakeProvider(**MISSING)
    with pytest.raises(ProviderDoubt, match="does not show"):
        Collect(gone, folder).perform(TASK)
    (lost,) = Collect(gone, folder).perform(task(patient=False))
    assert lost.to_json() == {"name": "r1-00001.output.jsonl", "bytes": 0, "lines": 0, "sha256": "", "lost": True}
    assert list(folder.responses.iterdir()) == []


def test_a_file_that_is_shown_but_not_given_is_never_lost(folder: RunFolder) -> None:
    with pytest.raises(ProviderDoubt, match="does not show"):
        Collect(provider(LINE, **MISSING), folder).perform(task(tries=99, patient=False))


def test_a_batch_that_is_not_visible_means_another_key(folder: RunFolder) -> None:
    elsewhere = FakeProvider(refuses=404)
    with pytest.raises(ProviderDoubt):
        Collect(elsewhere, folder).perform(TASK)
    with pytest.raises(ProviderUntrusted, match="another key"):
        Collect(elsewhere, folder).perform(task(tries=1))


def test_any_other_refusal_is_told_and_leaves_nothing(folder: RunFolder) -> None:
    with pytest.raises(ProviderRefused):
        Collect(provider(refuses=403), folder).perform(task(tries=99))
    assert list(folder.responses.iterdir()) == []
