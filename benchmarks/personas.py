"""A deterministic table like the deck's personas: any number of rows, written as a stream; 3 % of them are nasty."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

HEADER: Final = "ID,Age,College,Description\n"
CHUNK: Final = 10_000
PERIOD: Final = 100  # of so many rows in a sequence, those at NASTY_PLACES are nasty
NASTY_PLACES: Final = (7, 41, 83)
_SPREAD: Final = 2_654_435_761  # Knuth's multiplier: neighbours get unlike persons

_FIRST: Final = ("Hank", "David", "Maria", "Aaron", "Wei", "Fatima", "Michael", "Olga", "Juan", "Priya", "Grace")
_LAST: Final = ("Rodriguez", "Carter", "Lee", "Nguyen", "Smith", "Okafor", "Petrov", "Garcia", "Kim", "Brown")
_GROUP: Final = ("black", "caucasian", "hispanic", "asian")
_WORK: Final = ("architect", "nurse", "bartender", "teacher", "lawyer", "mechanic", "farmer", "actor", "chemist")
_LIKES: Final = ("Star Wars", "medieval history", "travel", "chess", "cooking", "long walks", "jazz", "gardening")
_NASTY: Final = (
    ' and says "hi" to everyone, "always"',
    " and works in C:\\temp\\new \\ or \\u0041",
    "\nand writes\r\nin several lines",
    " and comes from Köln, née Müller, ça va",
    " and signs with 🙂 𝄞 ☃ and \u2028 between",
    " and rings\a, escapes\x1b and tabs\t about\x7f",
)


def persona(number: int) -> str:
    """The description of a row; rows count from 1."""
    mixed = (number * _SPREAD) & 0xFFFFFFFF
    words = (
        f"{_FIRST[mixed % 11]} {_LAST[(mixed >> 4) % 10]} is a {age(number)} year old {_GROUP[(mixed >> 8) % 4]} "
        f"{_WORK[(mixed >> 11) % 9]} who enjoys {_LIKES[(mixed >> 15) % 8]}"
    )
    return words + (_NASTY[number // PERIOD % len(_NASTY)] if nasty(number) else "") + "."


def age(number: int) -> int:
    return 18 + number % 70


def nasty(number: int) -> bool:
    return number % PERIOD in NASTY_PLACES


def lines(first: int, last: int) -> Iterator[str]:
    """Rows of the table, from `first` up to and without `last`."""
    for number in range(first, last):
        text = persona(number)
        if nasty(number):
            text = '"' + text.replace('"', '""') + '"'
        yield f"{number},{age(number)},{'Yes' if number % 3 else 'No'},{text}\n"


def write_table(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as table:
        table.write(HEADER)
        for first in range(1, rows + 1, CHUNK):
            table.write("".join(lines(first, min(first + CHUNK, rows + 1))))
