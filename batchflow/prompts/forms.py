"""The forms of personal data: mail addresses, phone numbers, numbers of accounts, cards and people."""

import re
from collections.abc import Iterator
from typing import Final

from batchflow.prompts.quick_look import CARD, FEWEST, IBAN, LONG, MAIL, PHONE, SSN, has_number

_MAIL: Final = re.compile(
    rb"@(?:[\w\x80-\xff](?:[\w\x80-\xff-]{0,61}[\w\x80-\xff])?\.)+[A-Za-z]{2,24}(?![\w\x80-\xff-])"
)
_BEFORE_AT: Final = re.compile(rb"[A-Za-z0-9._%+\x80-\xff-]")
# what may not stand before it is asked after the first character: so the search can jump from one such to the next
_IBAN: Final = re.compile(
    rb"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z][0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
# digits with what stands between them in phone numbers, not inside a word, a code, an address or a decimal number
_NUMBER: Final = re.compile(rb"[+(0-9](?<![\w#=/.,%&-][+(0-9])(?:[ ()./-]{0,3}[0-9]){7,19}(?![\w]|[.,/=_-][\w])")
_WHOLE: Final = re.compile(rb"^[0-9]{9,20}$", re.MULTILINE)
_DATE: Final = re.compile(
    rb"(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.] ?[0-9]{1,2}[-/.] ?(?:[0-9]{2}){1,2})\b"
)
_SSN: Final = re.compile(rb"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}")
_CARD: Final = re.compile(rb"[3-6][0-9]{3}([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|3[47][0-9]{2} ?[0-9]{6} ?[0-9]{5}")
_PHONES: Final = re.compile(
    rb"\+[0-9(][0-9 ()./-]*"  # international
    rb"|00[1-9][0-9 ()./-]*"
    rb"|\(?0[1-9][0-9]{1,4}\)?[ /-]{1,3}[0-9]{2,8}(?:[ -][0-9]{2,8}){0,4}"  # with the 0 of a trunk line
    rb"|(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}"  # North American
)
_SAID: Final = re.compile(
    rb"(?:tel|telephone|telefon|phone|mobile|mobil|handy|cell|fax|whatsapp)\W{1,4}$", re.IGNORECASE
)
_MOST: Final = 15  # digits of a phone number with its country or area


def hits(text: bytes) -> Iterator[tuple[str, int]]:
    """Kind and place of everything in a text that has the form of personal data."""
    if b"@" in text:
        yield from ((MAIL, at.start()) for at in _MAIL.finditer(text) if _BEFORE_AT.match(text, at.start() - 1))
    if not has_number(text):
        return
    yield from ((LONG, at.start()) for at in _WHOLE.finditer(text))
    yield from ((IBAN, at.start()) for at in _IBAN.finditer(text) if _is_iban(at[0]))
    for at in _NUMBER.finditer(text):
        if kind := _kind(at[0], text[max(0, at.start() - 16) : at.start()]):
            yield kind, at.start()


def _kind(number: bytes, before: bytes) -> str:
    """What kind of number it is; empty: none of ours."""
    if _DATE.match(number):
        return ""
    digits = number.translate(None, b"+ ()./-")
    if _SSN.fullmatch(number):
        return SSN
    if _CARD.fullmatch(number) and _luhn(digits):
        return CARD
    enough = FEWEST <= len(digits) <= _MOST
    return PHONE if enough and (_PHONES.fullmatch(number) or _SAID.search(before)) else ""


def _is_iban(found: bytes) -> bool:
    text = found.replace(b" ", b"").decode()
    turned = text[4:] + text[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _luhn(digits: bytes) -> bool:
    numbers = [int(digit) for digit in reversed(digits.decode())]
    doubled = [sum(divmod(2 * number, 10)) for number in numbers[1::2]]
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0
