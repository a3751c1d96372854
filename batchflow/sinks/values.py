"""Answers as DuckDB takes them: in chunks that fit into memory, with values that it can store."""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from batchflow.errors import redactor
from batchflow.sinks.connection import MEMORY
from batchflow.sinks.model import BadLine, BatchRow, ResponseRow, TypedRow

_CHUNK_ROWS: Final = 1000
_CHUNK_BYTES: Final = 8_000_000
_WORDS: Final = ("error_code", "error_message", "finish_reason", "model_answered", "system_fingerprint")
_ANSWER: Final = ("content", "refusal")
_COLUMNS: Final = ResponseRow._fields.index("body")  # those that are stored as they are
_VECTOR: Final = 2048  # rows whose long texts DuckDB holds in memory together, whatever its limit
_STEP: Final = 32_000_000
_LARGEST: Final = 2**63
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class Chunk(NamedTuple):
    """Some answers, and the bytes of memory that DuckDB needs to store all up to them."""

    rows: list[ResponseRow]
    room: int


def chunks(answers: Iterable[ResponseRow]) -> Iterator[Chunk]:
    """Few rows at a time, fewer if their texts are long: memory must not follow the length of answers."""
    rows: list[ResponseRow] = []
    size = window = widest = 0
    sizes: deque[int] = deque()
    for answer in answers:
        rows.append(answer)
        texts = _bytes(answer.content)  # typed values are about as long as the text that they come from
        sizes.append(texts + _bytes(answer.body) + (0 if answer.typed is None else texts))
        size += sizes[-1]
        window += sizes[-1] - (sizes.popleft() if len(sizes) > _VECTOR else 0)
        widest = max(widest, window)
        if len(rows) >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
            yield Chunk(rows, _room(widest))
            rows, size = [], 0
    if rows:
        yield Chunk(rows, _room(widest))


def _room(widest: int) -> int:
    return MEMORY + _STEP * (2 * widest // _STEP)


def _bytes(text: str | None) -> int:
    if text is None:
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Storer:
    """Rows as DuckDB takes them, without secrets: one odd character or number must not cost a shard.

    Of the model's own words only the values of secrets in the environment are taken out, nothing that merely looks like
    a key. Built once per shard: to look through the environment takes longer than to clean a text.
    """

    def __init__(self) -> None:
        self._words, self._answer = redactor(), redactor(forms=False)
        cleaners = dict.fromkeys(_WORDS, self._words) | dict.fromkeys(_ANSWER, self._answer)
        self._cleaners = [cleaners.get(name) for name in ResponseRow._fields[:_COLUMNS]]

    def response(self, row: ResponseRow) -> tuple[Any, ...]:
        pairs = zip(self._cleaners, row[:_COLUMNS], strict=True)
        cleaned = [clean(value) if clean and isinstance(value, str) else value for clean, value in pairs]
        body = None if row.body is None else _storable_json(self._body(row.body))
        return (*map(_storable_value, cleaned), body)

    def typed(self, rows: Iterable[ResponseRow]) -> Iterator[TypedRow]:
        """The typed answers among the rows."""
        for row in rows:
            if row.typed is not None:
                yield TypedRow(row.custom_id, tuple(self._value(value) for value in row.typed))

    def _value(self, value: Any) -> Any:
        """A typed value; a number that is a secret is not there at all, its column takes no text."""
        if isinstance(value, dict):
            return {name: self._value(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._value(member) for member in value]
        if isinstance(value, str):
            return _storable_value(self._answer(value))
        text = json.dumps(value)
        return value if self._answer(text) == text else None

    def bad(self, line: BadLine) -> BadLine:
        """What is no result may be anything."""
        return line._replace(
            text=_storable_value(self._words(line.text)), error=_storable_value(self._words(line.error))
        )

    def batch(self, row: BatchRow) -> BatchRow:
        return row._replace(status=self._words(row.status))

    def _body(self, text: str) -> str:
        """A secret made of digits may stand there as a number: what is left must be JSON."""
        if self._answer(text) == text:
            return text
        try:
            return json.dumps(self._cleaned(json.loads(text)), ensure_ascii=False, separators=(",", ":"))
        except (ValueError, RecursionError):
            return json.dumps(self._answer(text))

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._answer(name): self._cleaned(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._cleaned(member) for member in value]
        if isinstance(value, str):
            return self._answer(value)
        text = json.dumps(value)
        return value if self._answer(text) == text else self._answer(text)


def _storable_value(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return None
    return value


def _storable_json(text: str) -> str:
    """JSON that DuckDB takes for such: half a surrogate pair stays readable as the text of its escape."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    else:
        if not (_SURROGATE.search(text) or _SURROGATE_ESCAPE.search(text)):
            return text
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _SURROGATE.sub(lambda match: f"\\\\u{ord(match[0]):04x}", text)
