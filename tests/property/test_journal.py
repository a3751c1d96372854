"""Whatever is recorded comes back; whatever happens to the tail costs at most the last event; the fold follows."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchflow.errors import JournalDamaged
from batchflow.journal.events import PAYLOADS, Event, decode, encode, recorded
from batchflow.journal.journal import Journal, replay
from batchflow.journal.state import RunState, apply, fold
from tests.property.halves import joined
from tests.unit.journal.histories import Teller, built, header, intent, uploaded

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from('\n\r\x85\u2028\x00"\\'), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(TEXT, some, max_size=3), max_leaves=6
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(sorted(PAYLOADS)))
    payload = {name: draw(VALUES) for name in sorted(PAYLOADS[kind])}
    step = draw(st.sampled_from(["", "build", "start"]))
    return Event(kind, payload, step=step, round=draw(st.integers(0, 9)), shard=draw(st.integers(0, 10**6)))


@quick
@given(st.lists(events(), max_size=6))
def test_any_sequence_of_events_comes_back(written: list[Event]) -> None:
    for seq, one in enumerate(written):
        line = encode(one, seq)
        assert line.splitlines() == [line[:-1]]
        found = decode(line[:-1])
        assert (found.kind, found.step, found.round, found.shard, found.seq) == (
            one.kind, one.step, one.round, one.shard, seq,
        )  # fmt: skip
        assert found.payload == joined(dict(one.payload))


@quick
@given(events(), st.integers(0, 10**6))
def test_what_was_recorded_is_what_is_read(one: Event, seq: int) -> None:
    line, kept = recorded(one, seq)
    found = decode(line[:-1])
    assert replace(kept, payload=joined(kept.payload)) == found
    assert (kept.seq, kept.time != "") == (seq, True)


@quick
@given(events(), st.data())
def test_a_changed_byte_is_noticed(one: Event, data: st.DataObject) -> None:
    line = encode(one, 3)[:-1]
    at = data.draw(st.integers(0, len(line) - 1))
    changed = bytes([line[at] ^ data.draw(st.integers(1, 255))])
    with pytest.raises(ValueError, match=r"sum|ascii"):
        decode(line[:at] + changed + line[at + 1 :])


LINES = [encode(one, seq) for seq, (one, _) in enumerate(Teller(7).tell(14))]
CONTENT = b"".join(LINES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def whole_lines(length: int) -> int:
    return CONTENT[:length].count(b"\n")


def go_on(path: Path, kept: int) -> None:
    """A reader and the next writer find exactly the kept events, and the writer goes on from there."""
    assert [one.seq for one in replay(path).events] == list(range(kept))
    journal, taken = Journal.take_over(path)
    journal.append([Event("loaded", {"database": "d", "rows": 1})])
    journal.close()
    found = replay(path)
    assert len(found.events) == kept + 2
    assert found.events[:-1] == taken
    assert found.length == path.stat().st_size
    assert fold(found.events).loaded == {"database": "d", "rows": 1}


@quick
@given(st.integers(len(LINES[0]), len(CONTENT)), st.binary(max_size=40) | st.just(b"\0" * 300))
@example(len(CONTENT), b"")
@example(len(CONTENT) - 1, b"")
@example(len(CONTENT), b"\n")
@example(len(CONTENT) - 1, b"\0\n\0")
def test_a_cut_anywhere_costs_at_most_the_event_it_cuts(path: Path, length: int, rubbish: bytes) -> None:
    path.write_bytes(CONTENT[:length])
    go_on(path, whole_lines(length))
    path.write_bytes(CONTENT[:length] + b"\x01" + rubbish)
    go_on(path, whole_lines(length))


def test_every_cut_of_the_last_event_costs_that_event_alone(path: Path) -> None:
    for length in range(len(CONTENT) - len(LINES[-1]), len(CONTENT)):
        path.write_bytes(CONTENT[:length])
        assert len(replay(path).events) == len(LINES) - 1
    path.write_bytes(CONTENT)
    assert len(replay(path).events) == len(LINES)


def test_several_events_of_one_append_are_torn_one_by_one(path: Path) -> None:
    content = b"".join(
        encode(one, seq) for seq, one in enumerate([header(), built(1, 1), uploaded((1, 1)), intent((1, 1))])
    )
    for length in range(content.index(b"\n") + 1, len(content)):
        path.write_bytes(content[:length])
        assert len(replay(path).events) == content[:length].count(b"\n")


BEFORE_LAST = len(CONTENT) - len(LINES[-1]) - 1  # the line feed in front of the last line belongs to the tail


@quick
@given(st.integers(0, BEFORE_LAST - 1), st.integers(1, 255))
def test_a_changed_byte_before_the_last_line_is_damage(path: Path, at: int, change: int) -> None:
    content = CONTENT[:at] + bytes([CONTENT[at] ^ change]) + CONTENT[at + 1 :]
    path.write_bytes(content)
    for read in (replay, Journal.take_over):
        with pytest.raises(JournalDamaged):
            read(path)
    assert path.read_bytes() == content


def test_every_line_that_is_lost_or_doubled_in_the_middle_is_damage(path: Path) -> None:
    for number in range(len(LINES) - 1):
        for lines in ([*LINES[:number], *LINES[number + 1 :]], [*LINES[: number + 1], *LINES[number:]]):
            path.write_bytes(b"".join(lines))
            with pytest.raises(JournalDamaged):
                replay(path)


@quick
@given(st.integers(0, 2**32))
def test_any_prefix_of_a_history_folds_to_the_phases_told(seed: int) -> None:
    state = RunState()
    history = list(Teller(seed).tell(40))
    for one, phases in history:
        apply(state, one)
        assert {(shard.round, shard.number): shard.phase for shard in state.shards()} == phases
        for shard in state.shards():
            assert sum(not intent.closed for intent in shard.intents) <= 1
            assert (shard.open_intent is not None) == (shard.phase.value == "doubt")
    assert fold(one for one, _ in history) == state
    assert fold(one for one, _ in history) == state


@quick
@given(st.integers(0, 2**32))
def test_a_fold_of_what_was_written_is_the_fold_of_what_was_told(path: Path, seed: int) -> None:
    told = [one for one, _ in Teller(seed).tell(12)]
    path.unlink(missing_ok=True)
    path.write_bytes(b"".join(encode(one, seq) for seq, one in enumerate(told)))
    found, expected = fold(replay(path).events), fold(told)
    assert [shard.phase for shard in found.shards()] == [shard.phase for shard in expected.shards()]
    assert found.batch_ids() == expected.batch_ids()
