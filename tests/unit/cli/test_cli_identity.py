"""What identifies the sample studies' runs and requests, pinned for ever: a change here would buy everything again."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from batchflow.identity import request_key
from batchflow.sources.maps import lookup
from tests.unit.cli.golden import QUIET
from tests.zygote import Zygote

ROOT = Path(__file__).parents[3]
PINNED = json.loads((ROOT / "tests" / "golden" / "identity.json").read_text(encoding="utf-8"))


def computed(run_folder: Path, requests: int = 3) -> dict[str, Any]:
    """The identity of a planned run, read from its folder."""
    manifest = json.loads((run_folder / "manifest.json").read_bytes())
    shard = (run_folder / "requests" / "r1-00001.jsonl").read_bytes()
    ids = [json.loads(line)["custom_id"] for line in shard.split(b"\n")[:requests]]
    keys = [lookup(run_folder / "requests" / "r1.parquet", custom_id=each)[0].request_key for each in ids]
    return {
        "scope": manifest["scope"],
        "fingerprint": manifest["fingerprint"],
        "run": manifest["run"],
        "custom_ids": ids,
        "request_keys": keys,
        "requests_sha256": hashlib.sha256(shard).hexdigest(),
    }


def plan(project: Path, provider: str, zygote: Zygote) -> Path:
    ended = zygote.run(project, ["plan", "experiment.yaml", "--provider", provider, "--json"], QUIET)
    assert ended.status == 0, ended.stderr
    return project / str(ended.json()["folder"])


def copy(name: str, target: Path) -> Path:
    ignored = shutil.ignore_patterns("runs", "results.duckdb*")
    return Path(shutil.copytree(ROOT / "projects" / name, target / name, ignore=ignored))


@pytest.mark.parametrize(("name", "provider"), [(name, provider) for name in PINNED for provider in PINNED[name]])
def test_identity_is_pinned_for_ever(name: str, provider: str, zygote: Zygote, tmp_path: Path) -> None:
    assert computed(plan(copy(name, tmp_path), provider, zygote)) == PINNED[name][provider]


def test_a_key_in_python_is_the_key_of_the_map(zygote: Zygote, tmp_path: Path) -> None:
    run_folder = plan(copy("image-appeal", tmp_path), "local", zygote)
    pinned = PINNED["image-appeal"]["local"]
    lines = (run_folder / "requests" / "r1-00001.jsonl").read_bytes().split(b"\n")
    bodies = [line.partition(b'"body":')[2][:-1] for line in lines[:3]]
    keys = [
        request_key(pinned["scope"], "/v1/chat/completions", hashlib.sha256(body).hexdigest(), 1) for body in bodies
    ]
    assert keys == pinned["request_keys"]


def test_every_study_is_pinned() -> None:
    assert sorted(PINNED) == sorted(spec.parent.name for spec in (ROOT / "projects").glob("*/experiment.yaml"))


@pytest.mark.parametrize("name", PINNED)
def test_both_scopes_of_a_study_are_pinned(name: str) -> None:
    local, remote = PINNED[name]["local"], PINNED[name]["openai"]
    assert (local["scope"], remote["scope"]) == ("local/localhost/simulate/v1/seed0", "openai/api.openai.com")
    assert not set(local["request_keys"]) & set(remote["request_keys"])


REWORDED = {
    "name: image-appeal": "name: other",
    "description: Which": "description: 'No longer: which'\n# Which",
    "polling: {interval: 0.2s}": "polling: {interval: 7s}",
    "retry: {max_rounds: 3}": "retry: {max_rounds: 5}",
    "database: results.duckdb": "database: other.duckdb",
    "provider: local": "provider: {name: local, seed: 0}",
    "version: 1": "version: 1\nlimits: {requests_per_batch: 50000}",
}


@pytest.mark.parametrize("line", REWORDED)
def test_what_shapes_no_request_leaves_the_identity_alone(line: str, zygote: Zygote, tmp_path: Path) -> None:
    project = copy("image-appeal", tmp_path)
    spec = project / "experiment.yaml"
    text = spec.read_text(encoding="utf-8")
    assert text.count(line) >= 1
    spec.write_text(text.replace(line, REWORDED[line], 1), encoding="utf-8")
    found, pinned = computed(plan(project, "local", zygote)), PINNED["image-appeal"]["local"]
    assert {**found, "run": pinned["run"]} == pinned
