"""Walks over lists that do not keep to the protocol end, and do not claim to have seen what they did not."""

import pytest

from batchflow.errors import ProviderDoubt
from batchflow.steps.listing import walk
from tests.unit.steps.fakes import FakeProvider, batch

SEVEN = [batch(f"b{n}", 7000.0 - 100 * n) for n in range(7)]


def test_an_empty_list_is_complete() -> None:
    for tells_more in (True, False):
        found = walk(FakeProvider([], tells_more=tells_more), horizon=None)
        assert found.complete
        assert found.batches == ()


def test_a_server_that_repeats_its_page_ends_the_walk_without_an_answer() -> None:
    fake = FakeProvider(SEVEN, per_page=3, repeats=True)
    found = walk(fake, horizon=None)
    assert (found.complete, found.stuck) == (False, True)
    assert [one.id for one in found.batches] == ["b0", "b1", "b2"]
    assert fake.asked == ["list None", "list b2"]


def test_a_repeated_page_that_is_old_enough_does_not_matter() -> None:
    found = walk(FakeProvider(SEVEN, per_page=3, repeats=True), horizon=6900.0)
    assert (found.complete, found.stuck) == (True, False)


def test_a_server_that_shows_everything_on_every_page_is_not_believed_further_than_its_page() -> None:
    found = walk(FakeProvider(SEVEN, repeats=True, tells_more=False), horizon=None)
    assert (found.complete, found.stuck) == (False, True)
    assert len(found.batches) == 7


def test_without_has_more_one_further_page_is_asked_for() -> None:
    fake = FakeProvider(SEVEN, tells_more=False)
    assert walk(fake, horizon=None).complete
    assert fake.asked == ["list None", "list b6"]


def test_a_list_that_cannot_be_read_is_doubt() -> None:
    with pytest.raises(ProviderDoubt):
        walk(FakeProvider(list_error=ProviderDoubt("damaged")), horizon=None)


def test_a_little_disorder_is_no_reason_to_walk_to_the_end() -> None:
    times = [9000.0, 8999.0, 8999.5, 100.0]
    fake = FakeProvider([batch(f"b{n}", time) for n, time in enumerate([*times, 50.0, 40.0])], per_page=4)
    assert walk(fake, horizon=5000.0).complete
    assert len(fake.asked) == 1


def test_a_single_old_batch_does_not_tell_which_way_the_list_runs() -> None:
    fake = FakeProvider([batch("old", 1.0), batch("young", 9000.0)], per_page=1)
    assert len(walk(fake, horizon=5000.0).batches) == 2
