"""Where prices come from: the spec, else the data of `genai-prices`, which lie in its wheel; nothing is fetched. What
the local provider simulates is free.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from batchflow.cost.rates import FREE, Prices, Rates, Steps

OPENAI: Final = "openai"
SPEC: Final = "the spec"
NOTHING: Final = Rates(FREE, FREE, "simulated")
_BATCH: Final = {"processing": "batch"}


class PriceBook:
    """The prices of one provider. given: those of the spec, model -> kind of token -> US dollars for a million; they
    are what a batch costs. base_url: the address of a provider that is not OpenAI. moment: the day that prices are of.
    """

    def __init__(
        self,
        given: Mapping[str, Mapping[str, float]],
        *,
        provider: str,
        base_url: str,
        simulated: bool,
        moment: datetime,
    ) -> None:
        self._given, self._provider, self._base_url = given, provider, base_url
        self._simulated, self._moment = simulated, moment
        self._found: dict[str, Rates | None] = {}

    @property
    def simulated(self) -> bool:
        return self._simulated

    @property
    def day(self) -> str:
        """The day that prices are of."""
        return self._moment.date().isoformat()

    def rates(self, model: str) -> Rates | None:
        """What a model costs at this provider; None where nobody knows."""
        return NOTHING if self._simulated else self.real(model)

    def real(self, model: str) -> Rates | None:
        """The same for whom nothing is simulated: of the local provider, what the model would cost at OpenAI."""
        if model not in self._found:
            self._found[model] = self._look_up(model)
        return self._found[model]

    def _look_up(self, model: str) -> Rates | None:
        if model in self._given:
            prices = _as_given(self._given[model])
            return Rates(prices, None, SPEC, model)
        openai = self._simulated or self._provider == OPENAI
        place = {"provider_id": OPENAI} if openai else {"provider_api_url": self._base_url}
        return _published(model, self._moment, **place)


def _as_given(given: Mapping[str, float]) -> Prices:
    return Prices(**{name: ((0, float(dollars)),) for name, dollars in given.items()})


def _published(model: str, moment: datetime, **place: str) -> Rates | None:
    """The library gives the full price, silently, where it has none for batches: both are asked, and compared."""
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - half a second

    asked: Any = {"usage": Usage(input_tokens=1, output_tokens=1), "model_ref": model, **place}
    try:
        single = calc_price(**asked, genai_request_timestamp=moment)
        batch = calc_price(**asked, genai_request_timestamp=moment, price_context=_BATCH)
    except LookupError:
        return None
    of_batch, of_single = _prices(batch.model_price), _prices(single.model_price)
    if not of_single.input:
        return None  # it is paid by something else than tokens
    return Rates(of_batch, of_single, _source(), single.model.id, batch_known=of_batch != of_single)


def _prices(found: Any) -> Prices:
    steps = [_steps(getattr(found, f"{kind}_mtok", None)) for kind in ("input", "output", "cache_read", "cache_write")]
    return Prices(*steps)


def _steps(price: Any) -> Steps:
    if price is None:
        return ()
    if not hasattr(price, "tiers"):
        return ((0, float(price)),)
    return ((0, float(price.base)), *((tier.start, float(tier.price)) for tier in price.tiers))


@lru_cache(maxsize=1)
def _source() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - heavy, and most commands look no price up

    return f"genai-prices {version('genai-prices')}"
