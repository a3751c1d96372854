"""Names of columns that cannot collide: with ours, or with one another where case does not count (DuckDB)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

EMBEDDING: Final = "embedding"  # the vector, in the table of answers of a run of embeddings
ROWS_RESERVED: Final = frozenset({"row_number", "row_id"})
RESULTS_RESERVED: Final = frozenset({
    "experiment", "run_id", "row_number", "row_id", "custom_id", "condition", "replicate", "simulated", "model",
    "outcome", "content", "refusal", "finish_reason", "model_answered", "prompt_tokens", "cached_tokens",
    "completion_tokens", "reasoning_tokens", "total_tokens", "cost_usd",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in the header, in rows.parquet and the data table, and in the view `results`."""

    name: str
    stored: str
    results: str


def resolve(names: Sequence[str], reserved: Collection[str], prefix: str = "data_") -> list[str]:
    """The names under which columns are kept, in the same order.

    A name keeps itself unless it is reserved or equals an earlier one (case does not count); else it becomes
    `<prefix><name>`, with `_2`, `_3`, … if that is taken too. Applied to its own result it changes nothing.
    """
    taken = {name.lower() for name in reserved}
    keeps: list[bool] = []
    for name in names:
        keeps.append(name.lower() not in taken)
        taken.add(name.lower())
    resolved = []
    for name, kept in zip(names, keeps, strict=True):
        resolved.append(name if kept else free_name(f"{prefix}{name}", taken))
        taken.add(resolved[-1].lower())
    return resolved


def result_names(
    data: Sequence[str], factors: Sequence[str] = (), answers: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """The names in `results` of data columns and of answer fields: their own, unless one of ours, a factor's, or one
    of the other kind; then `data_<name>`, `answer_<name>`.
    """
    shared = {name.lower() for name in data} & {name.lower() for name in answers}
    reserved = {*RESULTS_RESERVED, *(name.lower() for name in factors), *shared}
    named = resolve(data, reserved)
    return named, resolve(answers, {*reserved, *named}, "answer_")


def free_name(wanted: str, taken: Collection[str]) -> str:
    """The name, or with `_2`, `_3`, … where it is taken (those are in lower case)."""
    candidate, number = wanted, 1
    while candidate.lower() in taken:
        number += 1
        candidate = f"{wanted}_{number}"
    return candidate
