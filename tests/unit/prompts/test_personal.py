"""What has the form of personal data, and what only looks like it; told without the value."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchflow.identity import json_text
from batchflow.prompts.personal import Finding, Lint, warnings
from batchflow.prompts.quick_look import CARD, IBAN, LONG, MAIL, NAMED, PHONE, SSN
from batchflow.prompts.template import TextSlot


def look(cells: Sequence[str], *, column: str = "note", chunk: int = 3) -> tuple[Finding, ...]:
    lint = Lint([column])
    for first in range(0, len(cells), chunk):
        part = cells[first : first + chunk]
        watch = lint.watch(first + 1, [f"r{first + at}" for at in range(len(part))], range(len(part)))
        watch(TextSlot(column), [json_text(cell)[1:-1].encode() for cell in part])
    return lint.findings()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to Ann.Lee+x@mail.example.co.uk, please", MAIL),
        ("ann@example.org", MAIL),
        ("mail:\nöse@exämple.example.org", MAIL),
        ("call +49 30 1234567", PHONE),
        ("call\n+1 (212) 555-1234!", PHONE),
        ("(212) 555-1234", PHONE),
        ("212-555-1234 or mail", PHONE),
        ("212.555.1234", PHONE),
        ("at 030 1234567.", PHONE),
        ("0171/1234567", PHONE),
        ("(030) 1234567", PHONE),
        ("0049 176 12345678", PHONE),
        ("Phone: 5551234567", PHONE),
        ("SSN 123-45-6789", SSN),
        ("DE89 3704 0044 0532 0130 00", IBAN),
        ("pay to GB82WEST12345698765432 now", IBAN),
        ("card 4111 1111 1111 1111", CARD),
        ("card 3782 822463 10005", CARD),
    ],
)
def test_what_is_found(text: str, kind: str) -> None:
    found = look(["nothing", "at all", "here", "or here", text])
    assert [(each.kind, each.columns, each.rows, each.examples) for each in found] == [(kind, ("note",), 1, ("r4",))]


@pytest.mark.parametrize(
    "text",
    [
        "2001-02-03 10:11:12", "01/02/2026", "01.02.2026 - 03.04.2026", "20.10.2024 12:30-14:45", "06/2021-09/2021",
        "1990 2000 2010", "2019-2020, 2021-2022", "2020-2021-2022", "300 400 5000", "1 2 3 4 5 6 7 8 9 10",
        "978-3-16-148410-0", "ISBN 9783161484100", "10.1038/s41586-020-2649-2", "https://x.org/a/123456789012",
        "1,234,567,890", "12345678.90", "3.14159265358979", "48.137154, 11.576124", "192.168.100.200", "v1.2.3.4.5.6.7",
        "€ 12 000 000 000", "@handle", "x@y", "a @ b.c", "me@home", "4111 1111 1111 1112",
        "DE88 3704 0044 0532 0130 00",
        "000-12-3456", "item 123456789012", "3f9c2a7100000000", "#123456789", "00000000", "(1) 2 (3) 4 5 6 7 8",
    ],
)  # fmt: skip
def test_what_only_looks_like_it(text: str) -> None:
    assert look([f"see {text}", text + " etc", f"({text})"]) == ()


def test_columns_of_identifiers() -> None:
    ids = [f"{number:011d}" for number in range(10_000_000_007, 10_000_000_027)]
    (found,) = look([*ids, ""])
    assert (found.kind, found.rows, found.examples) == (LONG, 20, ("r0", "r1", "r2"))
    assert look([*ids, *["none"] * 10]) == ()  # a few of many
    assert look([str(10 ** (8 + at % 5)) for at in range(20)]) == ()  # amounts are of any length
    assert look([str(1_700_000_000 + at) for at in range(20)]) == ()  # seconds since 1970
    assert [each.kind for each in look(["A1"], column="Passport-No.")] == [NAMED]
    assert look(["A1"], column="passports issued") == ()
    assert look(["A1"], column="E-mail text") == ()


def test_rows_are_counted_once_and_named_by_what_may_be_told() -> None:
    lint = Lint(["a", "b"])
    for rows in ([0, 1], [1]):  # two conditions
        watch = lint.watch(1, ["x@example.org", "r2"], rows)
        watch(TextSlot("a"), [b"x@example.org and y@example.org"] * len(rows))
        watch(TextSlot("factor"), [b"z@example.org"] * len(rows))
    (found,) = lint.findings()
    assert (found.rows, found.examples) == (2, ("row 1", "r2"))
    assert list(warnings([found])) == [
        "prompts hold e-mail addresses: column 'a', in 2 rows, e.g. row 1, r2",
        "personal data: leave it out, or mask it in the table; `data: {lint: false}` where it must be sent",
    ]


def test_the_templates_own_text() -> None:
    lint = Lint(["a"])
    lint.template([b'{"content":"Write to lab@example.org about ', b'"}'])
    assert [each.words() for each in lint.findings()] == [
        "the template's own text holds e-mail addresses, so every prompt does"
    ]


@given(st.lists(st.text(max_size=12), max_size=8), st.integers(0, 7), st.integers(1, 4))
def test_in_whatever_company_and_never_the_value(texts: list[str], at: int, chunk: int) -> None:
    at = min(at, len(texts))
    cells = [*texts[:at], "  secret.person@example.org ", *texts[at:]]
    found = [each for each in look(cells, chunk=chunk) if each.kind == MAIL]
    assert len(found) == 1
    assert f"r{at}" in found[0].examples or found[0].rows > 3
    assert "secret" not in repr(found)
