"""The rows that a sink takes: one type per table of design.md section 7, free of any store."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias


class ResponseRow(NamedTuple):
    """One response line. tokens are counts, cost_usd is in US dollars; body is JSON text, given only where raw lines
    are to be stored. dimensions, no column here: the length of the vector that content holds, to be stored as one.
    typed, neither: the values of the run's answer columns.
    """

    custom_id: str
    outcome: str
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    content: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    model_answered: str | None = None
    system_fingerprint: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    taken_from: str | None = None
    body: str | None = None
    dimensions: int | None = None
    typed: tuple[Any, ...] | None = None


class TypedRow(NamedTuple):
    """The typed values of one answer, in the order of the run's columns."""

    custom_id: str
    values: tuple[Any, ...]


class BadLine(NamedTuple):
    """A line of a response file that is no result: its place, how it begins, and what is wrong with it."""

    file: str
    line_no: int
    text: str
    error: str


Owed: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str]]


class Rest(NamedTuple):
    """What the parser that reads line by line makes of a shard. The others are known when `answers` has ended: the kind
    of each request that is owed, those that were asked again in vain, and the lines that are no results.
    """

    answers: Iterable[ResponseRow]
    owed: Owed
    kept: Callable[[], Collection[str]] = frozenset
    bad: Callable[[], Iterable[BadLine]] = tuple


class BatchRow(NamedTuple):
    """One batch. Times are Unix seconds; round and shard count from 1."""

    round: int
    shard: int
    batch_id: str
    status: str
    created_at: float | None = None
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    ended_at: float | None = None
    counts_total: int | None = None
    counts_completed: int | None = None
    counts_failed: int | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class RunRow(NamedTuple):
    """One run. created_at is ISO 8601; outcomes counts requests by outcome, owed kinds included. pilot: not
    all rows are asked.
    """

    run_id: str
    experiment: str
    created_at: str
    state: str
    scope: str
    simulated: bool
    model: str
    fingerprint: str
    requests: int
    outcomes: Mapping[str, int]
    owed: int
    cost_usd: float | None = None
    pilot: bool = False
