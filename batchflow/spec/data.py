"""Where the rows come from: what `data:` may say."""

import codecs
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationInfo, field_validator

from batchflow.spec import later
from batchflow.spec.base import KEY, Strict, Text, refuse

Kind = Literal["delimited", "jsonl", "parquet", "spreadsheet", "stats", "database"]
SUFFIXES: Final[Mapping[str, Kind]] = {
    ".csv": "delimited", ".tsv": "delimited", ".tab": "delimited",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "spreadsheet", ".xlsm": "spreadsheet", ".xls": "spreadsheet", ".ods": "spreadsheet",
    ".dta": "stats", ".sav": "stats", ".zsav": "stats",
    ".sqlite": "database", ".sqlite3": "database", ".db": "database", ".duckdb": "database", ".ddb": "database",
}  # fmt: skip
_CALLED: Final[Mapping[Kind, str]] = {
    "delimited": "a CSV or TSV file",
    "spreadsheet": "an Excel or OpenDocument file",
    "database": "an SQLite or DuckDB file",
}
# the kind of table that a key is for; `encoding` also says how the delimited files that a query names are read
_FOR: Final[Mapping[str, Kind]] = {
    "encoding": "delimited", "sheet": "spreadsheet", "range": "spreadsheet", "table": "database"
}  # fmt: skip
# how a query says it
_IN_QUERIES: Final = {"sheet": "from 'book.xlsx#Sheet 2'", "table": "from 'panel.sqlite#people'"}
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SIGNED: Final = r"(?i)signature|^sig$|token|key|password|secret|credential"
RANGE: Final = r"\$?([A-Za-z]{1,3})\$?([1-9][0-9]*)?(?::\$?([A-Za-z]{1,3})\$?([1-9][0-9]*)?)?"


def is_address(source: str) -> bool:
    """Whether a source lies elsewhere: `s3://bucket/people.csv`."""
    return _ADDRESS.match(source) is not None


def kind_of(source: str) -> Kind | None:
    """The kind of table that a file, a pattern or an address names by its ending; None for any other."""
    path = urlsplit(source).path if is_address(source) else source
    return SUFFIXES.get(PurePosixPath(path).suffix.lower())


class DataSpec(Strict):
    """Where the rows come from: a table (`source`), a query over tables, or the results of another run."""

    source: Text | None = Field(
        default=None,
        description="The table, one request per row: .csv or .tsv with a header line, .jsonl, .parquet, .xlsx, .ods, "
        ".dta, .sav, an SQLite or DuckDB file; `*` in the name takes several files of the same columns; an address "
        "such as s3://… is fetched. A relative path starts at the folder of this file.",
        examples=["personas.csv", "answers-*.csv"],
    )
    query: Text | None = Field(
        default=None,
        description="One SELECT in DuckDB's SQL; its rows are the table. It names files by their path from the folder "
        "of this file, inside that folder; with `run` the table `results` is that run's results.",
        examples=["select * from 'people.parquet' join 'texts.csv' using (id)"],
    )
    run: Text | None = Field(
        default=None,
        validate_default=True,
        description="The results of another run are the table: the name of a run of this project, or the path of "
        "another study, experiment file or run.",
        examples=["summaries-3f9c2a71", "../summaries"],
    )
    id: Text | None = Field(
        default=None,
        description="The column whose values name the rows for ever, each value once. Without it the row number is the "
        "id: then do not insert or re-order rows later.",
        examples=["ID"],
    )
    missing: Literal["error", "empty"] = Field(
        default="error",
        description="What to do with an empty cell of a column that the prompt uses: stop and name the rows (error), "
        "or ask with an empty text (empty).",
        examples=["empty"],
    )
    send: list[Text] | None = Field(
        default=None,
        description="The only columns whose cells may leave this machine: a prompt that uses another one is refused. "
        "All columns stand beside the answers all the same. Without it: those that the prompt names.",
        examples=[["Description", "Age"]],
    )
    lint: bool = Field(
        default=True,
        description="Warn where prompts hold what has the form of personal data: e-mail addresses, phone numbers, "
        "numbers of accounts, cards and persons.",
        examples=[False],
    )
    encoding: Text | None = Field(
        default=None,
        description="The encoding of CSV and TSV files that are not UTF-8.",
        examples=["windows-1252", "latin-1", "utf-16"],
    )
    sheet: Text | None = Field(
        default=None, description="The sheet of an Excel or OpenDocument file; else its first.", examples=["Wave 2"]
    )
    range: Text | None = Field(
        default=None,
        description="The cells of the sheet that are the table, header included; else all that are used.",
        examples=["B3:F200", "A:D"],
    )
    table: Text | None = Field(
        default=None,
        description="The table or view of an SQLite or DuckDB file; not needed where it holds only one.",
        examples=["answers"],
    )

    @field_validator("source")
    @classmethod
    def _readable_source(cls, source: str | None) -> str | None:
        if source is None:
            return None
        suffix = PurePosixPath(urlsplit(source).path if is_address(source) else source).suffix.lower()
        if suffix in later.SOURCES:
            raise refuse(f"{KEY}: a {suffix} file {later.NOT_YET} as source", later.SOURCES[suffix])
        if suffix not in SUFFIXES:
            raise refuse(
                f"{KEY}: the name of the table must end in .csv (columns separated by commas), .tsv (by tabs), .jsonl, "
                ".parquet, .xlsx, .xls, .ods, .dta, .sav, .sqlite, .db or .duckdb",
                "rename the file accordingly, or save it as CSV (UTF-8)",
            )
        if is_address(source):
            _check_address(source)
        return source

    @field_validator("query")
    @classmethod
    def _not_beside_a_source(cls, query: str | None, info: ValidationInfo) -> str | None:
        if query is not None and info.data.get("source") is not None:
            raise refuse(
                "both `source` and `query` are given",
                "keep one of the two; a query names its files itself: select * from 'people.csv'",
                at_key=True,
            )
        return query

    @field_validator("run")
    @classmethod
    def _something_is_named(cls, run: str | None, info: ValidationInfo) -> str | None:
        if not {"source", "query"} <= info.data.keys():
            return run  # what is there has a fault of its own
        if run is not None and info.data["source"] is not None:
            raise refuse("both `source` and `run` are given", "keep one of the two", at_key=True)
        if run is None and info.data["source"] is None and info.data["query"] is None:
            raise refuse(
                "`data` names no table: neither `source` nor `query` nor `run` is given", "add e.g. source: people.csv"
            )
        return run

    @field_validator(*_FOR)
    @classmethod
    def _of_this_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or not {"source", "query", "run"} <= info.data.keys():
            return value
        wanted = _FOR[str(info.field_name)]
        source = info.data["source"]
        fits = info.field_name == "encoding" if source is None else kind_of(source) == wanted
        if not fits or (source is None and info.data["query"] is None):
            what = "the results of a run" if source is None else f"`{source}`"
            what = "a query" if info.data["query"] is not None else what
            remedy = "remove the line"
            if info.data["query"] is not None and info.field_name in _IN_QUERIES:
                remedy = f"name it in the query, behind the file: {_IN_QUERIES[info.field_name]}"
            raise refuse(f"{KEY} is for {_CALLED[wanted]}, not for {what}", remedy, at_key=True)
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | None) -> str | None:
        if encoding is None:
            return None
        try:
            codecs.lookup(encoding)
            "".encode(encoding)  # refuses codecs that are none of text
        except (LookupError, ValueError):
            raise refuse(
                f"{KEY}: there is no encoding {encoding!r}", "write e.g. windows-1252, latin-1, utf-16 or mac-roman"
            ) from None
        return encoding

    @field_validator("range")
    @classmethod
    def _cells(cls, cells: str | None) -> str | None:
        if cells is not None and not re.fullmatch(RANGE, cells):
            raise refuse(f"{KEY} must name cells, not {cells!r}", "write e.g. B3:F200, or A:D for whole columns")
        return cells


def _check_address(source: str) -> None:
    """Refuse an address that carries a secret, and one that is a pattern."""
    parts = urlsplit(source)
    secret = parts.password or any(re.search(_SIGNED, name) for name, _ in parse_qsl(parts.query))
    if secret or (parts.username and parts.scheme in {"http", "https", "ftp"}):
        raise refuse(
            f"{KEY}: the address carries a password or a signature, which would be copied with this file",
            "leave it out; the library for such addresses takes credentials from the environment",
        )
    if "*" in source:
        raise refuse(f"{KEY}: a pattern in an address {later.NOT_YET}", "name one file, or download them first")
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise refuse(f"{KEY}: what comes by http:// may be changed on its way", "write https://")
