"""The faults file: every wrong rule is named, with the way out."""

from pathlib import Path

import pytest

from batchflow.errors import InvalidInput, SetupError
from batchflow.server.faults import faults_of_batch, load_faults


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("- {fault: lost_replay, on: batches.create}", "did you mean `lost_reply`?"),
        ("- {fault: lost_reply}", "lost_reply needs `on`"),
        ("- {fault: lost_reply, on: batches.list}", "give one or a list of batches.create, files.create"),
        ("- {fault: http_error, on: batches.create, status: 200}", "give an HTTP status from 400 to 599"),
        ("- {fault: expire, fraction: 60}", "give a number from 0 to 1"),
        ("- {fault: stuck, rows: 3}", "stuck knows no `rows`"),
        ("- {fault: missing_lines, nth: 0}", "give an ordinal from 1 or a list of them"),
        ("- {fault: missing_lines, every: true}", "give a whole number from 1"),
        ("- {fault: token_limit}", "token_limit needs `tokens` or `batches`"),
        ("- lost_reply", "a rule is a mapping"),
        ("fault: lost_reply", "this is not a list of faults"),
        ("- {", "this is not YAML"),
        ("[" * 20_000, "this is not YAML"),
        ("- {fault: stuck, fault: expire}", "1:18: `fault` stands twice in one rule"),
        ("faults:\n- fault: stuck\n  nth: 1\n  nth: 2", "4:3: `nth` stands twice in one rule"),
        ("- {fault: reply_field, name: object, value: 2026-01-01}", "give any value that JSON has"),
        ("- {fault: reply_field, name: object, value: .nan}", "give any value that JSON has"),
    ],
)
def test_wrong_rules(tmp_path: Path, written: str, said: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(written)
    with pytest.raises(InvalidInput) as caught:
        load_faults(path, 0)
    assert said in caught.value.text()


def test_a_plan_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InvalidInput) as caught:
        load_faults(path, 0)
    assert "this is not JSON" in caught.value.text()


def test_several_wrong_rules_at_once(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"fault": "nope"}, {"fault": "stuck"}, {"fault": "expire", "fractoin": 1}]')
    with pytest.raises(InvalidInput) as caught:
        load_faults(path, 0)
    assert [fault.cause.split(":")[0] for fault in caught.value.faults] == ["rule 1", "rule 3"]


def test_the_place_of_a_wrong_rule(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "faults:\n  - fault: stuck\n    att: validating\n  - {fault: expire, fraction: 7}\n  - late_output\n"
    )
    with pytest.raises(InvalidInput) as caught:
        load_faults(path, 0)
    assert [(fault.line, fault.column) for fault in caught.value.faults] == [(3, 5), (4, 21), (5, 5)]
    assert "did you mean `at`?" in caught.value.text()


def test_rules_of_one_batch() -> None:
    (expire, missing) = faults_of_batch("expire fraction=0.4; missing_lines rows=2,3")
    assert expire["fraction"] == 0.4
    assert missing.rows == {2, 3}
    (row,) = faults_of_batch('{"fault": "row_error", "status": 429}')
    assert row["status"] == 429


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expired", "did you mean `expire`?"),
        ("expire fraction", "`fraction` is not `key=value`"),
        ("expire fraction=2", "give a number from 0 to 1"),
        ("stuck; expire batch=2", "rule 2: `batch` does not belong here"),
        ("lost_reply on=batches.create", "strikes calls, not batches"),
        ("[1, 2]", "a rule is a mapping"),
        ("[", "this is not JSON"),
    ],
)
def test_wrong_rules_of_one_batch(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"rule|key=value|JSON") as caught:
        faults_of_batch(text)
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SetupError):
        load_faults(tmp_path / "nowhere.yaml", 0)


def test_when_rules_strike(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "faults:\n"
        "  - {fault: lost_reply, on: batches.create, nth: [1, 3]}\n"
        "  - {fault: reply_delay, on: batches.list, every: 4, seconds: 0}\n"
        "  - {fault: http_error, on: files.create, probability: 0.3, status: 500}\n"
        "  - {fault: row_error, batch: 2, rows: [1, 9]}\n"
    )
    faults = load_faults(path, 5)

    def struck(event: str) -> list[int]:
        return [ordinal for ordinal in range(1, 201) if any(faults.on_call(event, ordinal))]

    assert struck("batches.create") == [1, 3]
    assert struck("batches.list") == list(range(4, 201, 4))
    assert 30 < len(struck("files.create")) < 90
    again = load_faults(path, 5)
    assert [ordinal for ordinal in range(1, 201) if any(again.on_call("files.create", ordinal))] == struck(
        "files.create"
    )
    assert faults.for_rows(1) == []
    (rule,) = faults.for_rows(2)
    assert [ordinal for ordinal in range(1, 20) if faults.row_strikes(rule, 2, ordinal)] == [1, 9]
