"""`batchflow results`: the table of a run."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.options import Json, RunArgument
from batchflow.errors import SetupError, UsageError

if TYPE_CHECKING:
    from batchflow.engine.finding import Target

SHOWN = 20
WIDE = 160  # columns, where there is no terminal to ask
TABLE = "table"
FORMATS = ("csv", "json", "jsonl", "parquet")  # those of sinks.formats, which is not imported for --help
Form = Annotated[
    str | None,
    typer.Option("--format", help="table (the first rows; the default), or all of them: csv, json, jsonl or parquet."),
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write all rows into this file, in the format that its name ends with."),
]
SafeCsv = Annotated[
    bool,
    typer.Option("--safe-csv", help="CSV for spreadsheets: what looks like a formula gets an apostrophe in front."),
]
# the columns that a person looks at last
_HIDDEN = frozenset(
    {"experiment", "run_id", "simulated", "row_number", "custom_id", "condition", "replicate", "finish_reason"}
    | {"model_answered", "system_fingerprint", "cost_usd"}
    | {f"{kind}_tokens" for kind in ("prompt", "cached", "completion", "reasoning", "total")}
)


def results(
    run: RunArgument = None,
    *,
    form: Form = None,
    output: Output = None,
    safe_csv: SafeCsv = False,
    as_json: Json = False,
) -> None:
    """Show the results of a run, or write them to a file.

    In input order. Requests that are still owed are included, without an answer.
    """
    from batchflow.engine.finding import find_run
    from batchflow.sinks.reader import open_reader

    form = _check(form, output, safe_csv=safe_csv, as_json=as_json)
    target = _with_answers(find_run(run), run)
    _check_others(target, output)
    formulas = 0
    with open_reader(target.database) as reader:
        _check_held(reader, target)
        if form != TABLE:
            formulas = _export(reader, target, form, output, safe_csv=safe_csv)
        elif as_json:
            _json(reader, target)
        else:
            _show(reader, target, render.command("results", *([run] if run else []), "--format", "csv"))
        current = reader.current(target.plan.experiment)
    if target.plan.simulated and form != TABLE:
        render.note("These answers are SIMULATED.")
    for line in (*_words(target, current), *_warned(formulas)):
        render.note(f"note: {line}")
    if output is not None:
        render.note(f"Wrote {output}")
    if output is not None and as_json:
        render.emit("results", {**_head(target), "output": str(output), "format": form})


def _check(form: str | None, output: Path | None, *, safe_csv: bool, as_json: bool) -> str:
    """The format. Refuses what makes no sense together, before anything is read."""
    form = _form(form, output, safe_csv=safe_csv)
    if safe_csv and form != "csv":
        raise UsageError(
            "--safe-csv goes with --format csv", hint="in the other formats nothing is taken for a formula"
        )
    if form != TABLE and as_json and output is None:
        raise UsageError(
            f"--json and --format {form} exclude one another", hint="add --output FILE, or leave one of them out"
        )
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("Parquet is nothing that a terminal can show", hint="add --output FILE")
    if output is None:
        return form
    if form == TABLE:
        raise UsageError(
            f"--output {output}: its name says no format", hint=f"add --format, with one of {', '.join(FORMATS)}"
        )
    if output.exists() and not output.is_file():
        raise UsageError(
            f"{output} is there, and is not a file", hint="name a file; without --output it goes to stdout"
        )
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", hint="make it first, or name another file")
    return form


def _check_others(target: "Target", output: Path | None) -> None:
    """Refuse to write over what a study needs."""
    from batchflow.engine.own_files import what_it_is

    if output is not None and (what := what_it_is(target, output)):
        raise UsageError(f"--output {output} would replace {what}", hint="name another file")


def _form(form: str | None, output: Path | None, *, safe_csv: bool) -> str:
    """The format that is named, or else follows from the other options."""
    if form is None:
        ending = "" if output is None else output.suffix.lower().removeprefix(".")
        return ending if ending in FORMATS else "csv" if safe_csv else TABLE
    form = form.lower()
    if form != TABLE and form not in FORMATS:
        raise UsageError(f"--format {form}: there is no such format", hint=f"one of {', '.join((TABLE, *FORMATS))}")
    return form


def _export(reader: Any, target: "Target", form: str, output: Path | None, *, safe_csv: bool) -> int:
    """Write all rows. Returns how many cells a spreadsheet would take for a formula, where somebody is there to read it
    and it was not seen to.
    """
    from batchflow.cli.bar import bar
    from batchflow.sinks.formats import Format

    look = not safe_csv and sys.stderr.isatty()
    if output is not None:
        with bar(f"writing {output.name}"):
            return int(reader.write(target.plan.run, Format(form), output, safe_csv=safe_csv, look=look))
    with render.stdout() as stream:
        return int(reader.write(target.plan.run, Format(form), stream, safe_csv=safe_csv, look=look))
    return 0


def _warned(formulas: int) -> Iterator[str]:
    if formulas:
        cells = render.plural(formulas, "cell") + (" looks" if formulas == 1 else " look")
        yield f"{cells} like a formula, which a spreadsheet would calculate: with --safe-csv it shows the text"


def _check_held(reader: Any, target: "Target") -> None:
    if not reader.holds(target.plan.run):
        raise SetupError(
            f"{target.database} does not hold the run {target.plan.run}",
            hint=f"`{render.command('load', target.folder.path)}` loads it from its folder",
        )


def _show(reader: Any, target: "Target", everything: str) -> None:
    names = reader.columns(target.plan.run)
    rows = list(reader.rows(target.plan.run, limit=SHOWN))
    render.show(_table(target, names, rows, everything))


def _with_answers(target: "Target", run: str | None) -> "Target":
    """The run to show: what was asked for, or, where a study's newest run has no answers yet, the current one of the
    database. Raises SetupError where there is nothing to show, with what makes it.
    """
    from batchflow.engine.finding import shown_instead
    from batchflow.engine.run import view
    from batchflow.steps.summary import account_of

    if (other := shown_instead(target)) is not None:
        word = "was not run yet" if account_of(view(target.folder).state).final.total() else "has no answers yet"
        render.note(f"note: the run {target.plan.run} {word}; these are those of {other.plan.run}")
        return other
    if target.database.exists():
        return target
    account = account_of(view(target.folder).state)
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


def _words(target: "Target", current: str | None) -> Iterator[str]:
    """What somebody who goes on with these rows should know."""
    from batchflow.engine.own_files import table_changed
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
    if table_changed(target):
        yield f"the table {target.plan.source.path} was changed since this run was planned"
    if current not in {None, target.plan.run}:
        yield f"the table `results` in {target.database.name} shows another run, {current}"


def _head(target: "Target") -> dict[str, Any]:
    return {
        "run": target.plan.run,
        "database": str(target.database),
        "simulated": target.plan.simulated,
        "total": target.plan.requests,
    }


def _json(reader: Any, target: "Target") -> None:
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


def _table(target: "Target", names: list[str], rows: list[tuple[Any, ...]], everything: str) -> str:
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
