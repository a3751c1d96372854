"""Bytes taken apart: uploads, lines, chunks; and the order of result lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchflow.server.lines import is_json, parse_line, read_chunk
from batchflow.server.outputs import shuffled
from batchflow.server.upload import UploadParser
from batchflow.server.wire import ApiError

_BOUNDARIES = st.from_regex(r"[0-9A-Za-z'()+_,./:=?-]{1,70}", fullmatch=True)


def _form(boundary: str, content: bytes, filename: str, *, file_first: bool) -> bytes:
    mark = b"--" + boundary.encode() + b"\r\n"
    field = mark + b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    head = f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: x/y\r\n\r\n'.encode()
    file = mark + head + content + b"\r\n"
    parts = file + field if file_first else field + file
    return parts + b"--" + boundary.encode() + b"--\r\n"


def _fed(form: bytes, boundary: str, size: int) -> tuple[UploadParser, bytes]:
    received = bytearray()
    parser = UploadParser(f'multipart/form-data; boundary="{boundary}"', received.extend)
    for start in range(0, len(form), size):
        parser.feed(form[start : start + size])
    parser.finish()
    return parser, bytes(received)


@settings(max_examples=200, deadline=None)
@given(
    boundary=_BOUNDARIES,
    content=st.binary(max_size=300)
    | st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"a"]), max_size=80).map(b"".join),
    near=st.booleans(),
    size=st.integers(1, 400),
    file_first=st.booleans(),
)
def test_an_upload_arrives_as_it_was_sent(
    boundary: str, content: bytes, near: bool, size: int, file_first: bool
) -> None:
    if near:
        content += b"\r\n--" + boundary.encode()[:-1]
    if b"\r\n--" + boundary.encode() in b"\r\n" + content + b"\r\n":
        return  # no client chooses a boundary that stands in its content
    parser, received = _fed(_form(boundary, content, "straße-1.jsonl", file_first=file_first), boundary, size)
    assert received == content
    assert (parser.fields, parser.filename) == ({"purpose": "batch"}, "straße-1.jsonl")


@pytest.mark.parametrize("kept", [0, 10, 60, 150, -3])
def test_a_form_that_is_cut_is_refused(kept: int) -> None:
    form = _form("xyz", b"{}\n", "in.jsonl", file_first=False)
    with pytest.raises(ApiError, match="ends before its last boundary"):
        _fed(form[:kept], "xyz", 7)


def test_forms_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ApiError, match="boundary"):
        UploadParser("application/json", bytearray().extend)
    with pytest.raises(ApiError, match="Missing required parameter: 'file'"):
        _fed(b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n', "x", 5)


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    members=st.dictionaries(st.sampled_from(["custom_id", "body", "url", "ü", "a b"]), _VALUES),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r: ")]),
    ascii_only=st.booleans(),
)
def test_a_line_is_read_as_json_reads_it(
    members: dict[str, Any], separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(members, separators=separators, ensure_ascii=ascii_only)
    parsed = parse_line(b" " + text.encode() + b"\r")
    assert parsed.members == members
    if "body" in members:
        body = json.dumps(members["body"], separators=separators, ensure_ascii=ascii_only)
        assert parsed.body_bytes == body.encode(), "the body's own bytes, untouched"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=30) | st.text('{}[]",:ab1 \\nul', max_size=30).map(str.encode))
def test_a_line_is_refused_where_json_refuses_it(raw: bytes) -> None:
    def expected() -> Any:
        def refuse(_: str) -> Any:
            raise ValueError

        return json.loads(raw.decode(), parse_constant=refuse)

    try:
        value = expected()
    except ValueError:
        assert not is_json(raw)
        with pytest.raises(ValueError):  # noqa: PT011 - any of them
            parse_line(raw)
        return
    assert is_json(raw)
    if isinstance(value, dict):
        assert parse_line(raw).members == value


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([b"a", b"", b" ", b"\r", b"x\xe2\x80\xa8y", b"z\x0b"]), max_size=30),
    st.booleans(),
    st.integers(1, 9),
)
def test_chunks_hold_every_line_once_and_split_at_line_feeds_only(
    tmp_path: Path, lines: list[bytes], ended: bool, limit: int
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(lines) + (b"\n" if ended else b""))
    found: list[tuple[int, bytes]] = []
    line = offset = 0
    while True:
        chunk = read_chunk(path, offset, line, limit)
        found += chunk.lines
        line, offset = chunk.line, chunk.offset
        if offset >= path.stat().st_size:
            break
    expected = [(number, one.strip(b" \r")) for number, one in enumerate(lines, 1)]
    assert found == [(number, one) for number, one in expected if one]


@given(st.text(max_size=5), st.integers(0, 300))
def test_shuffling_keeps_every_ordinal_once(salt: str, total: int) -> None:
    assert sorted(shuffled(salt, total)) == list(range(1, total + 1))
