"""What makes two requests the same: body bytes, scope, draw; and the fingerprint of a run. Design.md section 5.

Nothing here is ever sorted: the order in which an author wrote keys changes what models answer. A change of any
function here changes what is bought; IDENTITY_VERSION guards that, a golden file pins it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

IDENTITY_VERSION: Final = 1
FINGERPRINT_DIGITS: Final = 8

# What answers inside the local server; raise the version when the same request would get another answer.
LOCAL_RESPONDER: Final = "simulate"
LOCAL_RESPONDER_VERSION: Final = 1

# JSON escapes U+0000-U+001F by itself. DEL, the C1 controls (U+0085 among them), the line separators and lone
# surrogates are escaped as well: servers were seen to split lines at them, and the API decodes them at no cost.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class JsonNumber(float):
    """A number that is written as its author wrote it: `1.0` stays `1.0`, `1e3` stays `1e3`."""

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


def json_text(text: str) -> str:
    """The text as a JSON string, quotes included: valid for any text, on one line for any reader."""
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def doubled(pairs: Sequence[tuple[str, Any]]) -> str:
    """The first name that stands a second time among the members of an object. Errors: ValueError where none does."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name stands twice")


def json_bytes(value: Any) -> bytes:
    """The value as compact JSON in UTF-8: author's key order, numbers as written, separators `,` and `:`."""
    return "".join(_pieces(value)).encode()


def _pieces(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield json_text(value)
    elif isinstance(value, JsonNumber):
        yield value.text
    elif isinstance(value, Mapping):
        for position, (key, member) in enumerate(value.items()):
            yield "," if position else "{"
            yield json_text(key)
            yield ":"
            yield from _pieces(member)
        yield "}" if value else "{}"
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for position, member in enumerate(value):
            yield "," if position else "["
            yield from _pieces(member)
        yield "]" if value else "[]"
    else:
        yield json.dumps(value, allow_nan=False)


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def scope_of(provider: str, host: str, *, responder: str = "", responder_version: int = 0, seed: int = 0) -> str:
    """Who is asked, as canonical text. Answers never cross scopes. The host stands without port; a local provider
    also names its responder, that responder's version and its seed.
    """
    parts = [provider, host]
    if responder:
        parts += [responder, f"v{responder_version}", f"seed{seed}"]
    return "/".join(parts)


def request_key(scope: str, endpoint: str, body_sha256: str, draw: int) -> str:
    """Identity of what is bought: sha256 over scope, endpoint, the hash of the body bytes, and the draw (from 1).

    `KEY` in sources/maps.py is the same definition for a whole table of requests.
    """
    return sha256_hex(f"{IDENTITY_VERSION}\n{scope}\n{endpoint}\n{body_sha256}\n{draw}".encode())


def sha256_hexes(contents: Iterable[bytes]) -> list[bytes]:
    """The same of many, as ASCII."""
    sha256 = hashlib.sha256
    return [sha256(content).hexdigest().encode() for content in contents]


def custom_id(row_number: int, condition: int, replicate: int, fingerprint: str) -> str:
    """`0000123-1-1-3f9c2a71`: unique without a check, sortable, and nothing of the row leaves in it."""
    return custom_ids(condition, replicate, fingerprint) % row_number


def custom_ids(condition: int, replicate: int, fingerprint: str) -> str:
    """What a row number is put into (by `%`) for its custom_id."""
    return f"%07d-{condition}-{replicate}-{fingerprint[:FINGERPRINT_DIGITS]}"


def fingerprint(scope: str, shaping: Mapping[str, Any], content: Mapping[str, str]) -> str:
    """Identity of a run: sha256 over identity version, scope, the request-shaping keys of the spec (defaults left
    out) and the hashes of what they name (template, rows). Here alone keys are sorted: the spec's own keys carry no
    meaning in their order; values that reach a body are hashed as bytes inside `content`.
    """
    canonical = {
        "identity": IDENTITY_VERSION,
        "scope": scope,
        "shaping": {key: json_bytes(shaping[key]).decode() for key in sorted(shaping)},
        "content": {key: content[key] for key in sorted(content)},
    }
    return sha256_hex(json_bytes(canonical))
