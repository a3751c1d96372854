"""`batchflow results`: the table of a run."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.find import Target, find_run
from batchflow.cli.options import Json, RunArgument
from batchflow.errors import SetupError, UsageError
from batchflow.plan.folder import RunFolder

SHOWN = 20
WIDE = 160  # columns, where there is no terminal to ask
LATER = {"parquet", "json"}
# the columns that a person looks at last
_HIDDEN = frozenset(
    {"experiment", "run_id", "simulated", "row_number", "custom_id", "condition", "replicate", "finish_reason"}
    | {"model_answered", "system_fingerprint", "cost_usd"}
    | {f"{kind}_tokens" for kind in ("prompt", "cached", "completion", "reasoning", "total")}
)


def results(
    run: RunArgument = None,
    *,
    form: Annotated[
        str | None,
        typer.Option("--format", help="table (the first rows; the default) or csv (all of them)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write into this file instead of stdout (csv).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the results of a run, in input order.

    Requests that are still owed are included, without an answer.
    """
    from batchflow.sinks.reader import open_reader

    form = _check(form, output, as_json=as_json)
    target = _with_answers(find_run(run), run)
    with open_reader(target.database) as reader:
        _check_held(reader, target)
        if form == "csv":
            _csv(reader, target, output)
        elif as_json:
            _json(reader, target)
        else:
            _show(reader, target, render.command("results", *([run] if run else []), "--format", "csv"))
        current = reader.current(target.plan.experiment)
    if target.plan.simulated and form == "csv":
        render.note("These answers are SIMULATED.")
    for line in _words(target, current):
        render.note(f"note: {line}")
    if output is not None:
        render.note(f"Wrote {output}")
    if output is not None and as_json:
        render.emit("results", {**_head(target), "output": str(output)})


def _check(form: str | None, output: Path | None, *, as_json: bool) -> str:
    """The format. Refuses what makes no sense together, before anything is read."""
    if form is None:
        form = "csv" if output is not None and output.suffix.lower() == ".csv" else "table"
    form = form.lower()
    if form in LATER:
        raise UsageError(f"--format {form} is not supported yet", hint="use csv, or query results.duckdb")
    if form not in {"table", "csv"}:
        raise UsageError(f"--format {form}: there is no such format", hint="table or csv")
    if form == "csv" and as_json and output is None:
        raise UsageError(
            "--json and --format csv exclude one another", hint="add --output FILE, or leave one of them out"
        )
    if output is None:
        return form
    if form != "csv":
        raise UsageError("--output goes with --format csv", hint="add --format csv")
    if output.exists() and not output.is_file():
        raise UsageError(
            f"{output} is there, and is not a file", hint="name a file; without --output it goes to stdout"
        )
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", hint="make it first, or name another file")
    return form


def _check_held(reader: Any, target: Target) -> None:
    if not reader.holds(target.plan.run):
        raise SetupError(
            f"{target.database} does not hold the run {target.plan.run}",
            hint=f"`{render.command('load', target.folder.path)}` loads it from its folder",
        )


def _show(reader: Any, target: Target, everything: str) -> None:
    names = reader.columns(target.plan.run)
    rows = list(reader.rows(target.plan.run, limit=SHOWN))
    render.show(_table(target, names, rows, everything))


def _with_answers(target: Target, run: str | None) -> Target:
    """The run to show: what was asked for, or, where a study's newest run has no answers yet, the current one of the
    database. Raises SetupError where there is nothing to show, with what makes it.
    """
    from batchflow.engine.run import view
    from batchflow.steps.summary import account_of

    state = view(target.folder).state
    account = account_of(state)
    planned = not state.sent and state.loaded is None  # what it has taken over is not in the tables yet
    if target.by_spec and (planned or not account.final.total()) and (other := _current(target)) is not None:
        word = "was not run yet" if account.final.total() else "has no answers yet"
        render.note(f"note: the run {target.plan.run} {word}; these are those of {other.plan.run}")
        return other
    if target.database.exists():
        return target
    if not account.final.total():
        hint = f"see how far it is with {render.command('status', *([run] if run else []))}, go on with "
        raise SetupError(
            f"the run {target.plan.run} has no answers yet", hint=hint + render.command("run", target.folder.path)
        )
    raise SetupError(
        f"there is no results database {target.database}; the run {target.plan.run} has its answers, "
        f"{account.final.total():,} of {target.plan.requests:,}",
        hint=f"{render.command('load', *([run] if run else []))} makes it from the run's folder",
    )


def _current(target: Target) -> Target | None:
    """The run of the same experiment that the view `results` shows, if another one is there."""
    from batchflow.plan.model import read_plan
    from batchflow.sinks.reader import open_reader

    if not target.database.exists():
        return None
    with open_reader(target.database) as reader:
        current = reader.current(target.plan.experiment)
    folder = RunFolder(target.project.runs / (current or ""))
    if current in {None, target.plan.run} or not folder.manifest.is_file():
        return None
    return replace(target, folder=folder, plan=replace(read_plan(folder.manifest), database=target.plan.database))


def _words(target: Target, current: str | None) -> Iterator[str]:
    """What somebody who goes on with these rows should know."""
    from batchflow.engine.run import view
    from batchflow.steps.summary import State, account_of, state_of

    state = view(target.folder).state
    account = account_of(state)
    if owed := account.owed.total():
        asked = render.plural(target.plan.requests, "request")
        unfinished = state_of(state) is State.IN_PROGRESS
        way = f"; `{render.command('run', target.folder.path)}` goes on" if unfinished else ""
        yield f"{account.answered:,} of {asked} answered, {owed:,} still owed{way}"
    if target.differs:
        yield "the spec was changed since this run was planned"
    if current not in {None, target.plan.run}:
        yield f"the table `results` in {target.database.name} shows another run, {current}"


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
    from batchflow.cli.report import answer_columns, design_columns

    values = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    answers = answer_columns(target.plan, names, values["outcome"])
    kept = {"row_id", *design_columns(target.plan, names), "outcome", *answers}
    hidden = _HIDDEN if "content" in answers else {*_HIDDEN, "content"}
    shown = [
        name for name in names if name in kept or (name not in hidden and any(v is not None for v in values[name]))
    ]
    shown = [name for name in shown if name == "row_id" or values[name] != values["row_id"]]
    cells = {name: [render.cell(v, render.WIDEST if name == "content" else 24) for v in values[name]] for name in shown}
    width = shutil.get_terminal_size((WIDE, 24)).columns
    while _width(shown, cells) > width and not kept.issuperset(shown):
        shown.remove(next(name for name in reversed(shown) if name not in kept))
    if "content" in shown:
        room = width - _width([name for name in shown if name != "content"], cells) - 2
        cells["content"] = [render.cell(value, max(render.WIDEST, room)) for value in values["content"]]
    marker = render.simulated(really=target.plan.simulated)
    lines = [f"{target.plan.run}{marker}, {target.database}", ""]
    lines += [render.table(shown, list(zip(*(cells[name] for name in shown), strict=True))), ""]
    more = f"{target.plan.requests - len(rows):,} more rows and " if len(rows) < target.plan.requests else ""
    return "\n".join([*lines, f"{more}{len(names) - len(shown)} more columns: {everything}"])


def _width(shown: Sequence[str], cells: dict[str, list[str]]) -> int:
    return sum(2 + max(render.columns(text) for text in (name, *cells[name])) for name in shown) - 2
