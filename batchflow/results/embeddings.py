"""The body of a /v1/embeddings answer: one vector, or several where the input was a list."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from math import isfinite
from struct import iter_unpack
from typing import Any, Final

from batchflow.results import reading
from batchflow.results.outcome import Answer, Outcome

_LARGEST: Final = 3.4e38
_BYTES: Final = 4  # of a number in a vector sent as base64: little-endian float32


def classify(custom_id: str, status: int, body: Mapping[str, Any]) -> Answer:
    """content: the vector as a JSON array, several as an array of arrays, in the order of the input."""
    vectors = _vectors(body.get("data"))
    content = None
    if vectors:
        content = reading.compact(vectors[0] if len(vectors) == 1 else vectors)
    return Answer(
        custom_id,
        Outcome.ANSWERED if content else Outcome.EMPTY,
        http_status=status,
        content=content,
        dimensions=len(vectors[0]) if vectors is not None and len(vectors) == 1 else None,
        model_answered=reading.text(body.get("model")),
        **reading.tokens(body),
        parsed=body,
    )


def _vectors(data: Any) -> list[list[float]] | None:
    """In the order of `index`; None where one of them is no vector: those left would be taken for others."""
    placed: list[tuple[int, list[float]]] = []
    for position, item in enumerate(data if isinstance(data, list) else []):
        index = reading.number(reading.mapping(item).get("index"))
        vector = _vector(reading.mapping(item).get("embedding"))
        if not vector:
            return None
        placed.append((position if index is None else index, vector))
    return [vector for _, vector in sorted(placed, key=lambda one: one[0])]


def _vector(value: Any) -> list[float] | None:
    if isinstance(value, str):
        return _unpacked(value)
    if not isinstance(value, list):
        return None
    return value if value and set(map(type, value)) <= {int, float} and _storable(value) else None


def _unpacked(value: str) -> list[float] | None:
    try:
        packed = b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(packed) % _BYTES:
        return None
    numbers = [number for (number,) in iter_unpack("<f", packed)]
    return numbers if numbers and _storable(numbers) else None


def _storable(numbers: list[float]) -> bool:
    """Whether a column of float32 holds them all."""
    try:
        return all(map(isfinite, numbers)) and min(numbers) >= -_LARGEST and max(numbers) <= _LARGEST
    except OverflowError:  # a whole number beyond all floats
        return False
