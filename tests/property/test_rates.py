"""Prices are those of the library, for every model of OpenAI and any usage, one request at a time; bounds hold."""

from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchflow.cost.book import PriceBook
from batchflow.cost.forecast import bound_of, forecast
from batchflow.cost.rates import Prices
from batchflow.cost.tally import Tally
from batchflow.cost.weighing import Weight

quick = settings(max_examples=200, deadline=None)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
BOOK = PriceBook({}, provider="openai", base_url="", simulated=False, moment=NOW)
TEXT = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"}
NOT_TOKENS = {"web_searches_kcount", "storage_searches_kcount"}


def priced_by_text() -> list[str]:
    """The models whose tokens are those of text."""
    (openai,) = (provider for provider in get_snapshot().providers if provider.id == "openai")
    names = []
    for model in openai.models:
        kinds = {name for name, value in vars(model.get_prices(NOW)).items() if value is not None}
        if "input_mtok" in kinds <= TEXT | NOT_TOKENS and model.is_match(model.id):
            names.append(model.id)
    return names


MODELS = priced_by_text()


def test_there_are_models_enough() -> None:
    assert len(MODELS) > 40
    assert {"gpt-4o", "gpt-6-luna", "text-embedding-3-small"} <= set(MODELS)


COUNTS = st.integers(0, 400_000)


@quick
@given(st.sampled_from(MODELS), COUNTS, COUNTS, st.tuples(st.integers(0, 100), st.integers(0, 100)), st.booleans())
@example("gpt-6-luna", 272_000, 500, (0, 0), True)
@example("gpt-6-luna", 272_001, 500, (100, 0), True)
def test_a_request_costs_what_the_library_says(
    model: str, input_: int, output: int, kept: tuple[int, int], batch: bool
) -> None:
    cached = min(kept[0], input_)
    written = min(kept[1], input_ - cached)
    rates = BOOK.rates(model)
    assert rates is not None
    assert rates.single is not None
    usage = Usage(
        input_tokens=input_, output_tokens=output, cache_read_tokens=cached, cache_write_tokens=written
    )  # fmt: skip
    context: Any = {"price_context": {"processing": "batch"}} if batch else {}
    expected = calc_price(usage, model, provider_id="openai", genai_request_timestamp=NOW, **context)
    prices = rates.batch if batch else rates.single
    paid = prices.cost(input_, output, cached=cached, written=written)
    assert paid == pytest.approx(float(expected.total_price), rel=1e-9, abs=1e-15)


SIZES = st.lists(
    st.tuples(st.integers(1, 400_000), st.integers(1, 4_000), st.integers(0, 100), st.floats(0, 1)), min_size=1
)


@quick
@given(st.sampled_from(["gpt-4o", "gpt-6-luna", "gpt-5.5-pro"]), SIZES)
@example("gpt-6-luna", [(271_000, 10, 0, 0.0), (273_000, 10, 0, 0.0)])
def test_the_bound_is_never_below_what_the_requests_cost(model: str, sizes: list[tuple[int, int, int, float]]) -> None:
    rates, tally, paid = BOOK.rates(model), Tally(), 0.0
    assert rates is not None
    for bound, cap, cached, share in sizes:
        tally.add(Weight(int(bound * share), True, bound, output=cap), shard=1, condition=1, model=model)
        used = int(bound * share)
        paid += rates.batch.cost(used, int(cap * share), cached=min(cached, used))
    bound_usd = bound_of(tally.groups(), BOOK)
    assert bound_usd is not None
    assert paid <= bound_usd * (1 + 1e-9)
    found = forecast(tally.groups(), 1, BOOK)
    assert found.input_usd is not None
    assert found.input_usd <= bound_usd * (1 + 1e-9)


@quick
@given(st.builds(Prices, *[st.lists(st.tuples(st.just(0), st.floats(0, 99)), min_size=1, max_size=1).map(tuple)] * 2))
def test_prices_survive_the_journal(prices: Prices) -> None:
    assert Prices.from_json(prices.to_json()) == prices
