"""Durations and sizes as people write them: `60s`, `30d`, `200MB`."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from batchflow.spec.base import KEY, refuse

DURATION_PATTERN: Final = r"^(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(?:ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(?:kB|MB|GB|KiB|MiB)$"

_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
_BYTES: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20}
_HOUR: Final = Decimal(3600)
_DAY: Final = Decimal(86_400)
_MONTH: Final = 30 * _DAY
_SMALLEST_SIZE: Final = 1_000
_LARGEST_SIZE: Final = 200_000_000
_QUANTITY: Final = re.compile(r"^\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([^\s0-9]*)\s*$", re.ASCII)
_LONGEST: Final = 40  # more characters than any quantity has

# what people write for a unit, in lower case -> the unit
_SECONDS_MEANT: Final = {
    **dict.fromkeys(("sec", "secs", "second", "seconds", "s"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes", "m"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours", "h"), "h"),
    **dict.fromkeys(("day", "days", "d"), "d"),
    **dict.fromkeys(("msec", "millis", "millisecond", "milliseconds", "ms"), "ms"),
}
_BYTES_MEANT: Final = {
    **dict.fromkeys(("k", "kb"), "kB"),
    **dict.fromkeys(("m", "mb"), "MB"),
    **dict.fromkeys(("g", "gb"), "GB"),
    **dict.fromkeys(("ki", "kib"), "KiB"),
    **dict.fromkeys(("mi", "mib"), "MiB"),
}


def _quantity(value: Any, example: str) -> tuple[Decimal, str]:
    """Number and unit (empty if none) of what stands in the spec."""
    match = _QUANTITY.match(value) if isinstance(value, str) and len(value) <= _LONGEST else None
    if match is not None:
        return Decimal(match[1]), match[2]
    if isinstance(value, str):
        raise refuse(f"{KEY} is not a number with a unit", f"write a number and its unit, e.g. {example}")
    if value is None or isinstance(value, bool | dict | list):
        raise refuse(f"{KEY} has to be a number with a unit", f"write e.g. {example}")
    return Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value), ""


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def parse_duration(value: Any) -> float:
    """Seconds of `500ms`, `0.1s`, `60s`, `5m`, `1h`, `1d`; more than nothing, at most a day."""
    return _duration(value, _DAY, "a day")


def parse_long_duration(value: Any) -> float:
    """As `parse_duration`, up to 30 days."""
    return _duration(value, _MONTH, "30 days (30d)")


def parse_keeping(value: Any) -> int:
    """Whole seconds for which a file may be kept: from an hour to 30 days."""
    seconds = _seconds(value)
    if not _HOUR <= seconds <= _MONTH or seconds != seconds.to_integral_value():
        raise refuse(
            f"{KEY} is {value}; it must be a whole number of seconds, from an hour (1h) to 30 days (30d)",
            "write e.g. 1d",
        )
    return int(seconds)


def _duration(value: Any, longest: Decimal, in_words: str) -> float:
    seconds = _seconds(value)
    if not 0 < seconds <= longest:
        raise refuse(
            f"{KEY} is {_plain(seconds)} seconds; it must be more than 0 and at most {in_words}", "write e.g. 60s"
        )
    return float(seconds)


def _seconds(value: Any) -> Decimal:
    number, unit = _quantity(value, "60s")
    if not unit:
        raise refuse(f"{KEY} has no unit", f"write {_plain(number)}s for seconds (other units: ms, m, h, d)")
    if unit not in _SECONDS:
        meant = _SECONDS_MEANT.get(unit.lower())
        raise refuse(
            f"the unit `{unit}` of {KEY} is not known; units of time are ms, s, m, h, d",
            f"write {_plain(number)}{meant}" if meant else "write e.g. 500ms, 60s, 5m or 1h",
        )
    return number * _SECONDS[unit]


def parse_size(value: Any) -> int:
    """Bytes of `200MB`, `64KiB` or a plain whole number of bytes; from 1 kB to 200 MB."""
    number, unit = _quantity(value, "200MB")
    if not unit and (isinstance(value, str) or number != number.to_integral_value()):
        raise refuse(f"{KEY} has no unit", f"write {_plain(number)}MB, or a whole number of bytes without quotes")
    if unit and unit not in _BYTES:
        meant = _BYTES_MEANT.get(unit.lower())
        raise refuse(
            f"the unit `{unit}` of {KEY} is not known; units of size are kB, MB, GB, KiB, MiB",
            f"write {_plain(number)}{meant}" if meant else "write e.g. 200MB",
        )
    size = int(number * _BYTES.get(unit, 1))
    if not _SMALLEST_SIZE <= size <= _LARGEST_SIZE:
        raise refuse(f"{KEY} is {size} bytes; it must lie between 1kB and 200MB", "write e.g. 200MB")
    return size


def duration_text(seconds: float) -> str:
    """The duration as people write it: 60.0 -> `60s`, 0.1 -> `0.1s`, 93600.0 -> `26h`."""
    exact = Decimal(repr(seconds))
    return f"{_plain(exact / _HOUR)}h" if exact % _HOUR == 0 else f"{_plain(exact)}s"


def size_text(size: int) -> str:
    """The size in the largest decimal unit that says it exactly: 200000000 -> `200MB`."""
    for unit in ("GB", "MB", "kB"):
        if size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


_AS_TEXT: Final = (
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
)
Duration = Annotated[float, BeforeValidator(parse_duration), *_AS_TEXT]
LongDuration = Annotated[float, BeforeValidator(parse_long_duration), *_AS_TEXT]
Keeping = Annotated[int, BeforeValidator(parse_keeping), *_AS_TEXT]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(size_text, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": SIZE_PATTERN},
                {"type": "integer", "minimum": _SMALLEST_SIZE, "maximum": _LARGEST_SIZE},
            ]
        }
    ),
]
