"""Bodies of answers whose text DuckDB finds in their lines as it is made of them here (sinks/plain.py)."""

import json
import re
from typing import Any, Final

from batchflow.plan.bodies import MOST_BEYOND, OTHERWISE
from batchflow.results.reading import members

_OTHERWISE: Final = re.compile(OTHERWISE)


def is_plain(record: bytes, body: Any) -> bool:
    """Whether the text of an answer's body is the same either way. No name of the record may stand twice: of one that
    does, only the last value is known here.
    """
    try:
        text = _write(body)
        _NAMES.decode(record.decode())
    except ValueError:  # a number beyond all; half characters; a name twice
        return False
    return _OTHERWISE.search(text) is None and (text.isascii() or len(text.encode()) <= len(text) + MOST_BEYOND)


_write: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_NAMES: Final = json.JSONDecoder(object_pairs_hook=members)
