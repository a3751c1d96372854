"""Text of the formats that schemas name: making it, and telling whether some text has it."""

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from batchflow.server.dice import Stream

_FIRST_DAY: Final = date(2020, 1, 1)
_DAYS: Final = 2_400
_WORDS: Final = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "indigo", "juniper")
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"{_NAME}(?:\.{_NAME})*"
_DATE: Final = r"\d{4}-\d{2}-\d{2}"
_TIME: Final = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_DURATION: Final = (
    r"P(?=.)(?:\d+W|(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?"
    r"(?:T(?=.)(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)"
)


def _date(stream: Stream) -> str:
    return (_FIRST_DAY + timedelta(days=stream.below(_DAYS))).isoformat()


def _time(stream: Stream) -> str:
    return f"{stream.below(24):02}:{stream.below(60):02}:{stream.below(60):02}Z"


def _email(stream: Stream) -> str:
    if stream.chance(8):
        return f"{stream.pick(_WORDS)[0]}@b.co"  # a short one, where little room is left
    return f"{stream.pick(_WORDS)}.{stream.pick(_WORDS)}{stream.below(100)}@example.com"


def _host(stream: Stream) -> str:
    return (
        f"{stream.pick(_WORDS)[0]}.co" if stream.chance(8) else f"{stream.pick(_WORDS)}{stream.below(100)}.example.com"
    )


def _uuid(stream: Stream) -> str:
    digits = f"{stream.below(1 << 128):032x}"
    digits = f"{digits[:12]}4{digits[13:16]}{stream.pick('89ab')}{digits[17:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _uri(stream: Stream) -> str:
    return f"https://{_host(stream)}" + ("" if stream.chance(4) else f"/{stream.pick(_WORDS)}/{stream.below(1000)}")


def _ipv6(stream: Stream) -> str:
    return "2001:db8::" + ":".join(f"{stream.between(1, 0xFFFF):x}" for _ in range(4))


_MADE: Final[dict[str, Callable[[Stream], str]]] = {
    "date": _date,
    "time": _time,
    "date-time": lambda stream: f"{_date(stream)}T{_time(stream)}",
    "duration": lambda stream: f"P{stream.between(1, 30)}D" if stream.chance(2) else f"PT{stream.between(1, 90)}M",
    "email": _email,
    "hostname": _host,
    "uuid": _uuid,
    "uri": _uri,
    "ipv4": lambda stream: f"192.0.2.{stream.between(1, 254)}",
    "ipv6": _ipv6,
}


def _is_date(text: str) -> bool:
    try:
        return re.fullmatch(_DATE, text, re.ASCII) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _is_date_time(text: str) -> bool:
    day, mark, moment = text[:10], text[10:11], text[11:]
    if mark not in ("T", "t") or not _is_date(day) or not re.fullmatch(_TIME, moment, re.ASCII):
        return False
    return datetime.fromisoformat(f"{day}T{moment[:8]}").replace(tzinfo=UTC) is not None


def _is_address(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return str(kind(text)) is not None and "%" not in text
        except ValueError:
            return False

    return check


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "date": _is_date,
    "time": _matches(_TIME),
    "date-time": _is_date_time,
    "duration": _matches(_DURATION),
    "email": _matches(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_HOST}"),
    "hostname": lambda text: len(text) <= 253 and _matches(_HOST)(text),  # noqa: PLR2004 - by the standard
    "uuid": _matches(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
    "uri": _matches(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*"),
    "ipv4": _is_address(ipaddress.IPv4Address),
    "ipv6": _is_address(ipaddress.IPv6Address),
}

FORMATS: Final = tuple(_MADE)


def of_format(name: str, stream: Stream) -> str | None:
    """Some text of the format; None where the format is not known, and so asks for nothing."""
    make = _MADE.get(name)
    return make(stream) if make else None


def has_format(text: str, name: str) -> bool:
    """Whether text has a format; any text has an unknown one."""
    return _CHECKS[name](text) if name in _CHECKS else True
