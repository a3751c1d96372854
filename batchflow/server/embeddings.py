"""The simulated `/v1/embeddings`: unit vectors, the same for the same text, nearer to each other the more words two
texts have in common.
"""

import re
import struct
from base64 import b64encode
from collections.abc import Mapping
from hashlib import shake_256
from math import sqrt
from typing import Any, Final

from batchflow.server.responder import Ask, Refused, Reply, World, size_of, tokens

_USUAL: Final = 1_536
_LARGE: Final = 3_072
_MOST_INPUTS: Final = 2_048
_PER_WORD: Final = 64  # places of a vector that a word touches
_NOISE: Final = 8.0  # how much smaller the part is that only this text has
_DECIMALS: Final = 8
_FORMATS: Final = ("float", "base64")
_WORD: Final = re.compile(r"\w+")


def reply(ask: Ask, world: World, created: int) -> Reply:  # noqa: ARG001 - every endpoint is called alike
    """The vectors of the input's texts; Refused where the real endpoint would refuse."""
    texts = _texts(ask.body.get("input"))
    size = _size(ask.body)
    encoding = ask.body.get("encoding_format", "float")
    if encoding not in _FORMATS:
        raise Refused(
            "Invalid value for 'encoding_format': use 'float' or 'base64'.", "encoding_format", "invalid_value"
        )
    salt = world.name + str(ask.body["model"]).encode(errors="replace")
    data: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        vector = unit_vector(text, size, salt)
        shown = b64encode(struct.pack(f"<{size}f", *vector)).decode() if encoding == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": shown})
    asked = sum(tokens(size_of(text)) for text in texts)
    usage = {"prompt_tokens": asked, "total_tokens": asked}
    body = {"object": "list", "data": data, "model": f"simulated/{ask.body['model']}", "usage": usage}
    return Reply(200, body, asked)


def unit_vector(text: str, size: int, salt: bytes) -> list[float]:
    """A vector of length 1 made from the words of a text."""
    noise = shake_256(salt + text.encode(errors="replace")).digest(size)
    vector = [(byte - 127.5) / 127.5 / _NOISE for byte in noise]
    for word in _WORD.findall(text.lower()):
        places = struct.unpack(f"<{_PER_WORD}H", shake_256(salt + word.encode(errors="replace")).digest(2 * _PER_WORD))
        for place in places:
            vector[(place >> 1) % size] += 1.0 if place & 1 else -1.0
    length = sqrt(sum(value * value for value in vector))
    return [round(value / length, _DECIMALS) for value in vector]


def _size(body: Mapping[str, Any]) -> int:
    most = _LARGE if "large" in str(body.get("model")) else _USUAL
    asked = body.get("dimensions")
    if asked is None:
        return most
    if type(asked) is not int or not 1 <= asked <= _LARGE:
        raise Refused(
            f"Invalid value for 'dimensions': expected an integer from 1 to {_LARGE}.", "dimensions", "invalid_value"
        )
    return asked


def _texts(given: Any) -> list[str]:
    """The inputs; tokens given as numbers are taken for words."""
    inputs = [given] if isinstance(given, str) or _is_tokens(given) else given
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= _MOST_INPUTS:
        raise _refused()
    texts = [" ".join(map(str, one)) if _is_tokens(one) else one for one in inputs]
    if not all(isinstance(text, str) and text for text in texts):
        raise _refused()
    return texts


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(token) is int for token in given)


def _refused() -> Refused:
    message = f"Invalid 'input': expected text, or an array of 1 to {_MOST_INPUTS:,} texts, none of them empty."
    return Refused(message, "input", "invalid_type")
