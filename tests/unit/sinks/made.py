"""Runs as build leaves them, small and by hand, for the tests of sinks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from batchflow.identity import custom_id
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan, SourceFacts
from batchflow.sinks.duckdb import BatchRow, ResponseRow, RunRow
from batchflow.sources.columns import RESULTS_RESERVED, ROWS_RESERVED, Column, resolve
from batchflow.sources.database import identifier, literal
from batchflow.sources.first_map import MapWriter

PRINT = "3f9c2a71"
Rows = Sequence[Mapping[str, str | None]]
PEOPLE: Rows = [{"Name": "Ada", "Age": "36"}, {"Name": "Bob", "Age": None}, {"Name": "Cem", "Age": ""}]


SOURCE = SourceFacts(
    path="x.csv", sha256="", rows_sha256="", reading_sha256="", rows=3, delimiter=",", drop_blank=False
)


@dataclass(frozen=True)
class Made:
    plan: Plan
    folder: RunFolder

    @property
    def run(self) -> str:
        return self.plan.run

    def id(self, row: int, replicate: int = 1) -> str:
        return custom_id(row, 1, replicate, PRINT)

    def row(self, state: str = "complete", outcomes: Mapping[str, int] | None = None) -> RunRow:
        plan = self.plan
        counts = {"answered": plan.requests} if outcomes is None else outcomes
        return RunRow(
            plan.run, plan.experiment, plan.created_at, state, plan.scope, plan.simulated, plan.model,
            plan.fingerprint, plan.requests, counts, 0,
        )  # fmt: skip

    def answers(self, rows: Iterable[int], text: str = "answer") -> list[ResponseRow]:
        return [answer(self.id(row), f"{text} {row}") for row in rows]


def answer(custom_id: str, content: str | None = "yes", outcome: str = "answered") -> ResponseRow:
    return ResponseRow(
        custom_id, outcome, 200, content=content, finish_reason="stop", model_answered="m-1", total_tokens=3
    )


def batch(batch_id: str = "batch_a", *, round_: int = 1, shard: int = 1, status: str = "completed") -> BatchRow:
    return BatchRow(
        round_, shard, batch_id, status, created_at=1_700_000_000.25, ended_at=1_700_000_060.0, counts_total=3
    )


def make(
    root: Path,
    run: str = f"study-{PRINT}",
    *,
    experiment: str = "study",
    rows: Rows = PEOPLE,
    replicates: int = 1,
    per_shard: int = 1000,
    simulated: bool = False,
    created_at: str = "2026-11-22T10:00:00.000Z",
) -> Made:
    """A run's folder with its rows, its map and its plan."""
    folder = RunFolder(root / "runs" / run)
    folder.requests.mkdir(parents=True)
    names = list(rows[0])
    stored = resolve(names, ROWS_RESERVED)
    _write_rows(folder.rows, rows, names, stored)
    _write_map(folder, len(rows), replicates, per_shard)
    shown = resolve(stored, RESULTS_RESERVED)
    plan = Plan(
        run=run, experiment=experiment, created_at=created_at, fingerprint=PRINT * 8, scope="openai/api.openai.com",
        provider="openai", host="api.openai.com", simulated=simulated, endpoint="/v1/chat/completions", model="gpt-4o",
        requests=len(rows) * replicates, distinct=len(rows), source=SOURCE,
        columns=tuple(Column(*names) for names in zip(names, stored, shown, strict=True)), template_sha256="",
        database="results.duckdb", raw=False,
    )  # fmt: skip
    return Made(plan, folder)


def _write_rows(path: Path, rows: Rows, names: Sequence[str], stored: Sequence[str]) -> None:
    columns = ", ".join(f"{identifier(name)} VARCHAR" for name in stored)
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE r (row_number BIGINT, row_id VARCHAR, {columns})")
        with con.appender("r") as appender:
            appender.append_rows(
                [(number, f"id{number}", *(row[name] for name in names)) for number, row in enumerate(rows, start=1)]
            )
        con.execute(f"COPY r TO {literal(str(path))} (FORMAT parquet)")


def _write_map(folder: RunFolder, rows: int, replicates: int, per_shard: int) -> None:
    places = [(row, replicate) for row in range(1, rows + 1) for replicate in range(1, replicates + 1)]
    with MapWriter(folder.rows, replicates=replicates, each=replicates) as writer:
        writer.add(
            [custom_id(row, 1, replicate, PRINT).encode() for row, replicate in places],
            [f"sha{row}".encode() for row, _ in places],
        )
        for first in range(0, len(places), per_shard):
            writer.place([(first // per_shard + 1, 1, len(places[first : first + per_shard]))])
        writer.finish(folder.map(1), "openai/api.openai.com", "/v1/chat/completions")


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What a user sees who opens the file."""
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(sql).fetchall()
