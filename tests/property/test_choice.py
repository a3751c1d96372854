"""A sample has its size, gives every stratum its share, and grows by rows only."""

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.files import scratch_folder
from batchflow.sources.choice import RowChoice
from batchflow.sources.database import connection, literal
from batchflow.sources.selection import Rules, Selection

quick = settings(max_examples=40, deadline=None)
STRATA = st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=60)


def drawn(strata: list[str], choice: RowChoice, *, names: list[str] | None = None) -> set[int]:
    """The numbers of the rows that are asked."""
    names = names or [f"r{number}" for number in range(1, len(strata) + 1)]
    with scratch_folder() as folder:
        rows = Path(folder) / "rows.parquet"
        with connection(folder) as database:
            database.execute("CREATE TABLE t (row_number BIGINT, row_id VARCHAR, kind VARCHAR)")
            with database.appender("t") as appender:
                appender.append_rows([(n, names[n - 1], kind) for n, kind in enumerate(strata, 1)])
            database.execute(f"COPY t TO {literal(str(rows))} (FORMAT parquet)")
        rules = Rules(["kind"], {}, {1: []}, choice=choice, choice_by=list(choice.by))
        with Selection(rows, rules) as selection:
            return {row for row, _ in selection.possible(1, len(strata))}


@quick
@given(STRATA, st.integers(1, 70), st.integers(0, 5))
def test_shares_of_strata(strata: list[str], n: int, seed: int) -> None:
    found = drawn(strata, RowChoice(n=n, seed=seed, by=("kind",)))
    assert len(found) == min(n, len(strata))
    asked, all_ = Counter(strata[row - 1] for row in found), Counter(strata)
    for kind, size in all_.items():
        assert abs(asked[kind] - len(found) * size / len(strata)) < 1.0 + 1e-9, (asked, all_)


@quick
@given(STRATA, st.integers(1, 40), st.integers(1, 20), st.integers(0, 5), st.randoms())
def test_a_larger_sample_holds_the_smaller_in_whatever_order_rows_come(
    strata: list[str], n: int, more: int, seed: int, chance: object
) -> None:
    small, large = (drawn(strata, RowChoice(n=size, seed=seed)) for size in (n, n + more))
    assert small <= large
    order = list(range(1, len(strata) + 1))
    chance.shuffle(order)  # type: ignore[attr-defined]
    shuffled = drawn([strata[row - 1] for row in order], RowChoice(n=n, seed=seed), names=[f"r{row}" for row in order])
    assert {order[place - 1] for place in shuffled} == small
