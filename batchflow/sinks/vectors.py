"""The vectors of a run of embeddings: a column of the run's own table of answers, of one size where all have it.

They are kept there alone: as numbers they take a third of the room of their text in `content`.
"""

from collections.abc import Sequence
from typing import Final

from batchflow.sinks.answers import KEY_COLUMNS
from batchflow.sinks.connection import Store
from batchflow.sinks.layout import ANSWERS, columns_of, mark, run_table
from batchflow.sinks.model import BatchRow, ResponseRow
from batchflow.sources.columns import EMBEDDING

_ANY_SIZE: Final = "FLOAT[]"


def place(store: Store, run_id: str, batch: BatchRow, rows: Sequence[ResponseRow]) -> Sequence[ResponseRow]:
    """Put the vectors among these answers into the run's table; returns the answers without the texts of those.

    Part of the caller's transaction.
    """
    found = [row for row in rows if row.dimensions is not None]
    if not found or not _fit(store, run_id, {row.dimensions for row in found}):
        return rows
    store.connection.execute("CREATE OR REPLACE TEMP TABLE vectors (custom_id VARCHAR, vector VARCHAR)")
    with store.connection.appender("vectors") as appender:
        appender.append_rows([(row.custom_id, row.content) for row in found])
    store.rows(
        f"INSERT INTO {run_table(ANSWERS, run_id)} "
        "SELECT custom_id, ?, ?, from_json(vector, '[\"FLOAT\"]') FROM vectors",
        [batch.round, batch.batch_id],
    )
    store.connection.execute("DROP TABLE vectors")
    return [row if row.dimensions is None else row._replace(content=None) for row in rows]


def _fit(store: Store, run_id: str, sizes: set[int | None]) -> bool:
    """Make the run's table, or its column one of any size, once a vector of another size comes.

    False where the run has a table of other answers.
    """
    table = run_table(ANSWERS, run_id)
    wanted = f"FLOAT[{next(iter(sizes))}]" if len(sizes) == 1 else _ANY_SIZE
    there = {column.name: column.type for column in columns_of(store, ANSWERS, run_id)}
    if there and EMBEDDING not in there:
        return False
    if not there:
        store.connection.execute(f"CREATE TABLE {table} ({KEY_COLUMNS}, {EMBEDDING} {wanted})")
        store.connection.execute(mark("TABLE", table, f"the vectors of {run_id}"))
    elif there[EMBEDDING] not in {wanted, _ANY_SIZE}:
        store.connection.execute(f"ALTER TABLE {table} ALTER COLUMN {EMBEDDING} TYPE {_ANY_SIZE}")
    return True
