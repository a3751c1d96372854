"""Prices and budgets in a spec: strict numbers, and no part of a run's identity."""

from typing import Any

import pytest
from pydantic import ValidationError

from batchflow.spec.model import Experiment
from batchflow.spec.money import PriceSpec

BASE = {"version": 1, "name": "n", "data": {"source": "a.csv"}, "prompt": {"user": "x"}, "parameters": {"model": "m"}}


def test_prices_shape_no_request() -> None:
    priced = Experiment.model_validate({**BASE, "prices": {"m": {"input": 1, "output": 2.5}}})
    assert priced.shaping() == Experiment.model_validate(BASE).shaping()
    assert priced.prices["m"].by_kind() == {"input": 1.0, "output": 2.5}


def test_cached_input_costs_as_input_where_nothing_is_said() -> None:
    assert "cached" not in PriceSpec(input=1, output=2).by_kind()
    assert PriceSpec(input=1, output=2, cached_input=0).by_kind()["cached"] == 0


@pytest.mark.parametrize(
    "prices",
    [{"m": 1}, {"m": {"input": 1}}, {"m": {"input": -1, "output": 1}}, {"m": {"input": "1", "output": 1}},
     {"m": {"input": float("nan"), "output": 1}}, {"": {"input": 1, "output": 1}},
     {"m": {"input": 1, "output": 1, "x": 1}}],
)  # fmt: skip
def test_odd_prices_are_refused(prices: Any) -> None:
    with pytest.raises(ValidationError):
        Experiment.model_validate({**BASE, "prices": prices})
