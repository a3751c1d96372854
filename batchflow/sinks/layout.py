"""The tables in the results database: their columns, and which objects there are ours. Every object of ours carries its
layout version in its comment; whatever has no such mark belongs to the user and is never touched.
"""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from batchflow.errors import SetupError, SinkError
from batchflow.sinks.connection import STORAGE_VERSION, Store
from batchflow.sources.database import identifier, literal

LAYOUT_VERSION: Final = 3
DATA: Final = "data"
FACTORS: Final = "factors"
ANSWERS: Final = "answers"
# the schemas with one table per run -> the columns by which its rows belong to requests
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    DATA: ("row_number", "row_id"),
    FACTORS: ("condition_number", "condition"),
    ANSWERS: ("custom_id", "round", "batch_id"),
}
VIEWS: Final = ("results", "results_all")
_MARK: Final = "batchflow layout "

# How columns are stored in a file that we made: to find it out for each piece takes DuckDB as long as all the rest. In
# any other file `stored` leaves it to DuckDB: what it can store differs.
_FEW: Final = "VARCHAR USING COMPRESSION dictionary"
_KEY: Final = "VARCHAR USING COMPRESSION uncompressed"
_ID: Final = "VARCHAR USING COMPRESSION fsst"
_COMPRESSION: Final = re.compile(" USING COMPRESSION [a-z]+")
TEXT: Final = "VARCHAR USING COMPRESSION zstd"  # of any length

TABLES: Final[dict[str, str]] = {
    "runs": """
        run_id VARCHAR, experiment VARCHAR, created_at TIMESTAMP, state VARCHAR, scope VARCHAR, simulated BOOLEAN,
        model VARCHAR, fingerprint VARCHAR, requests BIGINT, outcomes JSON, owed BIGINT, cost_usd DOUBLE,
        pilot BOOLEAN""",
    "batches": """
        run_id VARCHAR, round INTEGER, shard INTEGER, batch_id VARCHAR, status VARCHAR, created_at TIMESTAMP,
        in_progress_at TIMESTAMP, finalizing_at TIMESTAMP, ended_at TIMESTAMP, counts_total BIGINT,
        counts_completed BIGINT, counts_failed BIGINT, input_file_id VARCHAR, output_file_id VARCHAR,
        error_file_id VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT""",
    # last_round: the newest round that is loaded for the request; a shard of an earlier one then changes nothing.
    # shard and line are those of the first round; NULL where the answer was taken over. asked_as: the custom_id of the
    # line that answers the request where that is not its own, as with `duplicates: share`.
    "requests": f"""
        run_id {_FEW}, custom_id {_ID}, row_number BIGINT, row_id {_ID}, condition {_FEW},
        condition_number INTEGER, replicate INTEGER, draw BIGINT, request_key {_KEY}, shard INTEGER, line INTEGER,
        asked_as {_FEW}, owed {_FEW}, last_round INTEGER""",
    "responses": f"""
        run_id {_FEW}, round INTEGER, batch_id {_FEW}, custom_id {_ID}, outcome {_FEW}, http_status BIGINT,
        error_code {_FEW}, error_message VARCHAR, content {TEXT}, refusal {TEXT}, finish_reason {_FEW},
        model_answered {_FEW}, system_fingerprint {_FEW}, prompt_tokens BIGINT, cached_tokens BIGINT,
        completion_tokens BIGINT, reasoning_tokens BIGINT, total_tokens BIGINT, cost_usd DOUBLE, taken_from {_FEW},
        body JSON USING COMPRESSION zstd""",
    "bad_lines": """
        run_id VARCHAR, round INTEGER, shard INTEGER, batch_id VARCHAR, file VARCHAR, line_no BIGINT, text VARCHAR,
        error VARCHAR""",
}


class Layout(Enum):
    """What a database holds of ours."""

    NONE = "none"
    CURRENT = "current"
    OTHER = "another version, or tables that were changed by hand"


def mark(kind: str, name: str, meaning: str) -> str:
    """The statement that makes an object ours; `name` stands as SQL has it."""
    return f"COMMENT ON {kind} {name} IS {literal(f'{_MARK}{LAYOUT_VERSION}: {meaning}')}"


def run_table(schema: str, run_id: str) -> str:
    """A run's own table in one of the schemas of `KEYS`, as SQL names it."""
    return f"{schema}.{identifier(run_id)}"


def survey(store: Store) -> Layout:
    """Which layout the database has. Errors: SinkError where one of our names is taken by somebody else's object."""
    found = _objects(store)
    ours = {name: comment for (schema, name), comment in found.items() if schema == "main" and _is_ours(comment)}
    taken = sorted(
        name for (schema, name), comment in found.items()
        if schema == "main" and name.lower() in {*TABLES, *VIEWS} and not _is_ours(comment)
    )  # fmt: skip
    if taken:
        raise _foreign(store.path, taken)
    marked = [comment for comment in found.values() if _is_ours(comment)]
    if not marked:
        return Layout.NONE
    current = f"{_MARK}{LAYOUT_VERSION}:"
    complete = set(ours) == {*TABLES, *VIEWS} and all((comment or "").startswith(current) for comment in marked)
    return Layout.CURRENT if complete and _columns_fit(store) else Layout.OTHER


def prepare(store: Store) -> bool:
    """Make sure of our tables. True if an older or changed layout was dropped for it, with the rows of every run.

    Views are not made here; they depend on the runs.
    """
    state = survey(store)
    if state is Layout.CURRENT:
        return False
    if state is Layout.OTHER:
        _drop_ours(store)
    for schema in KEYS:
        store.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for name, columns in TABLES.items():
        store.connection.execute(f"CREATE TABLE {name} ({stored(store, columns)})")
        store.connection.execute(mark("TABLE", name, f"one row per {_ONE_ROW_PER[name]}"))
    return state is Layout.OTHER


def stored(store: Store, columns: str) -> str:
    """The columns of a table as this file can have them."""
    found = store.rows("SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'store'")
    return columns if found == [(f"{STORAGE_VERSION}+",)] else _COMPRESSION.sub("", columns)


def require(store: Store) -> None:
    """Refuse to go on without our tables as this version has them. Errors: SetupError (none), SinkError."""
    state = survey(store)
    if state is Layout.NONE:
        raise SetupError(f"{store.path} holds no results yet", hint="run the study first")
    if state is Layout.OTHER:
        raise SinkError(
            f"the tables in {store.path} were made by another version of batchflow, or changed by hand",
            hint="`batchflow load --rebuild` makes them anew",
        )


def runs_with(store: Store, schema: str) -> set[str]:
    """The runs that have a table in this schema."""
    return {name for (where, name), comment in _objects(store).items() if where == schema and _is_ours(comment)}


def check_run_tables(store: Store, run_id: str) -> None:
    """Refuse a table of the user's in the place of one of a run's own. Errors: SinkError."""
    for (schema, name), comment in _objects(store).items():
        if schema in KEYS and name.lower() == run_id.lower() and not _is_ours(comment):
            raise _foreign(store.path, [f"{schema}.{name}"])


class Stored(NamedTuple):
    """A column of a run's own table: its name there, and its type."""

    name: str
    type: str


def columns_of(store: Store, schema: str, run_id: str) -> list[Stored]:
    """The columns of a run's own table in their order, without the keys; none where there is no such table."""
    found = store.rows(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'store' AND schema_name = ? "
        "AND table_name = ? ORDER BY column_index",
        [schema, run_id],
    )
    return [Stored(*each) for each in found if each[0] not in KEYS[schema]]


_ONE_ROW_PER: Final = {
    "runs": "run", "batches": "batch", "requests": "request", "responses": "response line of any round",
    "bad_lines": "line of a response file that is no result",
}  # fmt: skip


def _objects(store: Store) -> dict[tuple[str, str], str | None]:
    found = store.rows(
        "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE database_name = 'store' UNION ALL "
        "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE database_name = 'store' AND NOT internal"
    )
    return {(schema, name): comment for schema, name, comment in found}


def _is_ours(comment: str | None) -> bool:
    return comment is not None and comment.startswith(_MARK)


def _columns_fit(store: Store) -> bool:
    found = store.rows(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE database_name = 'store' AND schema_name = 'main' GROUP BY table_name"
    )
    actual = dict(found)
    return all(actual.get(name) == _names(columns) for name, columns in TABLES.items())


def _names(columns: str) -> list[str]:
    return [column.split()[0] for column in columns.split(",")]


def _drop_ours(store: Store) -> None:
    kinds = {
        (schema, name): kind
        for kind, schema, name in store.rows(
            "SELECT 'TABLE', schema_name, table_name FROM duckdb_tables() WHERE database_name = 'store' UNION ALL "
            "SELECT 'VIEW', schema_name, view_name FROM duckdb_views() WHERE database_name = 'store' AND NOT internal"
        )
    }
    for (schema, name), comment in _objects(store).items():
        if _is_ours(comment):
            store.connection.execute(f"DROP {kinds[schema, name]} {identifier(schema)}.{identifier(name)}")


def _foreign(path: Path, names: list[str]) -> SinkError:
    return SinkError(
        f"{path} already holds {', '.join(names)}, which batchflow did not make",
        hint="name another database in output.database, or rename what is there",
    )
