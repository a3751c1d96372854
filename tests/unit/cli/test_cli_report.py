"""What people read about a run: samples that are answers, columns that tell repetitions apart, counts that add up."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from batchflow.cli import plan as planning
from batchflow.cli import render, report
from batchflow.engine.run import RunView
from batchflow.journal.state import RunState
from batchflow.plan.folder import RunFolder
from batchflow.results.account import Account
from tests.unit.plan.plans import plan

NAMES = ["row_id", "outcome", "condition", "replicate", "temperature", "content"]


class Rows:
    """A reader of a run whose first requests were cancelled."""

    def __init__(self, outcomes: list[str]) -> None:
        self._outcomes = outcomes

    def columns(self, _: str) -> list[str]:
        return NAMES

    def rows(self, _: str) -> Iterator[tuple[Any, ...]]:
        for number, outcome in enumerate(self._outcomes, start=1):
            yield (str(number), outcome, "temperature=0", 1 + number % 2, 0, f"answer {number}")


def samples(monkeypatch: pytest.MonkeyPatch, outcomes: list[str], **design: Any) -> list[str]:
    """The sample answers at the end of a run, without their title."""
    monkeypatch.setattr("batchflow.sinks.reader.open_reader", lambda _: nullcontext(Rows(outcomes)))
    account = Account()
    account.final.update(each for each in outcomes if each != "cancelled")
    run = RunView(RunFolder(Path("runs/study-3f9c2a71")), plan(**design), RunState())
    return report._samples(run, Path("results.duckdb"), account)[2].splitlines()


def test_samples_are_answers_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = ["cancelled"] * 3 + ["refused"] + ["answered"] * 9
    head, _, *rows = samples(monkeypatch, outcomes)
    assert head.split() == ["row_id", "outcome", "content"]
    assert [row.split()[:2] for row in rows] == [["5", "answered"], ["6", "answered"], ["7", "answered"]]
    assert len(samples(monkeypatch, ["cancelled", "refused"])) == 2 + 2


def test_samples_of_a_design_tell_repetitions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    design: dict[str, Any] = {"factors": {"temperature": "BIGINT"}, "replicates": 2}
    head, _, first, *_ = samples(monkeypatch, ["answered"] * 4, **design)
    assert head.split() == ["row_id", "temperature", "replicate", "outcome", "content"]
    assert first.split() == ["1", "0", "2", "answered", "answer", "1"]


def test_a_vector_is_shown_with_few_digits() -> None:
    vector = [0.12345678901234567, -0.5, 1e-9] * 20
    for value in (vector, tuple(vector)):
        assert render.cell(value).startswith("[0.1235, -0.5, 1e-09, 0.1235")
    assert render.cell([0.12345678901]) == "[0.12345678901]", "what has room stays exact"


@pytest.mark.parametrize(
    ("equal", "replicates", "told"),
    [
        (0, 1, "12 requests, 0 of them equal to an earlier one"),
        (6, 2, "12 requests, 6 of them replicates of another, 0 more equal to an earlier one"),
        (9, 3, "12 requests, 8 of them replicates of another, 1 more equal to an earlier one"),
    ],
)
def test_replicates_are_counted_apart(equal: int, replicates: int, told: str) -> None:
    design = None if replicates == 1 else {"replicates": replicates}
    assert planning._sizes({"requests": 12, "equal_prompts": equal, "design": design}) == told


def test_both_counts_of_an_edit_say_what_they_go_by() -> None:
    def kind(requests: int, asked: int, usd: float | None, *, expected: bool = False, paid: float = 0.0) -> Any:
        return {"requests": requests, "asked": asked, "usd": usd, "expected": expected, "paid_usd": paid}

    money = {
        "same": kind(1, 0, 0.0, paid=0.0123),
        "changed": kind(7, 7, 0.04, expected=True, paid=0.05),
        "added": kind(26, 7, 0.0301),
        "gone": kind(0, 0, 0.0),
    }
    beside = {"run": "study-3f9c2a71", "money": money}
    described = {"taken_over": 20, "to_ask": 14, "answered_before": 0, "compared": beside}
    taken, _, compared = planning._reuse_text(described)
    assert taken == "14 new, 20 taken over from earlier runs at no cost, whichever row asked the same"
    assert compared.splitlines() == [
        "beside study-3f9c2a71, by row id  requests  to buy                cost  paid before, about",
        "--------------------------------  --------  ------  ------------------  ------------------",
        "the same                                 1       0                                  $0.012",
        "changed                                  7       7        about $0.040              $0.050",
        "added                                   26       7  up to about $0.031",
    ]
    money["added"]["usd"] = None
    assert "not known" in planning._reuse_text(described)[2]
