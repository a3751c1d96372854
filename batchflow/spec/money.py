"""What a spec says of money: how much may be spent, and prices that nobody else knows, or knows better."""

from typing import Annotated

from pydantic import Field

from batchflow.spec.base import Strict

Dollars = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class BudgetSpec(Strict):
    """The most that a run may cost."""

    max_usd: Dollars = Field(
        description="At most so many US dollars. Nothing is sent that could cost more, and no further batch is made "
        "that could take the run beyond it.",
        examples=[5],
    )
    assume_usd_per_request: Dollars | None = Field(
        default=None,
        description="What a request is taken to cost where its price or size is not known. Without it such requests "
        "are not sent.",
        examples=[0.01],
    )


class PriceSpec(Strict):
    """What a batch with a model costs, in US dollars for a million tokens."""

    input: Dollars = Field(description="Input tokens.", examples=[1.25])
    output: Dollars = Field(description="Output tokens; 0 for models that give none, such as embeddings.", examples=[5])
    cached_input: Dollars | None = Field(
        default=None, description="Input tokens that the provider still had; as `input`, if left out.", examples=[0.5]
    )

    def by_kind(self) -> dict[str, float]:
        """The prices by kind of token."""
        kinds = {"input": self.input, "output": self.output}
        return kinds if self.cached_input is None else kinds | {"cached": self.cached_input}
