"""Whose prices hold, and what is said where none are known."""

import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from batchflow.cost.book import PriceBook
from batchflow.cost.forecast import CostForecast, forecast
from batchflow.cost.tally import Group

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LONG = 300_000


def book(provider: str = "openai", base_url: str = "", given: dict[str, dict[str, float]] | None = None) -> PriceBook:
    return PriceBook(given or {}, provider=provider, base_url=base_url, simulated=provider == "local", moment=NOW)


def group(model: str = "gpt-4o", requests: int = 10, tokens: int = 1_000, output: int = 500, **more: Any) -> Group:
    return Group(
        1, 1, model, requests, requests * tokens, 0, requests * tokens * 4, tokens * 4, requests * output, **more
    )


def test_a_batch_costs_half() -> None:
    found = forecast([group()], 1, book())
    assert found.input_usd == pytest.approx(10 * 1_000 * 1.25e-6)
    assert found.bound_usd == pytest.approx(10 * (4_000 * 1.25e-6 + 500 * 5e-6))
    assert found.single_usd == pytest.approx(2 * (found.bound_usd or 0))
    (price,) = found.prices
    assert price.batch_known
    assert (price.input, price.output, price.as_of) == (1.25, 5.0, "2026-11-25")
    assert (price.source or "").startswith("genai-prices ")


def test_long_requests_are_priced_one_by_one_and_short_ones_are_not_taken_for_long() -> None:
    # traps 18: the sum of short requests lies beyond the tier, none of them does
    short = forecast([group("gpt-6-luna", requests=1_000)], 1, book())
    assert short.input_usd == pytest.approx(1_000 * 1_000 * 0.05e-6)
    long = forecast([group("gpt-6-luna", requests=10, tokens=LONG)], 1, book())
    assert long.input_usd == pytest.approx(10 * LONG * 0.1e-6)
    assert long.prices[0].tiers


def test_without_a_batch_price_the_full_one_is_taken_and_said() -> None:
    found = forecast([group("text-embedding-3-small", output=0)], 1, book())
    assert not found.prices[0].batch_known
    assert found.bound_usd == found.single_usd


@pytest.mark.parametrize("model", ["no-such-model", "ft:gpt-4o-mini:org::x"])
def test_an_unknown_model_has_no_price_and_no_sum_is_made_up(model: str) -> None:
    found = forecast([group(), group(model)], 2, book())
    assert found.unknown_prices == (model,)
    assert (found.input_usd, found.bound_usd, found.single_usd) == (None, None, None)


def test_another_service_has_its_own_prices_or_none() -> None:
    groq = book("my-groq", "https://api.groq.com/openai/v1").rates("llama-3.3-70b-versatile")
    assert groq is not None
    assert not groq.batch_known
    assert book("mine", "https://llm.example.org/v1").rates("gpt-4o") is None


def test_the_specs_prices_come_first() -> None:
    mine = book(given={"gpt-4o": {"input": 1.0, "output": 2.0, "cached": 0.5}})
    found = forecast([group()], 1, mine)
    assert found.input_usd == pytest.approx(10 * 1_000 * 1e-6)
    assert found.single_usd is None
    assert found.prices[0].source == "the spec"
    rates = mine.rates("gpt-4o")
    assert rates is not None
    assert rates.batch.cost(1_000_000, 0, cached=500_000) == pytest.approx(0.75)


def test_the_local_provider_is_free_and_says_what_openai_would_take() -> None:
    found, bought = forecast([group()], 1, book("local")), forecast([group()], 1, book())
    assert (found.simulated, found.bound_usd, found.prices) == (True, 0.0, ())
    assert found.real == bought


@pytest.mark.parametrize(("more", "name"), [({"uncapped": 10}, "output_bound"), ({"unknown": 1}, "input_bound")])
def test_what_has_no_bound_has_no_cost(more: dict[str, Any], name: str) -> None:
    found: CostForecast = forecast([group(**more)], 1, book())
    assert found.bound_usd is None
    assert getattr(found, name) is None


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert book().rates("gpt-4o") is not None


def test_the_prices_are_loaded_only_when_they_are_asked_for() -> None:
    code = (
        "import sys; from batchflow.cost.book import PriceBook; from datetime import datetime\n"
        "book = PriceBook({}, provider='local', base_url='', simulated=True, moment=datetime(2026, 1, 1))\n"
        "assert book.rates('gpt-4o').source == 'simulated'\n"
        "assert 'genai_prices' not in sys.modules and 'tiktoken' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
