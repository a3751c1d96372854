"""`batchflow preview`: the prompts as a person reads them, or as they would be sent."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.choice import RowOptions
from batchflow.cli.options import IdsOption, Json, ProviderOption, SampleOption, SeedOption, SpecArgument, WhereOption

MOST = 1_000
TALLEST = 24  # lines of one text on a terminal; elsewhere nothing is cut
INDENT = 4


def preview(
    spec: SpecArgument,
    *,
    row: Annotated[list[str] | None, typer.Option(metavar="ID", help="Prompts of this row; more than once.")] = None,
    condition: Annotated[
        str, typer.Option(metavar="TEXT", help="Only under this condition, such as temperature=0; or its number.")
    ] = "",
    most: Annotated[int, typer.Option("-n", metavar="N", min=1, max=MOST, help="So many prompts.")] = 3,
    sample: SampleOption = None,
    seed: SeedOption = None,
    ids: IdsOption = None,
    where: WhereOption = None,
    provider: ProviderOption = None,
    as_json: Json = False,
) -> None:
    """Show prompts as people read them; send nothing.

    Beside the cells that they use. Writes nothing, needs no key. With --json: the
    exact lines that would be sent. --sample, --seed, --ids and --where: prompts of
    a run that asks only these rows.
    """
    from batchflow.engine.previewing import preview_study
    from batchflow.engine.studies import spec_path, workshop
    from batchflow.plan.study import compile_study
    from batchflow.prompts.personal import warnings
    from batchflow.spec.load import load_spec
    from batchflow.steps.preview import Wanted

    path = spec_path(spec)
    loaded = load_spec(path)
    with workshop() as place:
        study = compile_study(loaded, provider, place, RowOptions(sample, seed, ids, where).choice(loaded))
        found = preview_study(study, Wanted(tuple(row or ()), condition, most))
        for line in [*study.notes(), *warnings(found.personal)]:
            render.note(f"note: {line}")
    if as_json:
        render.emit("preview", {"spec": str(path), **_described(study, found)})
    else:
        _show(study, found)


def _show(study: Any, found: Any) -> None:
    if found.prompts:
        render.show("\n\n".join(text(found.prompts, full=not sys.stdout.isatty())))
    marker = render.simulated(really=study.target.simulated)
    none = "No prompt: what you name is not asked in this study"
    shown = render.plural(len(found.prompts), "prompt") if found.prompts else none
    render.note(f"{shown} for {study.model} at {study.target.host}{marker}; nothing was written, nothing was sent.")


def _described(study: Any, found: Any) -> dict[str, Any]:
    return {
        "endpoint": study.spec.experiment.endpoint,
        "model": study.model,
        "scope": study.target.scope,
        "simulated": study.target.simulated,
        "sample": study.choice.facts(),
        "prompts": [_prompt(each) for each in found.prompts],
        "personal": [asdict(each) for each in found.personal],
    }


def _prompt(prompt: Any) -> dict[str, Any]:
    requests = zip(prompt.custom_ids, prompt.lines, strict=True)
    return {
        "row_number": prompt.row_number,
        "row_id": prompt.row_id,
        "condition": prompt.condition,
        "condition_number": prompt.condition_number,
        "cells": prompt.cells,
        "requests": [{"custom_id": name, "line": line.decode().removesuffix("\n")} for name, line in requests],
    }


def text(prompts: Sequence[Any], *, full: bool) -> Iterator[str]:
    """Each prompt for people: what it is about, the cells, the words, the settings. full: nothing is cut."""
    from batchflow.prompts.reading import readable

    before: tuple[tuple[str, str], ...] = ()
    for prompt in prompts:
        read = readable(json.loads(prompt.lines[0])["body"])
        lines = [*_heading(prompt), *(line for pair in prompt.cells.items() for line in _labelled(*pair, full=full))]
        for part in read.said:
            lines += ["", f"  {render.cell(part.role)}:", *_wrapped(part.text, full=full)]
        same = before == read.settings
        lines += ["", f"  settings:{' as above' if same else ''}"]
        lines += [line for pair in read.settings if not same for line in _labelled(*pair, full=full)]
        before = read.settings
        yield "\n".join(lines)


def _heading(prompt: Any) -> list[str]:
    times = len(prompt.lines)
    said = f"Row {prompt.row_number}, id {prompt.row_id}"
    said += f": {prompt.condition}" if prompt.condition else ""
    said += f" (asked {times} times, each a request of its own)" if times > 1 else ""
    return [render.cell(said, MOST), "", f"  from the table:{'' if prompt.cells else ' nothing'}"]


def _labelled(name: str, text: str, *, full: bool) -> Iterator[str]:
    """`name: text`, where it is longer than a line on lines of its own."""
    first, *others = _wrapped(f"{render.cell(name)}: {text}", full=full)
    yield first
    yield from ("  " + line for line in others)


def _wrapped(text: str, *, full: bool) -> list[str]:
    """A text in lines as wide as the terminal."""
    width = get_terminal_size((100, 24)).columns - 2 * INDENT
    lines = [f"{' ' * INDENT}{line}".rstrip() for line in render.wrapped(text.rstrip("\n"), width)]
    if full or len(lines) <= TALLEST:
        return lines
    hidden = len(lines) - TALLEST
    return [*lines[:TALLEST], f"{' ' * INDENT}… {hidden:,} more lines; all of it: add `| less` to the command"]
