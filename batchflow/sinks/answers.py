"""The typed answers of a run: a table of its own, one row per valid answer, its columns typed by the run's manifest.

A request that was asked again has a row for each round with a valid answer; the views take that of its last round.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from batchflow.plan.answer_types import AnswerPlan, duckdb_type
from batchflow.plan.model import Plan
from batchflow.sinks.connection import Store
from batchflow.sinks.layout import ANSWERS, mark, run_table, runs_with
from batchflow.sinks.model import BatchRow, TypedRow
from batchflow.sources.database import identifier, literal

KEY_COLUMNS = "custom_id VARCHAR, round INTEGER, batch_id VARCHAR"


def create(store: Store, plan: Plan) -> None:
    """Make the table of a run whose answers are typed; part of the caller's transaction."""
    if plan.answer is None:
        return
    columns = "".join(f", {identifier(each.stored)} {duckdb_type(each.kind)}" for each in plan.answer.columns)
    table = run_table(ANSWERS, plan.run)
    store.connection.execute(f"CREATE TABLE {table} ({KEY_COLUMNS}{columns})")
    store.connection.execute(mark("TABLE", table, f"the typed answers of {plan.experiment}"))


def append(store: Store, run_id: str, round_: int, batch_id: str, rows: Iterable[TypedRow]) -> None:
    """Put typed answers into the run's table; part of the caller's transaction."""
    found = [(row.custom_id, round_, batch_id, *row.values) for row in rows]
    if found:
        with store.connection.appender(run_table(ANSWERS, run_id)) as appender:
            appender.append_rows(found)


def extract(store: Store, run_id: str, batch: BatchRow, plan: AnswerPlan) -> None:
    """Make typed answers of the texts of a batch in the table of responses, each of which fits the schema; part
    of the caller's transaction. What reads them one by one finds the same in them. Errors: DuckDB's where one cannot be
    read: then it should not have been taken.
    """
    values = "".join(f", value[{literal(each.name)}]" for each in plan.columns)
    store.rows(
        f"INSERT INTO {run_table(ANSWERS, run_id)} SELECT custom_id, round, batch_id{values} FROM ("
        f"SELECT custom_id, round, batch_id, {_read(plan, 'content')} AS value FROM responses "
        "WHERE run_id = ? AND batch_id = ?)",
        [run_id, batch.batch_id],
    )


def as_said(plan: AnswerPlan | None, content: str) -> str:
    """One more text to look for secrets in, where the content could hide them: its values, as it means them."""
    if plan is None:
        return ""
    escaped = f"contains({content}, '\\u') OR contains({content}, '\\/')"
    return f", CASE WHEN {escaped} THEN {_value(plan, content)}::VARCHAR END"


def conditions(plan: AnswerPlan | None, content: str) -> str:
    """What holds of every text that fits the schema, and of few others, as further conditions."""
    if plan is None or not plan.schema:
        return ""
    schema, value = json.loads(plan.schema), _value(plan, content)
    return "".join(
        f" AND {condition}"
        for name in schema.get("required", ())
        for condition in _member(schema.get("properties", {}).get(name), f"{value}[{literal(name)}]")
    )


def _member(schema: Any, place: str) -> Iterator[str]:
    """The same of a field that must be there."""
    if not isinstance(schema, dict) or not isinstance(schema.get("type"), str) or schema["type"] == "null":
        return
    yield f"{place} IS NOT NULL"
    choices = schema.get("enum", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        yield f"{place} IN ({', '.join(map(literal, choices))})"
    for word, sign in (("minimum", ">="), ("maximum", "<=")):
        if isinstance(schema.get(word), int):
            yield f"{place} {sign} {schema[word]:d}"


def _value(plan: AnswerPlan, content: str) -> str:
    """The value of a text that may be none."""
    return f"TRY({_read(plan, content)})"


def _read(plan: AnswerPlan, content: str) -> str:
    structure = json.dumps({each.name: duckdb_type(each.kind) for each in plan.columns})
    return f"from_json({content}, {literal(structure)})"


def delete_batch(store: Store, run_id: str, batch_id: str) -> None:
    """Take the typed answers, or the vectors, of a batch out again, where there are any."""
    if run_id in runs_with(store, ANSWERS):
        store.rows(f"DELETE FROM {run_table(ANSWERS, run_id)} WHERE batch_id = ?", [batch_id])


def as_text(store: Store, query: str) -> str:
    """The same rows for a file of text: lists and nested values as JSON."""
    described = store.rows(f"DESCRIBE {query}")
    # a vector's text is JSON already, and shorter than that of its numbers as JSON
    kinds = ((name, kind) for name, kind, *_ in described if not kind.startswith("FLOAT"))
    nested = [identifier(name) for name, kind in kinds if kind.endswith("]") or kind.startswith("STRUCT")]
    if not nested:
        return query
    shown = ", ".join(f"CASE WHEN {name} IS NOT NULL THEN to_json({name}) END AS {name}" for name in nested)
    return f"SELECT * REPLACE ({shown}) FROM ({query})"
