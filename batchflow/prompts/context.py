"""Named inserts for prompts: files read once, constant for every row. A table, values (JSON, YAML), or a text.

What an insert is to Jinja is also what it is to a reader: put into a text as it stands, a table becomes a Markdown
table, values become JSON, a text stays as it is.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from batchflow.errors import Fault, TemplateError
from batchflow.identity import JsonNumber, json_bytes, sha256_hex
from batchflow.prompts.body import Text, Value
from batchflow.prompts.json_reader import JsonReader
from batchflow.prompts.text import read_text, read_yaml
from batchflow.spec.context import TABLES, TEXTS
from batchflow.spec.source_text import SourceText

LARGEST: Final = 4_000_000  # bytes; what is larger is data: a row per request
SHOWN_FAULTS: Final = 20
_WHOLE: Final = frozenset("-0123456789")


class Members(dict[str, Any]):
    """An object of an insert; a member goes before a method of the same name (`code.items`)."""

    def __str__(self) -> str:
        return json_bytes(self).decode()


class Values(list[Any]):
    """A list of an insert."""

    def __str__(self) -> str:
        return json_bytes(self).decode()


class Table(list[Members]):
    """The rows of a table, each by column name; all cells are texts."""

    def __str__(self) -> str:
        columns = list(self[0])
        lines = [columns, ["---"] * len(columns), *(list(row.values()) for row in self)]
        return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\r\n", "<br>").replace("\n", "<br>")


class Insert(NamedTuple):
    """value: what Jinja sees. text: what `{{ name }}` alone becomes. digest: of both."""

    value: Any
    text: str
    digest: str

    @classmethod
    def of(cls, value: Any) -> "Insert":
        wrapped = _wrapped(value)
        text = wrapped if isinstance(wrapped, str) else str(wrapped) if _nests(wrapped) else _written(wrapped)
        return cls(wrapped, text, sha256_hex(json_bytes([text, wrapped])))


def read_insert(path: Path, shown: str) -> Insert:
    """The insert in a file, of the kind that its name says. `shown`: the path as written.

    Errors: TemplateError with line, column and remedy.
    """
    if path.is_file() and path.stat().st_size > LARGEST:
        cause = f"the file is larger than {LARGEST // 1_000_000} MB: every request would carry it"
        raise TemplateError([Fault(shown, cause, "a table of that size belongs into data.source")])
    text, suffix = read_text(path, shown), path.suffix.lower()
    if not text.strip():
        raise TemplateError([Fault(shown, "the file is empty", "write something into it, or remove it from `context`")])
    if suffix in TEXTS:
        return Insert.of(text)
    if suffix in TABLES:
        return Insert.of(_table(SourceText(shown, text, "table"), tabs=suffix != ".csv"))
    if suffix == ".json":
        return Insert.of(_without_slots(JsonReader(text, shown, "insert").read(), shown))
    return Insert.of(read_yaml(SourceText(shown, text, "insert")).root.plain())


def _table(source: SourceText, *, tabs: bool) -> Table:
    """A delimited table with a header. Errors: TemplateError."""
    header = source.text.split("\n", 1)[0]
    delimiter = "\t" if tabs else ";" if ";" in header and "," not in header else ","
    reader = csv.reader(io.StringIO(source.text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        cause = f"the row that begins here is no row of a table: {error}"
        remedy = 'close every quote; a quote inside a cell is written "" in a cell in quotes'
        raise TemplateError([source.fault(source.offset(line), cause, remedy)]) from None
    (first, names), *body = rows
    names = [name.strip() for name in names]
    faults = _faults_of_header(source, first, names)
    faults += [
        source.fault(
            source.offset(line),
            f"{len(cells)} cell{'s'[: len(cells) > 1]} in a table of {len(names)} columns",
            "put cells that hold separators into quotes",
        )
        for line, cells in body
        if len(cells) != len(names)
    ]
    if not body:
        faults.append(source.fault(len(source.text), "the table has a header and no rows", "add the rows"))
    if faults:
        raise TemplateError(faults[:SHOWN_FAULTS])
    return Table(Members(zip(names, cells, strict=True)) for _, cells in body)


def _faults_of_header(source: SourceText, line: int, names: list[str]) -> list[Fault]:
    start = source.offset(line)
    faults = []
    if "" in names:
        faults.append(source.fault(start, "a column has no name", "name every column in the first line"))
    doubled = dict.fromkeys(name for name in names if name and names.count(name) > 1)
    return faults + [source.fault(start, f"the column {name!r} stands twice", "rename one of them") for name in doubled]


def _without_slots(value: Any, shown: str) -> Any:
    """What a JSON file holds, as plain values. Errors: TemplateError for a slot, which nothing would fill."""
    if isinstance(value, Value):
        cause = f"{value.text} stands in an insert, where nothing fills it"
        raise TemplateError([Fault(shown, cause, "write the value; slots belong into the template")])
    if isinstance(value, Text):
        return value.text
    if isinstance(value, Mapping):
        return {key: _without_slots(member, shown) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_slots(member, shown) for member in value]
    return value


def _wrapped(value: Any) -> Any:
    """Values as Jinja needs them: whole numbers whole, objects and lists that show themselves as JSON."""
    if isinstance(value, Table):
        return value
    if isinstance(value, Mapping):
        return Members({key: _wrapped(member) for key, member in value.items()})
    if isinstance(value, list):
        return Values(_wrapped(member) for member in value)
    if isinstance(value, JsonNumber):
        return int(value.text) if set(value.text) <= _WHOLE else float(value)
    return value


def _nests(value: Any) -> bool:
    return isinstance(value, Members | Values | Table)


def _written(value: Any) -> str:
    return json_bytes(value).decode()
