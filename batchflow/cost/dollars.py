"""Dollars as people read them."""

import math
from typing import Final

_CENT: Final = 0.01
_DOLLAR: Final = 1


def usd(amount: float, *, up: bool = False) -> str:
    """Two digits or more of what is small; up: never less than the amount, for what is said to be the most."""
    if amount <= 0:
        return "$0"
    digits = 2 if amount >= _DOLLAR else 3 if amount >= _CENT else 1 - math.floor(math.log10(amount))
    scaled = amount * 10**digits
    whole = math.ceil(scaled - 1e-9) if up else round(scaled)
    return f"${whole / 10**digits:,.{digits}f}"
