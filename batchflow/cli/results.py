"""`batchflow results`: the table of a run."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.find import Target, find_run
from batchflow.cli.options import Json, RunArgument
from batchflow.errors import SetupError, UsageError

SHOWN = 20
WIDE = 160  # columns, where there is no terminal to ask
LATER = {"parquet", "json"}
# the columns that a person looks at last
_HIDDEN = frozenset(
    {"experiment", "run_id", "simulated", "row_number", "custom_id", "condition", "replicate", "finish_reason"}
    | {"model_answered", "system_fingerprint", "cost_usd"}
    | {f"{kind}_tokens" for kind in ("prompt", "cached", "completion", "reasoning", "total")}
)
_KEPT = frozenset({"row_id", "outcome", "content"})


def results(
    run: RunArgument = None,
    *,
    form: Annotated[str, typer.Option("--format", help="table (the first rows) or csv (all of them).")] = "table",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write into this file instead of stdout (csv).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the results of a run, in input order.

    Requests that are still owed are included, without an answer.
    """
    from batchflow.sinks.reader import open_reader

    _check(form, output, as_json=as_json)
    target = find_run(run)
    _check_loaded(target, run)
    with open_reader(target.database) as reader:
        if form == "csv":
            _csv(reader, target, output)
        elif as_json:
            _json(reader, target)
        else:
            names = reader.columns(target.plan.run)
            rows = list(reader.rows(target.plan.run, limit=SHOWN))
            render.show(
                _table(target, names, rows, render.command("results", *([run] if run else []), "--format", "csv"))
            )
    if target.plan.simulated and form == "csv":
        render.note("These answers are SIMULATED.")
    if output is not None:
        render.note(f"Wrote {output}")
    if output is not None and as_json:
        render.emit("results", {**_head(target), "output": str(output)})


def _check(form: str, output: Path | None, *, as_json: bool) -> None:
    """Refuse what makes no sense together, before anything is read."""
    if form in LATER:
        raise UsageError(f"--format {form} is not supported yet", hint="use csv, or query results.duckdb")
    if form not in {"table", "csv"}:
        raise UsageError(f"--format {form}: there is no such format", hint="table or csv")
    if form == "csv" and as_json and output is None:
        raise UsageError(
            "--json and --format csv exclude one another", hint="add --output FILE, or leave one of them out"
        )
    if output is None:
        return
    if form != "csv":
        raise UsageError("--output goes with --format csv", hint="add --format csv")
    if output.exists() and not output.is_file():
        raise UsageError(
            f"{output} is there, and is not a file", hint="name a file; without --output it goes to stdout"
        )
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", hint="make it first, or name another file")


def _check_loaded(target: Target, run: str | None) -> None:
    """Where there is no database, what makes it depends on whether anything was answered."""
    from batchflow.engine.run import view
    from batchflow.steps.summary import account_of

    if target.database.exists():
        return
    account = account_of(view(target.folder).state)
    fetched = account.requests - account.owed.total()
    if not fetched:
        hint = f"see how far it is with {render.command('status', *([run] if run else []))}, go on with "
        raise SetupError(
            f"the run {target.plan.run} has no answers yet", hint=hint + render.command("run", target.folder.path)
        )
    raise SetupError(
        f"there is no results database {target.database}; the run {target.plan.run} has its answers, "
        f"{fetched:,} of {target.plan.requests:,}",
        hint=f"{render.command('load', *([run] if run else []))} makes it from the run's folder",
    )


def _head(target: Target) -> dict[str, Any]:
    return {
        "run": target.plan.run,
        "database": str(target.database),
        "simulated": target.plan.simulated,
        "total": target.plan.requests,
    }


def _csv(reader: Any, target: Target, output: Path | None) -> None:
    if output is not None:
        reader.write_csv(target.plan.run, output)
        return
    with render.stdout() as stream:
        reader.write_csv(target.plan.run, stream)


def _json(reader: Any, target: Target) -> None:
    """One object with every row, written row by row: memory does not grow with their number."""
    names = reader.columns(target.plan.run)
    head = render.json_text({"schema": "batchflow.results/1", **_head(target), "columns": names})
    with render.stdout() as stream:
        for piece in _pieces(head, names, reader.rows(target.plan.run)):
            stream.write(piece.encode("utf-8", "backslashreplace"))


def _pieces(head: str, names: Sequence[str], rows: Iterator[Sequence[Any]]) -> Iterator[str]:
    yield head.removesuffix("\n}") + ',\n  "rows": ['
    for number, row in enumerate(rows):
        record = dict(zip(names, row, strict=True))
        yield (",\n    " if number else "\n    ") + render.json_text(record, indent=None)
    yield "\n  ]\n}\n"


def _table(target: Target, names: list[str], rows: list[tuple[Any, ...]], everything: str) -> str:
    values = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    shown = [
        name for name in names if name in _KEPT or (name not in _HIDDEN and any(v is not None for v in values[name]))
    ]
    shown = [name for name in shown if name == "row_id" or values[name] != values["row_id"]]
    cells = {name: [render.cell(v, render.WIDEST if name == "content" else 24) for v in values[name]] for name in shown}
    width = shutil.get_terminal_size((WIDE, 24)).columns
    while _width(shown, cells) > width and not _KEPT.issuperset(shown):
        shown.remove(next(name for name in reversed(shown) if name not in _KEPT))
    room = width - _width([name for name in shown if name != "content"], cells) - 2
    cells["content"] = [render.cell(value, max(render.WIDEST, room)) for value in values["content"]]
    marker = render.simulated(really=target.plan.simulated)
    lines = [f"{target.plan.run}{marker}, {target.database}", ""]
    lines += [render.table(shown, list(zip(*(cells[name] for name in shown), strict=True))), ""]
    more = f"{target.plan.requests - len(rows):,} more rows and " if len(rows) < target.plan.requests else ""
    return "\n".join([*lines, f"{more}{len(names) - len(shown)} more columns: {everything}"])


def _width(shown: Sequence[str], cells: dict[str, list[str]]) -> int:
    return sum(2 + max(render.columns(text) for text in (name, *cells[name])) for name in shown) - 2
