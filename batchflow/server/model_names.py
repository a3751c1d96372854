"""The name of the model that answers: marked as simulated, and dated, as the service answers for an alias."""

import re
from datetime import date, timedelta
from hashlib import sha256
from typing import Final

_DATED: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4,8})$")
_FIRST: Final = date(2024, 5, 13)
_DAYS: Final = 600


def answering(model: str) -> str:
    """`gpt-4o` is answered by `simulated/gpt-4o-2024-…`, always the same day; a name with a date stays as it is."""
    if _DATED.search(model):
        return f"simulated/{model}"
    day = _FIRST + timedelta(days=int.from_bytes(sha256(model.encode("utf-8", "replace")).digest()[:4]) % _DAYS)
    return f"simulated/{model}-{day.isoformat()}"
