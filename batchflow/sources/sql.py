"""What a query of the user's asks for, by DuckDB's own parser: exactly one SELECT, which files it names, and that it
gives the same rows every time; what a condition of a design says: one expression, over one row, always the same.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from batchflow.sources.database import connection, literal
from batchflow.sources.parts import is_file_name
from batchflow.spec.data import is_address

# the functions whose first argument is a path, a pattern, or a list of them
_READERS: Final = frozenset({
    "read_csv", "read_csv_auto", "sniff_csv", "read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema",
    "read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto",
    "read_ndjson_objects", "read_text", "read_blob", "glob",
})  # fmt: skip
# functions that are written without brackets
_CLOCKS: Final = (["current_date"], ["current_time"], ["current_timestamp"], ["localtime"], ["localtimestamp"])
# table functions that run what stands in a text, which nobody has looked at
_HIDDEN: Final = frozenset({"query", "query_table"})
_SAME_ROWS: Final = "rows must be the same each time: what was asked already would be bought again"
_SAME_PEOPLE: Final = "use columns and factors only: who is asked must never change"
_CHANGES: Final = ("INSERT_QUERY_NODE", "UPDATE_QUERY_NODE", "DELETE_QUERY_NODE", "MERGE_QUERY_NODE")


class Unfit(ValueError):
    """A query that cannot be the table; remedy: how to mend it."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause, self.remedy = cause, remedy


@dataclass(frozen=True, slots=True)
class Parsed:
    """files: what stands in FROM clauses and looks like a file's name. sql: the query, with the paths that it hands to
    functions made absolute.
    """

    sql: str
    files: tuple[str, ...]


def parse(query: str, folder: Path) -> Parsed:
    """What a query names; relative paths start at the folder. Raises Unfit."""
    with connection() as database:
        told, changing = _tree(database, query), _changing(database)
    _check_statement(query, told)
    nodes = list(_nodes(told["statements"][0]))
    _check_constancy(nodes, changing, _SAME_ROWS)
    if any(node.get("type") in _CHANGES for node in nodes):
        raise Unfit("the query changes something", "write one SELECT that only reads")
    for node in nodes:
        if node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() in _HIDDEN:
            raise Unfit(f"{node['function_name']}() hides what is asked for", "write its text as the query itself")
    names = [
        node["qualified_name"]["path"][-1]
        for node in nodes
        if node.get("type") == "BASE_TABLE" and len(node["qualified_name"]["path"]) == 1
    ]
    found = tuple(dict.fromkeys(filter(is_file_name, names)))
    statement = duckdb.extract_statements(_absolute(query, nodes, folder))[0].query
    return Parsed(statement.strip().rstrip(";"), found)


def check_condition(database: duckdb.DuckDBPyConnection, text: str) -> None:
    """Raises Unfit unless a text is one expression over one row, by which the same row is always judged the same."""
    # whatever closes the brackets that it is put into is no expression without them
    for form in (f"SELECT 1 WHERE ({text}\n)", f"SELECT 1 WHERE {text}\n"):
        told = _tree(database, form)
        if told["error"]:
            raise Unfit(f"DuckDB: {told['error_message']}", "correct the condition")
        nodes = list(_nodes(told["statements"]))
        if len(told["statements"]) != 1:
            raise Unfit("this is no condition", "write one expression, e.g. country = 'DE'")
        if any(node.get("class") == "SUBQUERY" for node in nodes):
            raise Unfit("a subquery looks at other rows: a row that is added could change who is asked", _SAME_PEOPLE)
        _check_constancy(nodes, _changing(database), _SAME_PEOPLE)


def _tree(database: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    """What DuckDB's parser makes of a text."""
    told: dict[str, Any] = json.loads(
        database.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()[0][0]
    )
    return told


def _changing(database: duckdb.DuckDBPyConnection) -> set[str]:
    """The functions that give another value every time."""
    rows = database.execute(
        "SELECT function_name FROM duckdb_functions() WHERE function_type = 'scalar'"
        " AND stability <> 'CONSISTENT' AND function_name <> 'error'"
    ).fetchall()
    return {name for (name,) in rows}


def _check_statement(query: str, told: dict[str, Any]) -> None:
    if told["error"] and told.get("error_type") == "parser":
        raise Unfit(f"DuckDB cannot parse the query: {told['error_message']}", "correct the SQL")
    if not told["error"] and len(told["statements"]) == 1:
        return
    try:
        kinds = [statement.type.name for statement in duckdb.extract_statements(query)]
    except duckdb.Error:
        kinds = []
    if len(kinds) > 1:
        raise Unfit(f"the query has {len(kinds)} statements", "write exactly one SELECT")
    what = f"it is {kinds[0]}" if kinds else "there is none"
    raise Unfit(f"the query must be a SELECT; {what}", "write one SELECT, e.g. select * from 'people.parquet'")


def _check_constancy(nodes: list[dict[str, Any]], changing: set[str], remedy: str) -> None:
    """Refuse what is something else each time: every run would be a new one, and everything bought again."""
    for node in nodes:
        name = str(node.get("function_name", "")).lower()
        until_today = name == "age" and len(node["arguments"]) == 1
        if node.get("class") == "FUNCTION" and (name in changing or until_today):
            raise Unfit(f"{name}() gives another value each time", remedy)
        if node.get("class") == "COLUMN_REF" and [each.lower() for each in node["column_names"]] in _CLOCKS:
            raise Unfit(f"{node['column_names'][0]} gives another value each time", remedy)
        sample = node.get("sample")
        if isinstance(sample, dict) and not sample.get("repeatable"):
            raise Unfit("a sample gives other rows each time", "write: using sample 100 rows (reservoir, 42)")


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parsed query."""
    waiting = [value]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, dict):
            yield current
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current


def _absolute(query: str, nodes: list[dict[str, Any]], folder: Path) -> str:
    """The query with the paths in calls of file readers made absolute. Places are counted in bytes."""
    content = query.encode()
    paths = [
        constant
        for node in nodes
        if node.get("type") == "TABLE_FUNCTION" and node["function"]["function_name"].lower() in _READERS
        for argument in node["function"]["arguments"][:1]
        for constant in _nodes(argument)
        if constant.get("type") == "VALUE_CONSTANT"
        and constant["literal"]["kind"] == "STRING"
        and not is_address(constant["literal"]["text"])
    ]
    for constant in sorted(paths, key=lambda each: -int(each["query_location"])):
        start = int(constant["query_location"])
        end = start + int(constant["query_location_length"])
        path = str(folder.absolute() / constant["literal"]["text"])
        content = content[:start] + literal(path).encode() + content[end:]
    return content.decode()
