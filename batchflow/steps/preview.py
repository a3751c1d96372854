"""Some of the prompts that would be sent, with what the table says of them: rendered by `build`, written nowhere."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count, groupby
from typing import Final, NamedTuple

from batchflow.errors import SpecError, UsageError
from batchflow.plan.design import Cell
from batchflow.plan.study import Study
from batchflow.prompts.personal import Finding
from batchflow.sources.choice import RowChoice
from batchflow.sources.rows import Rows
from batchflow.steps.build import asks_nobody
from batchflow.steps.requests import Asked, parts

NAMED: Final = 12  # conditions and ids that an error names
WINDOW: Final = 16  # rows looked at first


class Wanted(NamedTuple):
    """rows: ids of rows; empty: any. condition: a condition's text, a part of it (`temperature=0`), or its number;
    empty: any. most: prompts.
    """

    rows: tuple[str, ...] = ()
    condition: str = ""
    most: int = 3


class Prompt(NamedTuple):
    """A row under a condition. lines: the request line of each replicate, newline included. cells: what the prompt
    uses of the row, by column.
    """

    row_number: int
    row_id: str
    condition: str
    condition_number: int
    custom_ids: tuple[str, ...]
    lines: tuple[bytes, ...]
    cells: dict[str, str]


class Preview(NamedTuple):
    """personal: what the rows that were rendered bring of personal data; there may be more of them than prompts."""

    prompts: list[Prompt]
    personal: tuple[Finding, ...]


def preview(study: Study, rows: Rows, fingerprint: str, wanted: Wanted) -> Preview:
    """What is wanted, in the order of the request files; spread over rows and conditions where there are more.

    Raises UsageError for a row or condition that does not exist, and for a row that the study's choice of rows leaves
    out; SpecError where no row at all is asked; DataError as `lines`.
    """
    lint = study.lint()
    cells = {cell.condition.number: cell for cell in _matching(study, wanted.condition)}
    ranges = _named(study, rows, wanted.rows) if wanted.rows else _windows(rows.count)
    found = (
        prompt
        for part in parts(study, rows, fingerprint, lint=lint, ranges=ranges)
        for prompt in part.asked()
        if prompt.condition in cells
    )
    chosen = _spread(found, wanted.most, rows=len(wanted.rows))
    if not chosen and not wanted.rows and len(cells) == len(study.design.cells):
        raise SpecError([asks_nobody(study)])
    shown = [_prompt(study, rows, cells[prompt.condition], prompt) for prompt in chosen]
    return Preview(shown, () if lint is None else lint.findings())


def _spread(found: Iterable[Asked], most: int, *, rows: int) -> list[Asked]:
    """One prompt of each row, of the condition that was shown least; then the others. rows: how many were named."""
    shown: Counter[int] = Counter()
    chosen: list[Asked] = []
    others: list[Asked] = []
    for _, group in groupby(found, key=lambda prompt: prompt.row_number):
        of_row = list(group)
        best = min(of_row, key=lambda prompt: shown[prompt.condition])
        shown[best.condition] += 1
        chosen.append(best)
        others += [prompt for prompt in of_row if prompt is not best][: most - len(others)]
        if len(chosen) == max(most, rows):
            break
    chosen += others[: max(0, most - len(chosen))]
    return sorted(chosen, key=lambda prompt: (prompt.row_number, prompt.condition))


def _prompt(study: Study, rows: Rows, cell: Cell, asked: Asked) -> Prompt:
    stored = {column.name: column.stored for column in study.reading.columns if column.name in cell.template.columns}
    values = rows.cells(asked.row_number, list(stored.values()))
    return Prompt(
        row_number=asked.row_number,
        row_id=asked.row_id,
        condition=cell.condition.text,
        condition_number=asked.condition,
        custom_ids=asked.custom_ids,
        lines=asked.lines,
        cells={name: values[kept] for name, kept in stored.items()},
    )


def _windows(rows: int) -> Iterator[tuple[int, int]]:
    """The rows in stretches that grow: few are rendered where few are enough."""
    first = 1
    for power in count():
        last = min(rows, first + WINDOW * 2**power - 1)
        if first > rows:
            return
        yield first, last
        first = last + 1


def _named(study: Study, rows: Rows, row_ids: Collection[str]) -> list[tuple[int, int]]:
    """The rows of these ids, in the order of the table."""
    wanted = list(dict.fromkeys(row_ids))
    numbers = rows.numbers(wanted)
    if absent := [row_id for row_id in wanted if row_id not in numbers]:
        first = next(rows.chunks([], last=NAMED)).row_ids if rows.count else []
        raise UsageError(
            f"no row has the id {', '.join(map(repr, absent))}", hint=f"the first ids are {', '.join(first)}"
        )
    if reasons := _left_out(study, rows, numbers):
        raise UsageError(
            f"a run that asks {study.choice.words()} would not ask " + "; nor ".join(reasons),
            hint="name another row, or choose other rows",
        )
    return [(number, number) for number in sorted(numbers.values())]


def _left_out(study: Study, rows: Rows, numbers: Mapping[str, int]) -> list[str]:
    """The rows of these that the study's choice of rows leaves out, each with the part of the choice that does. A row
    that the design itself asks under no condition is none of them.
    """
    choice, left_out = study.choice, []
    if not choice or len(_asked(study, rows, numbers, choice)) == len(numbers):
        return []
    by_ids = RowChoice(ids=choice.ids, source=choice.source)
    parts = (
        (by_ids, f"{choice.source} does not name it"),
        (by_ids._replace(where=choice.where), f"{choice.where} is not true of it"),
        (choice, "the sample does not draw it"),
    )
    left = _asked(study, rows, numbers, RowChoice())
    for part, reason in parts:
        before, left = left, _asked(study, rows, left, part)
        left_out += [f"the row {row_id!r}: {reason}" for row_id in before if row_id not in left]
    return left_out


def _asked(study: Study, rows: Rows, numbers: Mapping[str, int], choice: RowChoice) -> dict[str, int]:
    """Those of some rows that are asked under such a choice."""
    design = study.design._replace(rules=study.design.rules._replace(choice=choice))
    with design.assigned(rows.path) as assignment:
        return {
            row_id: number
            for row_id, number in numbers.items()
            for chunk in rows.chunks([], first=number, last=number)
            if any(assignment.of(chunk))
        }


def _matching(study: Study, condition: str) -> list[Cell]:
    """The cells of the design that a condition names."""
    cells = study.design.cells
    parts = [condition] if '"' in condition else condition.split(",")
    found = [
        cell
        for cell in cells
        if condition in {"", cell.condition.text, str(cell.condition.number)}
        or all(f",{part.strip()}," in f",{cell.condition.text}," for part in parts)
    ]
    if found:
        return found
    if not study.design.factors:
        raise UsageError(
            f"--condition {condition}: nothing varies in this study", hint="conditions come with `design.factors`"
        )
    texts = [cell.condition.text for cell in cells[:NAMED]]
    more = f"\n  … and {len(cells) - NAMED:,} more" if len(cells) > NAMED else ""
    raise UsageError(f"there is no condition {condition!r}", hint="the conditions are:\n  " + "\n  ".join(texts) + more)
