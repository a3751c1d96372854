"""What `design:` may say: factors, how they are crossed, and who gets which condition."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from batchflow.spec.base import KEY, Strict, Text, refuse


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMore = Annotated[
    list[Text],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class LevelFile(Strict):
    """Levels from a file."""

    file: Text = Field(
        description="A file of levels: .txt (one in each line), .csv or .tsv (a column of it), .json or .yaml (a list, "
        "or a mapping from label to value).",
        examples=["frames.csv"],
    )
    column: Text | None = Field(
        default=None, description="The column that holds the values; the first if left out.", examples=["text"]
    )
    label: Text | None = Field(
        default=None, description="The column that holds short labels for them.", examples=["frame"]
    )


def _file_or_levels(value: Any) -> Any:
    if isinstance(value, Mapping) and "file" in value:
        return LevelFile.model_validate(value)
    if not isinstance(value, list | Mapping):
        raise refuse(
            f"{KEY} must be the levels of a factor: a list, a mapping from label to value, or {{file: …}}",
            "write e.g. temperature: [0, 1]",
        )
    return value


Levels = Annotated[LevelFile | list[Any] | dict[str, Any], BeforeValidator(_file_or_levels)]


class DesignSpec(Strict):
    """Under which conditions rows are asked, and how often."""

    factors: dict[Text, Levels] = Field(
        default={},
        description="Factor -> its levels: a list; a mapping from label to value; or {file: …}. A factor named like a "
        "key of the request's body sets that key; any other must occur in the template as {{ factor }}.",
        examples=[{"temperature": [0, 1]}],
    )
    zip: list[list[Text]] = Field(
        default=[],
        description="Groups of factors that vary together, level by level, in place of being crossed.",
        examples=[[["frame", "price"]]],
    )
    where: OneOrMore = Field(
        default=[],
        description="SQL conditions (DuckDB) over columns and factors: asked are only combinations of row and "
        "condition for which all are true. Cells are text: age::int > 30.",
        examples=["country = 'DE' OR price = 3"],
    )
    exclude: OneOrMore = Field(
        default=[],
        description="SQL conditions over columns and factors: combinations for which one is true are left out.",
        examples=["model = 'gpt-4o' AND temperature = 1"],
    )
    replicates: int = Field(
        default=1, ge=1, le=10_000, description="How often each row is asked under each condition.", examples=[2]
    )
    assign: Literal["within", "between"] = Field(
        default="within",
        description="within: every row under every condition. between: every row under one, drawn by a hash of seed "
        "and row id, so that it keeps it when rows are added.",
        examples=["between"],
    )
    balance: Literal["hash", "exact"] = Field(
        default="hash",
        validate_default=True,
        description="For between. hash: by chance, about equal numbers where rows are many, and for ever. exact: equal "
        "numbers, within strata too, for small tables; adding rows then assigns rows anew.",
        examples=["exact"],
    )
    strata: OneOrMore = Field(
        default=[],
        description="For balance: exact. Columns of the data within whose combinations conditions are balanced.",
        examples=[["gender"]],
    )
    seed: int = Field(
        default=0, ge=0, le=2**63 - 1, description="For between: another seed gives another assignment.", examples=[1]
    )

    @field_validator("factors")
    @classmethod
    def _some_levels(cls, factors: dict[str, Any]) -> dict[str, Any]:
        for name, levels in factors.items():
            if not isinstance(levels, LevelFile) and not levels:
                raise refuse(f"{KEY}: the factor {name!r} has no levels", f"write e.g. {name}: [0, 1]")
        folded = [name.lower() for name in factors]
        for position, name in enumerate(folded):
            if name in folded[:position]:
                raise refuse(f"{KEY}: two factors are called {name!r} (case does not count)", "rename one of them")
        return factors

    @field_validator("zip")
    @classmethod
    def _known_factors(cls, groups: list[list[str]], info: ValidationInfo) -> list[list[str]]:
        factors = info.data.get("factors", {})
        named = [name for group in groups for name in group]
        for name in named:
            if name not in factors:
                raise refuse(f"{KEY} names {name!r}, which is no factor", f"the factors are {', '.join(factors)}")
            if named.count(name) > 1:
                raise refuse(f"{KEY} names {name!r} twice", "a factor varies together with one group only")
        if any(len(group) < 2 for group in groups):  # noqa: PLR2004 - alone nothing varies together
            raise refuse(f"{KEY}: a group needs two factors at least", "write e.g. zip: [[frame, price]]")
        return groups

    @field_validator("balance")
    @classmethod
    def _of_between(cls, balance: str, info: ValidationInfo) -> str:
        if balance == "exact" and info.data.get("assign") == "within":
            raise refuse(f"{KEY} goes with assign: between", "write assign: between, or remove the line")
        return balance

    @field_validator("strata")
    @classmethod
    def _of_exact(cls, strata: list[str], info: ValidationInfo) -> list[str]:
        if strata and info.data.get("balance") == "hash":
            raise refuse(f"{KEY} goes with balance: exact", "write balance: exact, or remove the line")
        return strata

    @field_validator("seed")
    @classmethod
    def _of_assignment(cls, seed: int, info: ValidationInfo) -> int:
        if seed and info.data.get("assign") == "within":
            raise refuse(
                f"{KEY} goes with assign: between",
                "remove the line; for the model's own seed write `seed` under `parameters`",
            )
        return seed
