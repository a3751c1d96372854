"""Bodies of answers whose text DuckDB finds in their lines as it is made of them here (sinks/plain.py)."""

import json
import re
from typing import Any, Final

from batchflow.results.reading import members

# A control character, or half a pair; an escape beyond those of one letter; a number that may have an exponent, or more
# digits than a whole number of 64 bits.
_OTHERWISE: Final = re.compile("[\x7f\ud800-\udfff]|\\\\u|[:,\\[]-?(?:0\\.0000|[0-9]{17}|[0-9.]+e)")
_STRICT: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_NAMES: Final = json.JSONDecoder(object_pairs_hook=members)


def is_plain(record: bytes, body: Any) -> bool:
    """Whether the text of an answer's body is the same either way. No name of the record may stand twice: of one that
    does, only the last value is known here.
    """
    try:
        _NAMES.decode(record.decode())
        return _OTHERWISE.search(_STRICT.encode(body)) is None
    except ValueError:  # a number beyond all; half characters; a name twice
        return False
