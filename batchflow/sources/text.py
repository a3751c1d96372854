"""The text of every value that is not text already: the one place that decides how a cell is written.

Whole numbers have no `.0`, truth values are `true` and `false`, dates and times are ISO 8601, bytes are Base64, lists
and structures are JSON. What is no value (NULL, NaN) is missing. `of_value` says so for values that Python reads,
`in_sql` for those that DuckDB reads.
"""

import math
import re
import struct
from base64 import b64encode
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from batchflow.identity import JsonNumber, json_bytes

_WHOLE: Final = 1e15  # whole numbers up to here are shown without an exponent, as DuckDB shows them
_NESTED: Final = re.compile(r"\]$|^(STRUCT|MAP|UNION|VARIANT|ROW)\b")


def of_value(value: Any, *, single: bool = False) -> str | None:
    """A value as the text of its cell; None where it is missing. single: a float has single precision (Stata)."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, JsonNumber):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _of_float(value, single=single)
    return _of_other(value)


def _of_other(value: Any) -> str:
    match value:
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return _of_duration(value)
        case bytes() | bytearray() | memoryview():
            return b64encode(bytes(value)).decode()
        case Mapping() | list() | tuple():
            return json_bytes(value).decode()
        case _:
            return str(value)


def _of_float(value: float, *, single: bool) -> str | None:
    if math.isnan(value):
        return None
    if value.is_integer() and abs(value) < _WHOLE:
        return str(int(value))
    return _shortest_single(value) if single else repr(value)


def _shortest_single(value: float) -> str:
    """The shortest decimal that is this number in single precision: 0.1 and not 0.10000000149011612."""
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == value:
            return text
    return f"{value:.9g}"


def _of_duration(value: timedelta) -> str:
    """Hours, minutes and seconds: 30:00:00."""
    sign = "-" if value < timedelta() else ""
    seconds, rest = divmod(abs(value), timedelta(seconds=1))
    text = f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return text + (f".{rest.microseconds:06d}" if rest else "")


def in_sql(expression: str, kind: str) -> str:
    """The SQL that makes a cell's text of an expression of this type, as DESCRIBE names it."""
    plain = f"CAST({expression} AS VARCHAR)"
    if kind == "VARCHAR":
        return expression
    if kind in {"FLOAT", "DOUBLE"}:
        return f"CASE WHEN NOT isnan({expression}) THEN regexp_replace({plain}, '\\.0$', '') END"
    if kind == "BLOB":
        return f"to_base64({expression})"
    if _NESTED.search(kind):
        return f"CAST(to_json({expression}) AS VARCHAR)"
    return plain
