"""What kinds of personal data are called, and a look at a text that costs little: most texts hold none."""

from typing import Final

MAIL: Final = "e-mail addresses"
PHONE: Final = "phone numbers"
IBAN: Final = "bank account numbers (IBAN)"
CARD: Final = "numbers of payment cards"
SSN: Final = "numbers like US social security numbers"
LONG: Final = "long numbers like an identifier"
NAMED: Final = "a column that is named like an identifier"
FEWEST: Final = 8  # digits of a number that is worth a look
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_BETWEEN: Final = b" ()./-"


def is_free(text: bytes, escapes: bytes = b"") -> bool:
    """Whether this look is enough: there is no @, and no run of digits that would do; escapes do not end a run."""
    return b"@" not in text and not has_number(text, escapes)


def has_number(text: bytes, escapes: bytes = b"") -> bool:
    """Whether there is a run of so many digits, whatever stands between them in numbers."""
    return b"0" * FEWEST in text.translate(_DIGITS, _BETWEEN + escapes)
