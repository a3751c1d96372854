"""Law 2: what a doubt may be settled to. A batch is found by what is ours alone; absent only when that is certain."""

from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchflow.providers.base import Batch, BatchProvider, RemoteFile
from batchflow.steps.base import Absent, Evidence, Found, Unsure
from batchflow.steps.listing import Walk, walk
from batchflow.steps.start import INTENT, Start
from tests.unit.steps.fakes import FakeProvider, batch

quick = settings(max_examples=100, deadline=None)
START = Start(FakeProvider(), lambda: None)

OURS, OTHER = "intent-ours", "intent-other"
METADATA: st.SearchStrategy[dict[str, str] | None] = st.sampled_from(
    [None, {}, {"note": "by hand"}, {INTENT: OURS}, {INTENT: OTHER}]
)
DROPPED: st.SearchStrategy[dict[str, str] | None] = st.sampled_from([None, {}])
FILES = st.sampled_from(["file-ours", "file-other", ""])
SETTLE = 60.0


@st.composite
def evidence(draw: st.DrawFn, metadata: st.SearchStrategy[dict[str, str] | None] = METADATA) -> Evidence:
    ids = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6))
    pool = [batch(name, input_file_id=draw(FILES), metadata=draw(metadata)) for name in ids]
    moments = iter(sorted(draw(st.lists(st.integers(0, 300).map(float), min_size=8, max_size=8))))
    walks = []
    for _ in range(draw(st.integers(0, 4))):
        batches = tuple(one for one in pool if draw(st.booleans()))
        how = draw(st.sampled_from(["complete", "complete", "cut", "stuck"]))
        walks.append(Walk(batches, how == "complete", next(moments), next(moments), stuck=how == "stuck"))
    file = draw(st.sampled_from([None, RemoteFile("file-ours", 9, 1000.0), RemoteFile("file-ours", None, None)]))
    known = frozenset(draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=3)))
    return Evidence(OURS, "file-ours", file, tuple(walks), known, SETTLE)


def shown(of: Evidence) -> dict[str, Batch]:
    return {one.id: one for each in of.walks for one in each.batches}


def by_intent(of: Evidence) -> set[str]:
    return {name for name, one in shown(of).items() if one.metadata is not None and one.metadata.get(INTENT) == OURS}


def keeps_metadata(of: Evidence) -> bool:
    return any(INTENT in (one.metadata or {}) for one in shown(of).values())


def by_file(of: Evidence) -> set[str]:
    """Unknown batches on our file that carry nobody's intent."""
    unmarked = {name: one for name, one in shown(of).items() if INTENT not in (one.metadata or {})}
    return {name for name, one in unmarked.items() if one.input_file_id == "file-ours" and name not in of.known}


@quick
@given(evidence())
def test_found_is_the_one_batch_that_carries_our_intent(of: Evidence) -> None:
    assume(keeps_metadata(of))
    found = START.reconcile(of)
    match sorted(by_intent(of)):
        case [only]:
            assert isinstance(found, Found)
            assert found.batch.id == only
        case []:
            if isinstance(found, Found):
                assert by_file(of) == {found.batch.id}, "the file alone is never enough, nor another's intent"
            if by_file(of):
                assert not isinstance(found, Absent), "what may be ours is never taken for nothing"
        case _:
            assert isinstance(found, Unsure)
            assert found.hopeless


@quick
@given(evidence(DROPPED))
def test_where_metadata_is_dropped_only_one_unknown_batch_on_our_file_is_ours(of: Evidence) -> None:
    found = START.reconcile(of)
    if isinstance(found, Found):
        assert by_file(of) == {found.batch.id}
        assert any(each.complete for each in of.walks)
        assert found.batch.id not in of.known
    elif any(each.complete for each in of.walks):
        assert len(by_file(of)) != 1


@quick
@given(evidence() | evidence(DROPPED))
def test_absent_needs_the_file_and_two_complete_walks_settle_apart_that_show_nothing(of: Evidence) -> None:
    if not isinstance(START.reconcile(of), Absent):
        return
    assert of.file is not None
    complete = [each for each in of.walks if each.complete]
    assert len(complete) >= 2
    assert complete[-1].began - complete[0].ended >= SETTLE
    assert not by_intent(of)
    assert not by_file(of)


@quick
@given(evidence())
def test_without_the_file_nothing_is_ever_absent(of: Evidence) -> None:
    found = START.reconcile(Evidence(of.intent, of.file_id, None, of.walks, of.known, of.settle))
    assert not isinstance(found, Absent)
    if isinstance(found, Unsure):
        assert found.hopeless


@quick
@given(evidence())
def test_the_same_evidence_is_judged_the_same_whatever_else_is_in_the_list(of: Evidence) -> None:
    assume(keeps_metadata(of))
    strangers = batch("stranger", input_file_id="file-strange", metadata={INTENT: "somebody else's"})
    more = tuple(
        Walk((strangers, *each.batches), each.complete, each.began, each.ended, stuck=each.stuck) for each in of.walks
    )
    wider = Evidence(of.intent, of.file_id, of.file, more, of.known, of.settle)
    assert START.reconcile(wider) == START.reconcile(of)


def provider(times: list[float], per_page: int, *, tells_more: bool, missing: int = 0) -> FakeProvider:
    batches = [batch(f"b{n}", None if n < missing else created) for n, created in enumerate(times)]
    return FakeProvider(batches, per_page, tells_more)


TIMES = st.lists(st.integers(0, 100).map(lambda step: step * 100.0), max_size=25)


@quick
@given(TIMES, st.integers(1, 6), st.booleans(), st.none() | st.integers(-1, 101).map(lambda step: step * 100.0 + 50))
def test_a_walk_down_an_honest_list_sees_all_that_is_younger_than_its_horizon(
    times: list[float], per_page: int, tells_more: bool, horizon: float | None
) -> None:
    fake: BatchProvider = provider(sorted(times, reverse=True), per_page, tells_more=tells_more)
    found = walk(fake, horizon=horizon)
    assert found.complete
    assert not found.stuck
    assert found.began <= found.ended
    seen = [one.created_at for one in found.batches]
    wanted = [one for one in sorted(times, reverse=True) if horizon is None or one >= horizon]
    assert seen[: len(wanted)] == wanted
    if horizon is None:
        assert len(seen) == len(times)


@quick
@given(TIMES, st.integers(2, 6), st.booleans(), st.integers(0, 100).map(lambda step: step * 100.0 + 50))
def test_a_list_that_runs_upwards_is_walked_to_its_end(
    times: list[float], per_page: int, tells_more: bool, horizon: float
) -> None:
    found = walk(provider(sorted(times), per_page, tells_more=tells_more), horizon=horizon)
    assert found.complete
    assert len(found.batches) == len(times)


@quick
@given(st.permutations([float(step * 100) for step in range(8)]), st.booleans())
def test_a_page_in_no_order_tells_nothing_about_what_lies_below(times: list[float], tells_more: bool) -> None:
    assume(any(later > earlier for earlier, later in pairwise(times)))
    below = [5000.0, 0.0]
    fake = provider([*times, *below], 8, tells_more=tells_more)
    found = walk(fake, horizon=750.0)
    assert found.complete
    assert len(found.batches) == 10


@quick
@given(TIMES, st.integers(1, 6), st.booleans(), st.integers(1, 25))
def test_batches_without_a_time_are_walked_to_the_end(
    times: list[float], per_page: int, tells_more: bool, missing: int
) -> None:
    fake = provider(sorted(times, reverse=True), per_page, tells_more=tells_more, missing=len(times) + missing)
    found = walk(fake, horizon=5000.0)
    assert found.complete
    assert len(found.batches) == len(times)


@quick
@given(TIMES, st.integers(1, 6), st.data())
def test_a_walk_for_wanted_ids_ends_when_all_are_seen(times: list[float], per_page: int, data: st.DataObject) -> None:
    assume(times)
    fake = provider(sorted(times, reverse=True), per_page, tells_more=True)
    wanted = data.draw(st.lists(st.sampled_from([one.id for one in fake.batches]), min_size=1))
    found = walk(fake, horizon=None, wanted=wanted)
    assert set(wanted) <= {one.id for one in found.batches}
    last = max(int(name[1:]) for name in wanted)
    assert len(fake.asked) == last // per_page + 1
