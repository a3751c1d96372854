"""Ids as the real API forms them."""

import secrets
import string
from typing import Final

_ALPHANUMERICS: Final = string.ascii_letters + string.digits


def file_id() -> str:
    return "file-" + "".join(secrets.choice(_ALPHANUMERICS) for _ in range(22))


def batch_id(created: float) -> str:
    """The first 8 of the 32 hex digits are the second of creation."""
    return f"batch_{int(created):08x}{secrets.token_hex(12)}"


def bare(identity: str) -> str:
    """The id without the prefix that tells what it names, as some servers give them."""
    return identity.removeprefix("file-").removeprefix("batch_")


def request_id() -> str:
    return "req_" + secrets.token_hex(16)
