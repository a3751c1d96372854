"""Which of the possible conditions a row gets where each gets one: by hash, so that what other rows there are, and in
which order, changes nothing.
"""

import hashlib
from collections.abc import Sequence

from batchflow.design.conditions import Condition


def pick(seed: int, row_id: str, possible: Sequence[Condition]) -> Condition | None:
    """The condition with the highest hash of seed, row id and condition; None where none is possible.

    A condition that is added or taken away changes the assignment only of rows that it wins or had.
    """
    return max(possible, key=lambda condition: _weight(seed, row_id, condition.text), default=None)


def _weight(seed: int, row_id: str, condition: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{row_id}\n{condition}".encode("utf-8", "surrogatepass")).digest()
