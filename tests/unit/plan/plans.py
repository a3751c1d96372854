"""Plans by hand, for the tests of what reads them."""

import dataclasses
from pathlib import Path
from typing import Any

from batchflow.identity import sha256_hex
from batchflow.journal.journal import Journal
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan, SourceFacts
from batchflow.plan.project import name_run
from tests.unit.journal.histories import built

SOURCE = SourceFacts("people.csv", "a" * 64, "b" * 64, "c" * 64, 3, ",", drop_blank=False)
PLAN = Plan(
    run="study-3f9c2a71",
    experiment="study",
    created_at="2026-11-22T10:00:00.000Z",
    fingerprint="3f9c2a71" + "0" * 56,
    scope="openai/api.openai.com",
    provider="openai",
    host="api.openai.com",
    simulated=False,
    endpoint="/v1/chat/completions",
    model="gpt-4o",
    requests=3,
    distinct=3,
    source=SOURCE,
    columns=(),
    template_sha256="d" * 64,
    database="results.duckdb",
    raw=False,
)


def plan(**changes: Any) -> Plan:
    return dataclasses.replace(PLAN, **changes)


def made_run(runs: Path, experiment: str = "study", seed: str = "x", again: int = 1, **changes: Any) -> RunFolder:
    """A run's folder with its manifest and a journal, and nothing else."""
    fingerprint = sha256_hex(seed.encode())
    name = name_run(experiment, fingerprint, again)
    folder = RunFolder(runs / name)
    folder.path.mkdir(parents=True)
    folder.manifest.write_bytes(plan(run=name, experiment=experiment, fingerprint=fingerprint, **changes).to_bytes())
    journal = Journal.create(folder.journal, name)
    journal.append([built(1, 1)])
    journal.close()
    return folder
