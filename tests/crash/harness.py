"""A study, a server of its own, and the program run on them again and again, killed on the way."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb
import pytest
import yaml

from tests.server_process import ServerProcess
from tests.zygote import Ended, Zygote

SPEC = """\
version: 1
name: crash
data: {{source: rows.csv, id: id}}
prompt: {{user: "Say something about {{{{topic}}}}"}}
parameters: {{model: gpt-4o}}
provider: {{name: openai, settle: {settle}}}
limits: {{requests_per_batch: {per_shard}, batches_in_flight: {in_flight}}}
polling: {{interval: {interval}}}
retry: {{max_rounds: {rounds}}}
"""


def slow(*values: Any) -> list[Any]:
    """Parameters for `make crash` alone: CI runs a part of each matrix."""
    return [pytest.param(value, marks=pytest.mark.slow, id=_name(value)) for value in values]


def _name(value: Any) -> str | None:
    """Of faults, their words; whatever else names itself."""
    faults = value if isinstance(value, list) else [value]
    return "-".join(str(each) for fault in faults for each in fault.values()) if isinstance(faults[0], dict) else None


@dataclass
class Study:
    """A folder with rows and a spec that asks a server of its own, as if it were OpenAI's."""

    folder: Path
    zygote: Zygote
    server: ServerProcess
    rows: int = 12
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        folder: Path,
        zygote: Zygote,
        *,
        faults: Sequence[dict[str, Any]] = (),
        rows: int = 12,
        per_shard: int = 3,
        in_flight: int = 10,
        interval: str = "0.1s",
        settle: str = "0.3s",
        rounds: int = 3,
        delay: float = 0.1,
        rows_per_second: float | None = None,
        texts: Sequence[str] | None = None,
    ) -> Self:
        project = folder / "project"
        project.mkdir(parents=True)
        lines = [
            f"{number},{text}" for number, text in enumerate(texts or [f"topic {n}" for n in range(rows)], start=1)
        ]
        (project / "rows.csv").write_text("id,topic\n" + "\n".join(lines) + "\n")
        spec = SPEC.format(settle=settle, per_shard=per_shard, in_flight=in_flight, interval=interval, rounds=rounds)
        (project / "experiment.yaml").write_text(spec)
        server = ServerProcess(folder / "store", faults=faults, delay=delay, rows_per_second=rows_per_second)
        return cls(project, zygote, server, len(lines))

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill9()

    def change(self, **keys: Any) -> None:
        """Set keys of the spec; None takes one out."""
        path = self.folder / "experiment.yaml"
        spec = yaml.safe_load(path.read_text()) | keys
        kept = {key: value for key, value in spec.items() if value is not None}
        path.write_text(yaml.safe_dump(kept, sort_keys=False))

    def run(self, *arguments: str, failpoint: str = "", key: str = "sk-test", **how: Any) -> Ended:
        """One `batchflow run --yes` (or other arguments), killed as told."""
        env = {"OPENAI_BASE_URL": self.server.base_url, "OPENAI_API_KEY": key, **self.env}
        env["BATCHFLOW_FAILPOINT"] = failpoint
        command = arguments or ("run", "experiment.yaml", "--yes", "--json")
        return self.zygote.run(self.folder, command, env, **how)

    def finish(self, most: int = 6) -> int:
        """Run until it ends well; returns how many processes it took."""
        for attempt in range(1, most + 1):
            ended = self.run()
            if ended.status == 0:
                return attempt
        raise AssertionError(f"not finished after {most} runs; the last ended {ended.status}:\n{ended.stderr}")

    @property
    def run_folder(self) -> Path:
        return next(path.parent for path in self.folder.glob("runs/[!.]*/manifest.json"))  # not one that is being built

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        lines = (self.run_folder / "journal.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [event for event in events if not kind or event["kind"] == kind]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "results.duckdb"), read_only=True) as con:
            return con.execute(sql).fetchall()

    def check_account(self) -> str:
        """Every request billed exactly once by the server's own account, and every row loaded."""
        audit = self.server.audit(detail=True)
        executions = audit["executions"]
        assert executions["rows"] == self.rows, f"{executions['rows']} rows executed, {self.rows} asked"
        assert executions["by_custom_id"]["max"] == 1, executions["by_custom_id"]["more_than_once"]
        assert audit["billed"]["requests"] == self.rows, audit["billed"]
        loaded = self.query("SELECT count(*), count(DISTINCT row_id) FROM results WHERE outcome = 'answered'")
        assert loaded == [(self.rows, self.rows)], loaded
        return f"{self.rows} requests billed once, {self.rows} rows loaded"
