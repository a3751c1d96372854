"""Manifests of other versions and damaged ones are told; names in a run's folder are as documented."""

import json
from pathlib import Path

import pytest

from batchflow.errors import SetupError
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import MANIFEST_SCHEMA, read_plan
from tests.unit.plan.plans import plan


def test_a_manifest_is_readable_json_with_its_schema() -> None:
    content = plan(description="Grüße").to_bytes()
    assert json.loads(content)["schema"] == MANIFEST_SCHEMA
    assert "Grüße".encode() in content
    assert content.endswith(b"}\n")
    assert plan().to_bytes() == plan().to_bytes()


WHOLE = plan().to_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        b'{"schema":"batchflow.manifest/1"}',
        WHOLE[:-40],
        WHOLE.replace(b'"requests"', b'"reqests"'),
        WHOLE.replace(b'"columns": []', b'"columns": 7'),
    ],
)
def test_a_damaged_manifest_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"manifest\.json"):
        read_plan(path)


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError):
        read_plan(tmp_path / "manifest.json")


def test_a_newer_manifest_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(plan().to_bytes().replace(b"manifest/1", b"manifest/2"))
    with pytest.raises(SetupError, match="another version") as caught:
        read_plan(path)
    assert "version that wrote it" in caught.value.hint


def test_names_in_a_runs_folder() -> None:
    folder = RunFolder(Path("runs") / "study-3f9c2a71-2")
    assert folder.run == "study-3f9c2a71-2"
    shown = [
        folder.journal, folder.manifest, folder.rows, folder.shard("r1-00001"), folder.map(1),
        folder.response("r1-00001", "output"), folder.response("r1-00001", "error"), folder.progress,
    ]  # fmt: skip
    assert [str(path.relative_to(folder.path)) for path in shown] == [
        "journal.jsonl", "manifest.json", "rows.parquet", "requests/r1-00001.jsonl", "requests/r1.parquet",
        "responses/r1-00001.output.jsonl", "responses/r1-00001.error.jsonl", "progress.json",
    ]  # fmt: skip
