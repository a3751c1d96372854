"""One line of a batch's input file: its members, and the exact bytes of its body, which are what is asked."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchflow.identity import sha256_hex


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A parsed line; body_bytes is the slice of the line that holds the body (empty if there is none)."""

    members: dict[str, Any]
    body_bytes: bytes

    @property
    def body_sha256(self) -> str:
        return sha256_hex(self.body_bytes)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole lines of a file: (line number from 1, bytes without its end), blank ones left out."""

    lines: list[tuple[int, bytes]]
    line: int  # lines read so far, blank ones included
    offset: int  # bytes read so far
    ended: bool


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(written: str) -> float:
    value = float(written)
    if math.isinf(value):
        raise ValueError("a number that nothing can hold")  # it would be written as Infinity, which is not JSON
    return value


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_BLANK: Final = " \t\r\n"
_BLANKS: Final = re.compile(r"[ \t\r\n]*")


def parse_line(raw: bytes) -> RequestLine:
    """The line as members and body bytes; ValueError where it is not one JSON object in UTF-8."""
    try:
        return _parse(raw.decode())
    except (RecursionError, IndexError) as error:
        raise ValueError("not a JSON object") from error


def value_of(raw: bytes) -> Any:
    """The one JSON value of these bytes, read as strictly as a batch's lines are. ValueError."""
    try:
        return _DECODER.decode(raw.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_json(raw: bytes) -> bool:
    """Whether the bytes are one JSON value."""
    try:
        value_of(raw)
    except ValueError:
        return False
    return True


def is_text(value: str) -> bool:
    """Whether UTF-8 has bytes for it: JSON can write half a character, a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _skip(text: str, position: int) -> int:
    if text[position : position + 1] not in _BLANK:
        return position
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _parse(text: str) -> RequestLine:
    position = _expect(text, _skip(text, 0), "{")
    members: dict[str, Any] = {}
    body = ""
    while text[position] != "}":
        if members:
            position = _expect(text, position, ",")
        key, position = _DECODER.raw_decode(text, position)
        if not isinstance(key, str):
            raise ValueError("a key must be text")  # noqa: TRY004 - what callers catch
        start = _expect(text, _skip(text, position), ":")
        members[key], position = _DECODER.raw_decode(text, start)
        if key == "body":
            body = text[start:position]
        position = _skip(text, position)
    if _skip(text, position + 1) != len(text):
        raise ValueError("something follows the object")
    return RequestLine(members, body.encode())


def _expect(text: str, position: int, character: str) -> int:
    if text[position] != character:
        raise ValueError(f"{character} expected")
    return _skip(text, position + 1)


def read_chunk(path: Path, offset: int, line: int, limit: int) -> Chunk:
    """The next `limit` non-blank lines from a byte offset on; lines end at LF only."""
    found: list[tuple[int, bytes]] = []
    with path.open("rb") as handle:
        handle.seek(offset)
        for raw in _raw_lines(handle, limit, found):
            line += 1
            if stripped := raw.strip(b" \t\r\n"):
                found.append((line, stripped))
        position = handle.tell()
        return Chunk(found, line, position, ended=position >= path.stat().st_size)


def _raw_lines(handle: Any, limit: int, found: list[tuple[int, bytes]]) -> Iterator[bytes]:
    while len(found) < limit and (raw := handle.readline()):
        yield raw
