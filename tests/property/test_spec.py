"""Whatever stands in an experiment file: a Spec or a SpecError with places inside the file, never anything else."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchflow.errors import SpecError
from batchflow.identity import json_bytes
from batchflow.spec.load import load_spec
from batchflow.spec.source_text import SourceText
from batchflow.spec.units import duration_text, parse_duration, parse_size, size_text

HEAD = "version: 1\nname: study\ndata: {source: people.csv}\nprompt: {user: Hello}\n"
UNPRINTABLE = {*range(0x20), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF} - {0x85}
SCALAR_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "experiment.yaml"


def quoted(text: str) -> str:
    """A double-quoted YAML scalar: escapes for what must be escaped, everything else as it is."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return (
        '"'
        + "".join(escapes.get(char) or (f"\\U{ord(char):08x}" if ord(char) in UNPRINTABLE else char) for char in text)
        + '"'
    )


def outcome(path: Path, content: bytes) -> SpecError | None:
    path.write_bytes(content)
    try:
        load_spec(path)
    except SpecError as error:
        return error
    return None


def check_places(error: SpecError | None, content: bytes) -> None:
    if error is None:
        return
    source = SourceText("x", content.decode(errors="replace").removeprefix("\ufeff"))
    lines = len(source._starts)
    assert error.faults
    assert error.text()
    for fault in error.faults:
        assert fault.cause
        assert fault.remedy
        if fault.line is not None:
            assert fault.column is not None
            assert 1 <= fault.line <= lines
            assert 1 <= fault.column <= len(source.line(fault.line)) + 1


@relaxed
@given(SCALAR_TEXT)
@example("a\u2028b\x85 c\u2029\n d\ufeff")
@example("sk-learn: {{ x }} # no comment \\d \0")
def test_any_text_survives_as_a_double_quoted_scalar(path: Path, text: str) -> None:
    path.write_text(f"{HEAD}parameters: {{a: {quoted(text)}, {quoted('k' + text)}: 1}}\n", encoding="utf-8", newline="")
    assert load_spec(path).experiment.parameters == {"a": text, "k" + text: 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SCALAR_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALAR_TEXT, inner, max_size=4),
    max_leaves=12,
)


@relaxed
@given(st.dictionaries(SCALAR_TEXT.filter(lambda key: "key" not in key.lower()), JSON, max_size=5))
def test_parameters_reach_the_body_as_the_json_they_are(path: Path, parameters: dict[str, Any]) -> None:
    body = json_bytes(parameters).decode()
    path.write_text(f"{HEAD}parameters: {body}\n", encoding="utf-8", newline="")
    assert json_bytes(load_spec(path).experiment.parameters).decode() == body


SNIPPETS = [
    *[
        "version: 1\n",
        "name: a\n",
        "data:\n",
        "  source: a.csv\n",
        "prompt:\n",
        "  user: ",
        "provider: ",
        "limits: ",
        "polling:",
    ],
    *[
        "{{ X }}",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "#",
        "'",
        '"',
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "!!x ",
        "<<: ",
        "?",
    ],
    *[
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "1e5",
        ".inf",
        "~",
        "yes",
        "true",
        "0x1",
        "é",
        "\u2028",
        "\x85",
        "\r\n",
        "\r",
        "\\",
        "😀",
    ],
    *[
        "{name: ",
        "settle: ",
        "5m",
        "base_url: https://u:p@h",
        "api_key: x",
        "@",
        "`",
        "<<<<<<< a\n",
        ">>>>>>> b\n",
        ",",
        "\ufeff",
    ],
]


@settings(relaxed, max_examples=400)
@given(st.lists(st.sampled_from(SNIPPETS) | st.text(string.printable, max_size=4), max_size=25).map("".join))
@example("? ")
@example("[" * 120)
@example("a: &a\n  <<: *a\n")
@example("{{{{}}}}: {{}}")
def test_yaml_ish_garbage(path: Path, text: str) -> None:
    content = text.encode()
    check_places(outcome(path, content), content)
    content = HEAD.encode() + content
    check_places(outcome(path, content), content)


@relaxed
@given(st.binary(max_size=80))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfe")
@example(b"a: \xed\xa0\x80")
def test_any_bytes(path: Path, content: bytes) -> None:
    error = outcome(path, content)
    if not content.startswith(b"\xef\xbb\xbf"):
        check_places(error, content)


MODEL_KEYS = [
    "version",
    "name",
    "data",
    "template",
    "prompt",
    "parameters",
    "endpoint",
    "provider",
    "limits",
    "polling",
]
INNER_KEYS = [
    "source",
    "id",
    "user",
    "name",
    "base_url",
    "api_key_env",
    "seed",
    "settle",
    "interval",
    "bytes_per_batch",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(INNER_KEYS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(relaxed, max_examples=300)
@given(st.dictionaries(st.sampled_from([*MODEL_KEYS, "retry", "output", "design", "nmae"]), VALUES, max_size=8))
def test_well_formed_nonsense(path: Path, document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    error = outcome(path, content)
    check_places(error, content)
    assert "Input should" not in (error.text() if error else "")


@given(st.integers(1, 86_400_000))
def test_durations_there_and_back(milliseconds: int) -> None:
    seconds = parse_duration(f"{milliseconds}ms")
    assert seconds == pytest.approx(milliseconds / 1000)
    assert parse_duration(duration_text(seconds)) == seconds


@given(st.integers(1000, 200_000_000))
def test_sizes_there_and_back(size: int) -> None:
    text = size_text(size)
    assert parse_size(int(text) if text.isdigit() else text) == size
