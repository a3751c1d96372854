"""The typed answers of a run: a table of its own, one row per valid answer, its columns typed by the run's manifest.

A request that was asked again has a row for each round with a valid answer; the views take that of its last round.
"""

from collections.abc import Iterable

from batchflow.plan.answer_types import duckdb_type
from batchflow.plan.model import Plan
from batchflow.sinks.connection import Store
from batchflow.sinks.layout import ANSWERS, mark, run_table, runs_with
from batchflow.sinks.model import TypedRow
from batchflow.sources.database import identifier

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
