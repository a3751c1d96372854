"""Result files come whole or not at all; what may have been cut is fetched again, but not for ever."""

import dataclasses
from pathlib import Path

import pytest

from batchflow.errors import ProviderDoubt, ProviderRefused
from batchflow.files import sha256_of
from batchflow.plan.folder import RunFolder
from batchflow.providers.base import RemoteFile
from batchflow.steps.collect import GONE_TRIES, STRICT_TRIES, WHOLE_TRIES, Collect, CollectTask
from tests.unit.steps.fakes import FakeProvider

LINE = b'{"custom_id":"r-1"}\n'
TASK = CollectTask("r1-00001", "file-out", None, expected_lines=None)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path)
    found.responses.mkdir()
    return found


def provider(*pieces: bytes, told: int | None = None, **settings: int) -> FakeProvider:
    size = sum(map(len, pieces)) if told is None else told
    files = {name: RemoteFile(name, size, None) for name in ("file-out", "file-err")}
    return FakeProvider(files=files, contents={"file-out": pieces, "file-err": pieces}, **settings)  # type: ignore[arg-type]


def task(**changes: int | str | None) -> CollectTask:
    return dataclasses.replace(TASK, **changes)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("content", [LINE + LINE[:9], b"<html>", LINE + b"\xff"])
def test_a_broken_last_line_is_doubted_for_a_while(folder: RunFolder, content: bytes) -> None:
    for tries in range(WHOLE_TRIES):
        with pytest.raises(ProviderDoubt, match="middle of a line"):
            Collect(provider(content), folder).perform(task(tries=tries))
        assert list(folder.responses.iterdir()) == [], "nothing half is left"
    (collected,) = Collect(provider(content), folder).perform(task(tries=WHOLE_TRIES))
    assert collected.bytes == len(content)


def test_a_file_shorter_than_the_provider_said_is_doubted_once(folder: RunFolder) -> None:
    with pytest.raises(ProviderDoubt, match=f"{len(LINE)} of 999 bytes"):
        Collect(provider(LINE, told=999), folder).perform(TASK)
    assert list(folder.responses.iterdir()) == []
    assert len(Collect(provider(LINE, told=999), folder).perform(task(tries=STRICT_TRIES))) == 1


def test_fewer_answers_than_the_provider_counted_are_doubted_once(folder: RunFolder) -> None:
    with pytest.raises(ProviderDoubt, match="1 of 2 answers"):
        Collect(provider(LINE), folder).perform(task(expected_lines=2))
    assert list(folder.responses.iterdir()) == []
    assert len(Collect(provider(LINE), folder).perform(task(expected_lines=2, tries=STRICT_TRIES))) == 1


def test_the_count_of_answers_says_nothing_about_the_error_file(folder: RunFolder) -> None:
    errors = task(output_file_id=None, error_file_id="file-err", expected_lines=5)
    assert len(Collect(provider(LINE), folder).perform(errors)) == 1


def test_a_file_that_is_not_found_is_looked_for_and_then_lost(folder: RunFolder) -> None:
    for tries in range(GONE_TRIES):
        with pytest.raises(ProviderDoubt, match="does not show"):
            Collect(provider(refuses=404), folder).perform(task(tries=tries))
    (lost,) = Collect(provider(refuses=404), folder).perform(task(tries=GONE_TRIES))
    assert lost.to_json() == {"name": "r1-00001.output.jsonl", "bytes": 0, "lines": 0, "sha256": "", "lost": True}
    assert list(folder.responses.iterdir()) == []


def test_any_other_refusal_is_told_and_leaves_nothing(folder: RunFolder) -> None:
    with pytest.raises(ProviderRefused):
        Collect(provider(refuses=403), folder).perform(task(tries=99))
    assert list(folder.responses.iterdir()) == []
