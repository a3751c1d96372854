"""Answers read by the file: DuckDB takes those of the plain kind out of a shard's files, which are nearly all of them.

What is plain, the parser that reads line by line has said when the files were collected (`plain` of an account). Here
every plain line is taken, for no condition excludes one; and nothing else, or the numbers differ: then the shard is
read line by line. The other lines, whose numbers were kept, are left to that parser.
"""

from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from batchflow import files
from batchflow.cost.rates import Prices, Steps
from batchflow.errors import SinkError, known_secrets
from batchflow.plan.answer_types import AnswerPlan
from batchflow.sinks import answers
from batchflow.sinks.connection import Store
from batchflow.sinks.model import BatchRow
from batchflow.sources.database import literal, pattern

_MEMORY: Final = 256_000_000  # bytes; what reads JSON holds some buffers of the longest line that it takes
_LINES_AT_ONCE: Final = 100
_LONGEST: Final = 16_000_000  # bytes of a line; with a longer one, the shard is read line by line
_LINES: Final = f"format = 'newline_delimited', compression = 'none', maximum_object_size = {_LONGEST}"
# What is of another kind than here, and a field that stands twice, is an error of the whole file.
_USAGE: Final = (
    "STRUCT(prompt_tokens BIGINT, completion_tokens BIGINT, total_tokens BIGINT, "
    "prompt_tokens_details STRUCT(cached_tokens BIGINT, cache_write_tokens BIGINT), "
    "completion_tokens_details STRUCT(reasoning_tokens BIGINT))"
)
_CHOICES: Final = "STRUCT(message STRUCT(content VARCHAR, refusal VARCHAR), finish_reason VARCHAR)[]"
_BODY: Final = f"STRUCT(choices {_CHOICES}, model VARCHAR, system_fingerprint VARCHAR, usage {_USAGE})"
_PARTS: Final = (
    "custom_id, status, body.choices[1] AS choice, body.model AS model, body.system_fingerprint AS fingerprint, "
    "body.usage AS usage"
)
_PLAIN: Final = (
    "status = 200 AND choice.finish_reason = 'stop' AND choice.message.content <> '' AND choice.message.refusal IS NULL"
)
_CONTENT: Final = "choice.message.content"
_INPUT: Final = "usage.prompt_tokens"
_OUTPUT: Final = "usage.completion_tokens"
_CACHED: Final = "usage.prompt_tokens_details.cached_tokens"
_WRITTEN: Final = "usage.prompt_tokens_details.cache_write_tokens"
_REASONING: Final = "usage.completion_tokens_details.reasoning_tokens"


class ResultFile(NamedTuple):
    """A file of a shard's answers. odd: the numbers of the lines that are not plain, from 1."""

    path: Path
    odd: Sequence[int]


class PlainShard(NamedTuple):
    """A collected shard of a run. plain, unreadable, invalid: how many of its lines, or answers, are so; whole: every
    request has its answer in a plain line; prices: at which its answers are counted; answer: what they are typed by;
    raw: their bodies are stored.
    """

    run_id: str
    batch: BatchRow
    files: Sequence[ResultFile]
    plain: int
    unreadable: int
    invalid: int
    whole: bool
    prices: Prices | None
    answer: AnswerPlan | None
    raw: bool


def insert(store: Store, shard: PlainShard, *, sifted: bool) -> None:
    """Put the plain answers into the tables; part of the caller's transaction. sifted: out of copies without the odd
    lines, some of which DuckDB takes for an error. Errors: SinkError, and DuckDB's.
    """
    store.make_room(_MEMORY)
    found = 0
    where = _PLAIN + (answers.conditions(shard.answer, _CONTENT) if shard.invalid else "")
    with files.scratch_folder() as scratch:
        for path, odd in shard.files:
            plain = _without(path, odd, scratch / path.name) if sifted and odd else path
            found += _take(store, shard, _read(plain, raw=shard.raw), where)
    if found != shard.plain:
        raise SinkError(f"{shard.run_id}: {found} answers are plain, not {shard.plain}")
    if shard.answer is not None:
        answers.extract(store, shard.run_id, shard.batch, shard.answer)


def _take(store: Store, shard: PlainShard, lines: str, where: str) -> int:
    """Nothing that holds a secret is taken."""
    secrets = {f"secret_{number}": value for number, value in enumerate(known_secrets())}
    body = "text" if shard.raw else "NULL"
    said = answers.as_said(shard.answer, _CONTENT) if secrets else ""
    texts = f"concat({_CONTENT}, model, fingerprint{said}, {body})"
    safe = "".join(f" AND NOT contains({texts}, ${name})" for name in secrets)
    return store.number(
        "INSERT INTO responses SELECT $run_id, $round, $batch_id, custom_id, 'answered', 200, NULL, NULL, "
        f"{_CONTENT}, NULL, 'stop', model, fingerprint, {_INPUT}, {_CACHED}, {_OUTPUT}, {_REASONING}, "
        f"usage.total_tokens, {cost_in_sql(shard.prices)}, NULL, {body} FROM {lines} WHERE {where}{safe}",
        {"run_id": shard.run_id, "round": shard.batch.round, "batch_id": shard.batch.batch_id, **secrets},
    )


def _read(path: Path, *, raw: bool) -> str:
    columns = f"{{custom_id: 'VARCHAR', response: 'STRUCT(status_code BIGINT, body {'JSON' if raw else _BODY})'}}"
    options = f"{_LINES}, auto_detect = false, records = true, columns = {columns}"
    lines = f"read_json({literal(pattern(path))}, hive_partitioning = false, {options})"
    values = "custom_id, response.status_code AS status, response.body"
    if not raw:
        return f"(SELECT {_PARTS} FROM (SELECT {values} FROM {lines}))"
    # no condition is moved past an offset: the text becomes a value once
    values += f"::VARCHAR AS text, from_json(response.body, '\"{_BODY}\"') AS body"
    return f"(SELECT {_PARTS}, text FROM (SELECT {values} FROM {lines} OFFSET 0))"


def _without(path: Path, odd: Collection[int], target: Path) -> Path:
    """A copy of a file without some of its lines."""
    copy, left_out = files.SpoolFile(target), frozenset(odd)
    with path.open("rb") as lines:
        kept = (line for number, line in enumerate(lines, start=1) if number not in left_out)
        while some := b"".join(islice(kept, _LINES_AT_ONCE)):
            copy.write(some)
    copy.close()
    return target


def cost_in_sql(prices: Prices | None) -> str:
    """What an answer has cost, as `Prices.cost` has it to the last bit: the same operations in the same order."""
    if prices is None:
        return "NULL"
    cached = f"least(coalesce({_CACHED}, 0), {_INPUT})"
    written = f"least(coalesce({_WRITTEN}, 0), greatest(0, {_INPUT} - {cached}))"
    plain = _price(prices.input)
    paid = f"CAST({_INPUT} - {cached} - {written} AS DOUBLE) * {plain}"
    paid += f" + CAST(coalesce({_OUTPUT}, 0) AS DOUBLE) * {_price(prices.output)}"
    paid += f" + CAST({cached} AS DOUBLE) * {_price(prices.cached) if prices.cached else plain}"
    paid += f" + CAST({written} AS DOUBLE) * {_price(prices.written) if prices.written else plain}"
    return f"CASE WHEN {_INPUT} IS NOT NULL THEN ({paid}) / 1000000::DOUBLE END"


def _price(steps: Steps) -> str:
    """The price at the length of a request."""
    price = _double(0.0)
    for beyond, dollars in steps:
        price = (
            f"CASE WHEN {_INPUT} <= {beyond:d} THEN {price} ELSE {_double(dollars)} END" if beyond else _double(dollars)
        )
    return price


def _double(value: float) -> str:
    return f"CAST('{value!r}' AS DOUBLE)"
