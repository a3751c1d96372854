"""The journal's file: one writer, torn tails, damage, newer versions, failing disks, secrets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchflow.errors import JournalDamaged, RunBusy, SetupError
from batchflow.journal.events import PAYLOADS, Event, decode, encode
from batchflow.journal.journal import Journal, replay
from tests.unit.journal.histories import built, event, header, intent, receipt, refused, uploaded

ONE = (1, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def written(path: Path, *events: Event) -> bytes:
    journal = Journal.create(path, "study-3f9c2a71")
    for one in events:
        journal.append([one])
    journal.close()
    return path.read_bytes()


def test_what_is_appended_is_replayed(path: Path) -> None:
    journal = Journal.create(path, "study-3f9c2a71")
    journal.append([])
    recorded = journal.append([built(1, 2), uploaded(ONE)])
    found = replay(path)
    assert found.events[1:] == recorded
    assert [one.seq for one in found.events] == [0, 1, 2]
    assert found.events[0].payload == {"version": 1, "run": "study-3f9c2a71"}
    assert found.length == path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600
    journal.close()


def test_lines_can_be_read_by_people_and_databases(path: Path) -> None:
    lines = [json.loads(line) for line in written(path, built(1, 1)).splitlines()]
    assert list(lines[1]) == ["seq", "time", "kind", "round", "payload", "sum"]


def test_taking_over_records_who_writes_now(path: Path) -> None:
    written(path, built(1, 1))
    journal, events = Journal.take_over(path)
    assert [one.kind for one in events] == ["journal", "built", "writer"]
    assert events[-1].payload["pid"] == os.getpid()
    journal.append([uploaded(ONE)])
    journal.close()
    assert [one.seq for one in replay(path).events] == [0, 1, 2, 3]


def test_a_second_writer_stops_the_first_before_it_appends(path: Path) -> None:
    first = Journal.create(path, "r")
    second, _ = Journal.take_over(path)
    content = path.read_bytes()
    with pytest.raises(RunBusy):
        first.append([built(1, 1)])
    with pytest.raises(RunBusy):
        first.check_writer()
    assert path.read_bytes() == content
    second.append([built(1, 1)])
    first.close()
    second.close()


@pytest.mark.parametrize("how", ["gone", "replaced", "shortened"])
def test_a_file_that_is_not_as_it_was_left_stops_the_writer(path: Path, how: str) -> None:
    journal = Journal.create(path, "r")
    content = path.read_bytes()
    path.unlink() if how != "shortened" else os.truncate(path, len(content) - 1)
    if how == "replaced":
        path.write_bytes(content)
    with pytest.raises(RunBusy):
        journal.append([built(1, 1)])
    journal.close()


def test_creating_over_a_journal_is_refused(path: Path) -> None:
    content = written(path, built(1, 1))
    with pytest.raises(RunBusy):
        Journal.create(path, "r")
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "tail", [b"\0", b"\0" * 5000, b"\n", b"\n\n", b"garbage", b"garbage\n\0\n", b'{"seq":2,', b"\xff\n"]
)
def test_a_torn_tail_is_left_out_and_cut_by_the_next_writer(path: Path, tail: bytes) -> None:
    content = written(path, built(1, 1))
    path.write_bytes(content + tail)
    assert len(replay(path).events) == 2
    assert path.read_bytes() == content + tail, "a reader changes nothing"
    journal, events = Journal.take_over(path)
    journal.close()
    assert len(events) == 3
    assert path.read_bytes().startswith(content + b'{"seq":2,')
    assert replay(path).events == events


def test_a_line_out_of_order_is_damage(path: Path) -> None:
    content = written(path, built(1, 1))
    path.write_bytes(content + encode(uploaded(ONE), 3))
    with pytest.raises(JournalDamaged, match="line 3: event 3 stands where event 2 belongs"):
        replay(path)


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"x\n", encode(built(1, 1), 0)])
def test_a_file_that_does_not_begin_as_a_journal_is_damage(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="line 1"):
        replay(path)


def test_damage_says_the_line_and_the_ways_out(path: Path) -> None:
    lines = written(path, built(1, 1), uploaded(ONE), intent(ONE)).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:9] + b"X" + lines[2][10:], lines[3]]))
    with pytest.raises(JournalDamaged, match="line 3") as caught:
        Journal.take_over(path)
    assert "--fresh" in caught.value.hint
    assert "backup" in caught.value.hint


NEWER = b'{"seq":0,"time":"t","kind":"journal","payload":{"version":%s,"run":"r","more":1},"crc":"another"}\n'


@pytest.mark.parametrize(
    "lines",
    [
        [NEWER % b"2"],
        [NEWER % b"2", b'{"seq":1,"kind":"invented"}\n'],
        [NEWER % b"2", b'{"seq":1,"kind":"invented"}\n', encode(built(1, 1), 2)],
        [encode(Event("journal", {"version": 7, "run": "r"}), 0), b'{"seq":1}\n', encode(built(1, 1), 2)],
    ],
)
def test_a_newer_version_is_refused_with_a_hint_and_untouched(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))
    for read in (replay, Journal.take_over):
        with pytest.raises(JournalDamaged, match="newer batchflow") as caught:
            read(path)
        assert "install the newer version" in caught.value.hint
    assert path.read_bytes() == b"".join(lines)


FULL = """
import resource, sys
from pathlib import Path
from batchflow.errors import JournalDamaged
from batchflow.journal.journal import Journal, replay
from tests.unit.journal.histories import built, uploaded
path = Path(sys.argv[1])
journal, _ = Journal.take_over(path)
before = path.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, resource.RLIM_INFINITY))
try:
    journal.append([built(1, 50)])
except OSError as error:
    print("failed", type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("truncated", path.read_bytes() == before)
try:
    journal.append([uploaded((1, 1))])
except JournalDamaged as error:
    print("closed", "nothing more is recorded" in error.message)
print("untouched", path.read_bytes() == before)
"""


def test_a_failed_append_is_taken_back_and_is_the_last(path: Path) -> None:
    written(path, built(1, 1))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.split() == ["failed", "OSError", "truncated", "True", "closed", "True", "untouched", "True"]
    journal, events = Journal.take_over(path)
    journal.close()
    assert [one.kind for one in events] == ["journal", "built", "writer", "writer"]


def test_a_full_disk_is_told_as_one() -> None:
    with pytest.raises(SetupError, match="no space left"):
        Journal.create(Path("/dev/full"), "r")


def test_secrets_in_the_providers_words_never_reach_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_API_KEY", "correct horse battery")
    words = "Incorrect API key: correct horse battery / sk-proj-12345678abc / Bearer tok.en"
    failed = Event(
        "batch",
        {
            "batch_id": "b", "status": "failed", "ended": True, "output_file_id": None, "error_file_id": None,
            "errors": [{"code": "x", "message": words, "line": None}, {"deep": [{"message": [words]}]}],
            "moments": {}, "counts": {}, "tokens": {},
        },
        round=1, shard=1,
    )  # fmt: skip
    written(path, built(1, 1), uploaded(ONE), intent(ONE), refused(ONE, message=words), failed)
    content = path.read_bytes()
    for secret in (b"horse", b"12345678abc", b"tok.en"):
        assert secret not in content
    assert content.count(b"Incorrect API key: [redacted] / [redacted] / Bearer [redacted]") == 3


def test_what_the_provider_says_is_clean_wherever_it_stands_and_ids_are_exact(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_API_KEY", "correct-horse")
    said = "correct-horse and sk-proj-12345678abc"
    ids = {name: f"{name}-correct-horse-sk-proj-87654321" for name in ("batch_id", "output_file_id", "error_file_id")}
    facts = {
        "status": said, "ended": False, "errors": [{"code": said, "message": said, "line": 1}],
        "moments": {}, "counts": {said: 1}, "tokens": {said: 2},
    }  # fmt: skip
    row = {"line": 1, "custom_id": "c-sk-12345678", "row_id": "sk-12345678", "message": said}
    files = [{"name": "x-correct-horse", "sha256": "sk-12345678"}]
    rejected = event("rejected", ONE, code=said, message=said, rows=[row])
    collected = event("collected", ONE, batch_id="b", files=files, account={})
    made = event("receipt", ONE, intent="i-1", batch_id=ids["batch_id"], adopted=False)
    written(path, built(1, 1), uploaded(ONE), intent(ONE), made, event("batch", ONE, **ids, **facts))
    (seen,) = [one for one in replay(path).events if one.kind == "batch"]
    clean = "[redacted] and [redacted]"
    assert seen.payload == ids | {
        **facts, "status": clean, "errors": [{"code": clean, "message": clean, "line": 1}],
        "counts": {clean: 1}, "tokens": {clean: 2},
    }  # fmt: skip
    told = decode(encode(rejected, 0)[:-1]).payload
    assert told == {"code": clean, "message": clean, "rows": [row | {"message": clean}]}
    assert decode(encode(collected, 0)[:-1]).payload == collected.payload


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"\xff",
        encode(header(), 0)[:-2],
        encode(header(), 0).replace(b"study", b"Study")[:-1],
        encode(header(), 0)[:-1] + b" ",
        b" " + encode(header(), 0)[:-1],
    ],
)
def test_what_encode_would_not_have_written_is_not_decoded(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"sum|ascii"):
        decode(line)


@pytest.mark.parametrize("kind", sorted(PAYLOADS))
def test_a_payload_has_exactly_the_documented_members(kind: str) -> None:
    payload = dict.fromkeys(PAYLOADS[kind])
    assert Event(kind, payload).payload == payload
    with pytest.raises(ValueError, match="payload has"):
        Event(kind, payload | {"extra": 1})
    payload.popitem()
    with pytest.raises(ValueError, match="payload has"):
        Event(kind, payload)


def test_an_unknown_kind_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        Event("paid", {})


def test_an_event_keeps_the_moment_it_has() -> None:
    line = encode(Event("absent", {"intent": "i"}, time="2026-01-01T00:00:00.000Z"), 4)
    assert decode(line[:-1]).time == "2026-01-01T00:00:00.000Z"
    assert decode(encode(receipt(ONE), 5)[:-1]).time.endswith("Z")
