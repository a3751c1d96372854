"""The exception tree as it is drawn, what a person reads of it, and what is never written."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchflow import errors
from batchflow.errors import BatchflowError, ExitStatus, Fault, InvalidInput, ProviderRefused, escape_controls, redact


def everything(base: type[BatchflowError]) -> Iterator[type[BatchflowError]]:
    yield base
    for derived in base.__subclasses__():
        yield from everything(derived)


CLASSES = [found for found in everything(BatchflowError) if found.__module__ == "batchflow.errors"]


def drawn() -> dict[str, tuple[str | None, int | None]]:
    """Name -> (name of the base, exit status) as the docstring of the module shows them."""
    found: dict[str, tuple[str | None, int | None]] = {}
    bases: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(
            r"^(?P<lead>(?:[│ ] {3})*(?:[├└]── )?)(?P<name>[A-Z][A-Za-z]+_?)(?: +(?P<exit>\d+) |  |$)", line
        )
        if match is None:
            continue
        depth = len(match["lead"]) // 4
        bases[depth:] = [match["name"]]
        found[match["name"]] = (bases[depth - 1] if depth else None, int(match["exit"]) if match["exit"] else None)
    return found


def test_every_class_is_drawn_under_its_base() -> None:
    tree = drawn()
    assert {found.__name__ for found in CLASSES} == set(tree)
    for found in CLASSES:
        base, _ = tree[found.__name__]
        assert base == (None if found is BatchflowError else found.__bases__[0].__name__)


def test_no_other_module_adds_to_the_tree() -> None:
    names = {found.__name__ for found in CLASSES}
    for path in Path(errors.__file__).parent.rglob("*.py"):
        if path.name != "errors.py":
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.ClassDef):
                    assert not names & {ast.unparse(base).rpartition(".")[2] for base in node.bases}, (path, node.name)


def test_every_class_exits_as_it_is_drawn() -> None:
    tree = drawn()
    assert sum(status is not None for _, status in tree.values()) >= 8
    for found in CLASSES:
        shown = tree[found.__name__][1]
        inherited = BatchflowError.exit_status if found is BatchflowError else found.__bases__[0].exit_status  # type: ignore[attr-defined]
        assert found.exit_status == (inherited if shown is None else ExitStatus(shown))


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [found.code for found in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert all("code" in vars(found) for found in CLASSES), "an inherited code names another error"


def test_an_error_reads_code_message_hint() -> None:
    assert errors.UsageError("no such run", hint="see `batchflow runs`").text() == (
        "error[usage]: no such run\n\nhint: see `batchflow runs`"
    )
    assert errors.UsageError("no such run").text() == "error[usage]: no such run"


def test_faults_are_counted_and_shown_one_by_one() -> None:
    first, second = Fault("a.yaml", "bad", "mend it", 1, 2, "x: 1"), Fault("b.csv", "gone", "")
    text = InvalidInput([first, second]).text()
    assert text.startswith("error[invalid-input]: 2 faults found, nothing was sent\n\na.yaml:1:2: bad\n")
    assert text.endswith("\n\nb.csv: gone")
    assert "1 fault found" in InvalidInput([first]).text()


def caret(text: str) -> str:
    """The character above the caret of a fault's excerpt."""
    lines = text.splitlines()
    under = next(index for index, line in enumerate(lines) if line.endswith("^"))
    return lines[under - 1][lines[under].index("^")]


@pytest.mark.parametrize("column", [1, 2, 50, 51, 60, 99, 100, 101, 150, 299, 300])
def test_the_caret_stands_under_its_column_however_long_the_line(column: int) -> None:
    line = "".join(chr(0x4E00 + index) for index in range(300))
    text = Fault("f", "c", "r", 7, column, line).text()
    assert caret(text) == line[column - 1]
    assert max(map(len, text.splitlines())) < 120


def test_the_caret_stands_right_after_a_tab() -> None:
    assert caret(Fault("f", "c", "r", 1, 3, "\t\tX").text()) == "X"


def test_an_excerpt_cannot_move_the_terminal() -> None:
    assert "\x1b" not in Fault("f", "c", "r", 1, 1, "\x1b[2J").text()


def test_a_fault_without_place_or_remedy_is_one_line() -> None:
    assert Fault("f", "c", "").text() == "f: c"
    assert Fault("f", "c", "r", 3).text() == "f:3: c\n      remedy: r"


KEY = "sk-proj-abcDEF123_-456"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {KEY}!", "key [redacted]!"),
        (f'{{"key":"{KEY}"}}', '{"key":"[redacted]"}'),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
        ("authorization: bearer abc, more", "authorization: bearer [redacted], more"),
        ("sk-short and task-management-office stay", "sk-short and task-management-office stay"),
    ],
)
def test_keys_and_tokens_are_recognised_by_their_form(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("name", ["X_API_KEY", "OPENAI_ADMIN_KEY", "A_SECRET", "HF_TOKEN", "DB_PASSWORD", "my_api_key"])
def test_secrets_of_the_environment_are_recognised_by_their_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "correct horse battery")
    assert redact("<correct horse battery>") == "<[redacted]>"
    assert "horse" not in ProviderRefused("no: correct horse battery", status=401, hint="correct horse battery").text()


def test_other_and_very_short_values_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SETTING", "plainly visible")
    monkeypatch.setenv("SHORT_API_KEY", "yes")
    assert redact("yes, plainly visible") == "yes, plainly visible"


@pytest.mark.parametrize("names", [("A_API_KEY", "B_API_KEY"), ("B_API_KEY", "A_API_KEY")])
def test_a_secret_that_begins_with_another_leaves_no_rest(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    short, long = names
    monkeypatch.delenv(short, raising=False)
    monkeypatch.setenv(short, "abcdefgh")
    monkeypatch.setenv(long, "abcdefgh-the-rest")
    assert redact("abcdefgh-the-rest abcdefgh") == "[redacted] [redacted]"


def test_controls_are_shown_and_tab_and_newline_stay() -> None:
    assert escape_controls("a\tb\nc") == "a\tb\nc"
    assert escape_controls("\x00\x1b[31m\r\x7f\x85\x9b") == "\\x00\\x1b[31m\\x0d\\x7f\\x85\\x9b"
    assert escape_controls("\u2028\u202e\u2066") == "\\u2028\\u202e\\u2066"
    assert escape_controls("Grüße 😀") == "Grüße 😀"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "", True),
        (403, "", True),
        (429, "insufficient_quota", True),
        (429, "rate_limit_exceeded", False),
        (400, "", False),
    ],
)
def test_what_only_a_person_can_mend(status: int, code: str, expected: bool) -> None:
    assert ProviderRefused("no", status=status, provider_code=code).needs_human is expected


def test_empty_values_are_left_out_of_the_context() -> None:
    assert errors.context_line({"run": "a", "batch": "", "shard": None, "tries": 0}) == "run=a, tries=0"
