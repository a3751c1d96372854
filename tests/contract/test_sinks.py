"""What every sink keeps to: idempotent by shard, whole or absent, every request accounted for, current runs shown."""

import dataclasses
import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.errors import SinkError
from batchflow.sinks.duckdb import ResponseRow, Rest, Sink
from tests.unit.sinks.made import Made, answer, batch, make, query

NOBODY: dict[str, str] = {}
OUTCOMES = "SELECT row_number, outcome, content FROM results"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "results.duckdb"


def test_a_begun_run_shows_every_request_as_unsent(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path, replicates=2)
    with Sink.open(database) as sink:
        assert sink.begin(made.plan, made.folder) is False
        assert sink.account(made.run) == ({}, {"unsent": 6})
    assert query(database, "SELECT row_number, replicate, outcome, content FROM results") == [
        (row, replicate, "unsent", None) for row in (1, 2, 3) for replicate in (1, 2)
    ]


def test_loading_twice_is_loading_once(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    with Sink.open(database) as sink:
        for _ in range(2):
            sink.begin(made.plan, made.folder)
            for _ in range(2):
                owed = {made.id(3): "expired"}
                answers = [*made.answers([2, 1]), answer(made.id(3), None, "expired")]
                assert sink.load_shard(made.run, batch(), Rest(answers, owed)) == 3
                sink.set_run(made.row("in_progress"))
                sink.refresh()
        assert sink.account(made.run) == ({"answered": 2}, {"expired": 1})
    assert query(database, OUTCOMES) == [(1, "answered", "answer 1"), (2, "answered", "answer 2"), (3, "expired", None)]
    assert query(database, "SELECT count(*) FROM responses") == [(3,)]
    assert query(database, "SELECT count(*), any_value(created_at) FROM batches") == [
        (1, datetime(2023, 11, 14, 22, 13, 20, 250000))  # noqa: DTZ001 - DuckDB's TIMESTAMP has no zone
    ]


def test_owed_may_be_known_only_after_the_answers(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    owed: dict[str, str] = {}

    def answers() -> Iterator[ResponseRow]:
        yield from made.answers([1, 2])
        owed[made.id(3)] = "missing"

    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(answers(), lambda: owed))
        assert sink.account(made.run) == ({"answered": 2}, {"missing": 1})


def test_a_load_that_breaks_off_leaves_what_was_there(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)

    def broken() -> Iterator[ResponseRow]:
        yield from made.answers([1, 2], "new")
        raise OSError("the disk went away")

    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(made.answers([1, 2, 3], "old"), NOBODY))
        sink.set_run(made.row())
        with pytest.raises(OSError, match="went away"):
            sink.load_shard(made.run, batch(), Rest(broken(), NOBODY))
        assert sink.has(made.run, batches=["batch_a"])
        sink.refresh()
    assert query(database, OUTCOMES) == [(row, "answered", f"old {row}") for row in (1, 2, 3)]


@pytest.mark.parametrize("order", list(itertools.permutations(["r1s1", "r1s2", "r2"])))
def test_shards_may_come_in_any_order_and_again(tmp_path: Path, database: Path, order: tuple[str, ...]) -> None:
    made = make(tmp_path, rows=[{"A": str(n)} for n in range(4)], per_shard=2)
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        for name in (*order, order[0]):
            if name == "r1s1":
                lines = [answer(made.id(1)), answer(made.id(2), None, "error")]
                sink.load_shard(made.run, batch("b1"), Rest(lines, {made.id(2): "error"}))
            elif name == "r1s2":
                sink.load_shard(made.run, batch("b2", shard=2), Rest([answer(made.id(3))], {made.id(4): "missing"}))
            else:
                lines = [answer(made.id(2), "second time")]
                sink.load_shard(made.run, batch("b3", round_=2), Rest(lines, {made.id(4): "expired"}))
        assert sink.account(made.run) == ({"answered": 3}, {"expired": 1})
        sink.set_run(made.row("partial"))
    assert query(database, OUTCOMES) == [
        (1, "answered", "yes"), (2, "answered", "second time"), (3, "answered", "yes"), (4, "expired", None),
    ]  # fmt: skip
    assert query(database, "SELECT round, outcome FROM responses WHERE custom_id LIKE '0000002-%' ORDER BY round") == [
        (1, "error"), (2, "answered"),
    ]  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(kinds=st.lists(st.sampled_from(["answered", "refused", "error", "expired", "missing"]), min_size=1, max_size=30))
def test_the_account_sums_to_the_requests(tmp_path_factory: pytest.TempPathFactory, kinds: list[str]) -> None:
    root = tmp_path_factory.mktemp("account")
    made = make(root, rows=[{"A": "x"}] * len(kinds))
    lines = [answer(made.id(row), None, kind) for row, kind in enumerate(kinds, start=1) if kind != "missing"]
    owed = {made.id(row): kind for row, kind in enumerate(kinds, start=1) if kind in {"expired", "missing"}}
    with Sink.open(root / "results.duckdb") as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(lines, owed))
        final, owing = sink.account(made.run)
    assert final | owing == {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert set(owing) == set(owed.values())
    assert query(root / "results.duckdb", "SELECT outcome FROM results") == [(kind,) for kind in kinds]


def test_a_request_without_answer_and_without_kind_is_not_hidden(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(made.answers([1, 2]), {made.id(3): "missing"}))
        sink._store.rows("DELETE FROM responses WHERE custom_id = ?", [made.id(2)])
        assert sink.account(made.run) == ({"answered": 1}, {"missing": 1, "unaccounted": 1})


def test_doubled_and_foreign_answers_are_refused_whole(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        with pytest.raises(SinkError, match="1 requests with more than one answer"):
            sink.load_shard(made.run, batch(), Rest(made.answers([1, 2, 1]), NOBODY))
        with pytest.raises(SinkError, match="1 answers belong to no request"):
            sink.load_shard(made.run, batch(), Rest(made.answers([1, 9]), NOBODY))
        assert sink.account(made.run) == ({}, {"unsent": 3})
        assert sink.loaded(made.run) == frozenset()


def test_has_wants_exactly_these_batches_and_a_final_word(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path, per_shard=2)
    with Sink.open(database) as sink:
        assert sink.loaded(made.run) is None
        assert not sink.has(made.run, batches=[])
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch("b1"), Rest(made.answers([1, 2]), NOBODY))
        assert sink.loaded(made.run) == frozenset(["b1"])
        assert not sink.has(made.run, batches=["b1"]), "set_run did not come yet"
        sink.set_run(made.row("in_progress"))
        assert sink.has(made.run, batches=["b1"])
        assert not sink.has(made.run, batches=["b1", "b2"])
        assert not sink.has(made.run, batches=[])
        sink.load_shard(made.run, batch("b2", shard=2), Rest(made.answers([3]), NOBODY))
        sink.set_run(made.row())
        assert not sink.has(made.run, batches=["b1"])
        assert sink.has(made.run, batches=["b2", "b1"])
        assert not sink.has("other-3f9c2a71", batches=[])
        sink._store.rows("DELETE FROM requests WHERE custom_id = ?", [made.id(2)])
        assert sink.loaded(made.run) is None


def test_drop_run_leaves_the_others(tmp_path: Path, database: Path) -> None:
    first = make(tmp_path, "study-3f9c2a71", rows=[{"A": "1"}])
    second = make(tmp_path, "study-3f9c2a71-2", rows=[{"B": "2"}], created_at="2026-11-23T10:00:00.000Z")
    with Sink.open(database) as sink:
        for made in (first, second):
            sink.begin(made.plan, made.folder)
            sink.load_shard(made.run, batch(), Rest(made.answers([1], made.run), NOBODY))
            sink.set_run(made.row())
        sink.drop_run(second.run)
        assert sink.loaded(second.run) is None
    assert query(database, "SELECT run_id, A, content FROM results") == [(first.run, "1", "study-3f9c2a71 1")]
    assert query(
        database, "SELECT DISTINCT run_id FROM (FROM responses SELECT run_id UNION ALL FROM batches SELECT run_id)"
    ) == [(first.run,)]


# (simulated, state, created) of each run, the one that must be shown
CURRENT = [
    ([(False, "complete", 1), (False, "complete", 2)], 1),  # the newest complete one
    ([(False, "complete", 1), (False, "in_progress", 2)], 0),  # complete before newer
    ([(False, "partial", 1), (False, "in_progress", 2)], 1),  # none complete: the newest
    ([(True, "complete", 2), (False, "partial", 1)], 1),  # what a model said before what was simulated
    ([(True, "complete", 2), (False, "complete", 1)], 1),
    ([(True, "complete", 1), (True, "complete", 2)], 1),
    ([(True, "partial", 2), (True, "complete", 1)], 1),
    ([(True, "complete", 3), (False, "in_progress", 2), (False, "complete", 1)], 2),
    ([(False, "complete", 1), (False, "complete", 1)], 1),  # no time tells them apart: the later name
]


@pytest.mark.parametrize("backwards", [False, True])
def test_the_current_run_of_an_experiment(tmp_path: Path, database: Path, backwards: bool) -> None:
    base = make(tmp_path, rows=[{"A": "x"}])
    made: list[tuple[Made, str]] = []
    for case, (runs, _) in enumerate(CURRENT):
        for number, (simulated, state, day) in enumerate(runs):
            created = f"2026-11-{day:02d}T10:00:00.000Z"
            plan = dataclasses.replace(base.plan, run=f"e{case}-{number}", experiment=f"e{case}")
            plan = dataclasses.replace(plan, simulated=simulated, created_at=created)
            made.append((Made(plan, base.folder), state))
    with Sink.open(database) as sink:
        for one, state in reversed(made) if backwards else made:
            sink.begin(one.plan, one.folder)
            sink.set_run(one.row(state))
    assert query(database, "SELECT run_id, simulated, A FROM results") == [
        (f"e{case}-{shown}", runs[shown][0], "x") for case, (runs, shown) in enumerate(CURRENT)
    ]
    assert query(database, "SELECT count(DISTINCT run_id) FROM results_all") == [(len(made),)]
