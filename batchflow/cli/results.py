"""`batchflow results`: the table of a run."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.find import find_run
from batchflow.cli.options import Json, RunArgument
from batchflow.errors import UsageError

SHOWN = 20
LATER = {"parquet", "json"}


def results(
    run: RunArgument = None,
    *,
    form: Annotated[str, typer.Option("--format", help="table (the first rows) or csv (all of them).")] = "table",
    output: Annotated[Path | None, typer.Option(help="Write into this file instead of stdout (csv).")] = None,
    as_json: Json = False,
) -> None:
    """Show the results of a run, in input order, owed requests included."""
    from batchflow.sinks.reader import open_reader

    if form in LATER:
        raise UsageError(f"--format {form} is not supported yet", hint="use csv, or query results.duckdb")
    if form not in {"table", "csv"}:
        raise UsageError(f"--format {form}: there is no such format", hint="table or csv")
    target = find_run(run)
    with open_reader(target.database) as reader:
        if form == "csv":
            reader.write_csv(target.plan.run, output or sys.stdout.buffer)
            if target.plan.simulated:
                render.note("These answers are SIMULATED.")
            if output is not None:
                render.note(f"Wrote {output}")
            return
        if output is not None:
            raise UsageError("--output goes with --format csv")
        names = reader.columns(target.plan.run)
        rows = list(reader.rows(target.plan.run, limit=SHOWN))
    record = [dict(zip(names, row, strict=True)) for row in rows]
    if as_json:
        render.emit(
            "results",
            {
                "run": target.plan.run,
                "database": str(target.database),
                "simulated": target.plan.simulated,
                "columns": names,
                "total": target.plan.requests,
                "rows": record,
            },
        )
        return
    render.write(_table(target, record, names) + "\n")


def _table(target: Any, record: list[dict[str, Any]], names: list[str]) -> str:
    hidden = {"experiment", "run_id", "simulated", "custom_id", "condition", "replicate", "row_number"}
    quiet = {name for name in names if all(row[name] is None for row in record)} - {"content", "outcome"}
    shown = [name for name in names if name not in hidden | quiet | {"system_fingerprint", "total_tokens"}]
    width = max(8, min(render.WIDEST, 160 // max(1, len(shown))))
    cells = [[render.cell(row[name], 60 if name == "content" else width) for name in shown] for row in record]
    marker = render.simulated(really=target.plan.simulated)
    more = (
        f"\n{target.plan.requests - len(record):,} more rows: batchflow results … --format csv"
        if len(record) < target.plan.requests
        else ""
    )
    return f"{target.plan.run}{marker}, {target.database}\n\n{render.table(shown, cells)}{more}"
