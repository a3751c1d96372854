"""What `sample:` may say: a pilot, some rows in place of all."""

from pydantic import Field

from batchflow.spec.base import Strict, Text


class SampleSpec(Strict):
    """Which rows are asked, where not all are."""

    n: int = Field(ge=1, description="How many rows are asked, of those that the design asks at all.", examples=[20])
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Another seed draws other rows.", examples=[1])
    by: list[Text] = Field(
        default=[],
        description="Columns of the data: each combination of their values has its share among the rows drawn.",
        examples=[["country"]],
    )
