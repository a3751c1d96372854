"""Factors out of the spec, and the files that hold their levels."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from batchflow.design.conditions import Factor, Level, as_text
from batchflow.errors import DataError, Fault, SpecError
from batchflow.prompts.json_reader import finite, read_json
from batchflow.sources.columns import RESULTS_RESERVED
from batchflow.sources.delimited import inspect
from batchflow.sources.scan import Scanner
from batchflow.spec.design import LevelFile
from batchflow.spec.load import Spec
from batchflow.spec.places import Loc
from batchflow.spec.source_text import SourceText
from batchflow.spec.yaml_faults import NotReadable
from batchflow.spec.yaml_tree import read_tree

MODEL = "model"
RESERVED = (RESULTS_RESERVED | {"condition_number"}) - {MODEL}  # by the tables of results and of conditions
MOST_CONDITIONS = 100_000


def level_files(spec: Spec) -> tuple[Path, ...]:
    """The files that the factors of a spec come from."""
    named = (levels for levels in spec.experiment.design.factors.values() if isinstance(levels, LevelFile))
    return tuple(dict.fromkeys(spec.resolve(levels.file) for levels in named))


def read_factors(spec: Spec) -> tuple[Factor, ...]:
    """The factors of a spec in the author's order. Raises SpecError or DataError with every fault found."""
    faults: list[Fault] = []
    factors = []
    for name, levels in spec.experiment.design.factors.items():
        loc: Loc = ("design", "factors", name)
        if name.lower() in RESERVED or (name.lower() == MODEL and name != MODEL):
            remedy = f"write {MODEL} if it says who is asked, else rename it" if name.lower() == MODEL else "rename it"
            faults.append(spec.fault(loc, f"the tables have a column {name.lower()!r} of their own", remedy, key=True))
            continue
        factor = _from_file(spec, loc, name, levels) if isinstance(levels, LevelFile) else _inline(name, levels)
        labels = Counter(level.label for level in factor.levels)
        faults += [
            spec.fault(loc, f"the factor {name!r} has the level {label!r} twice", "remove one of them")
            for label, count in labels.items()
            if count > 1
        ]
        factors.append(factor)
    if faults:
        raise SpecError(faults)
    return tuple(factors)


def check_zipped(spec: Spec, factors: tuple[Factor, ...]) -> None:
    """Raises SpecError where factors that vary together have other numbers of levels, or conditions are too many."""
    sizes = {factor.name: len(factor.levels) for factor in factors}
    for position, group in enumerate(spec.experiment.design.zip):
        if len({sizes[name] for name in group}) > 1:
            counts = ", ".join(f"{name} has {sizes[name]}" for name in group)
            cause = f"factors that vary together need equally many levels: {counts}"
            raise SpecError([spec.fault(("design", "zip", position), cause, "add or remove levels")])
    zipped = {name for group in spec.experiment.design.zip for name in group[1:]}
    total = 1
    for name, size in sizes.items():
        total *= 1 if name in zipped else size
    if total > MOST_CONDITIONS:
        cause = f"these factors have {total:,} combinations; at most {MOST_CONDITIONS:,} are possible"
        raise SpecError([spec.fault(("design", "factors"), cause, "fewer levels, or `zip` factors")])


def _inline(name: str, levels: list[Any] | Mapping[str, Any]) -> Factor:
    if isinstance(levels, Mapping):
        return Factor(name, tuple(Level(label, value) for label, value in levels.items()), labelled=True)
    return Factor(name, tuple(Level(as_text(value), value) for value in levels))


def _from_file(spec: Spec, loc: Loc, name: str, levels: LevelFile) -> Factor:
    path = spec.resolve(levels.file)
    suffix = path.suffix.lower()
    tabular = suffix in {".csv", ".tsv", ".tab"}
    if not path.is_file():
        raise SpecError([spec.missing((*loc, "file"), path)])
    if (levels.column or levels.label) and not tabular:
        raise SpecError([spec.fault(loc, "column and label go with a .csv or .tsv file", "remove them")])
    if tabular:
        found: Any = _column(path, levels)
    elif suffix in {".json", ".yaml", ".yml"}:
        found = _values(path, levels.file)
    elif suffix == ".txt":
        found = [line for line in re.split(r"\r\n|\n|\r", _text(path, levels.file)) if line.strip()]
    else:
        raise SpecError([spec.fault((*loc, "file"), "levels come from .txt, .csv, .tsv, .json or .yaml", "save it so")])
    if not found:
        raise DataError([Fault(levels.file, "the file holds no level", "add at least one")])
    return _inline(name, found)


def _text(path: Path, shown: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError([Fault(shown, "the file is not UTF-8", "save it as UTF-8")]) from error


def _column(path: Path, levels: LevelFile) -> list[str] | dict[str, str]:
    reading = inspect(path, levels.file)
    names = [column.name for column in reading.columns]
    for wanted in (levels.column, levels.label):
        if wanted is not None and wanted not in names:
            raise DataError([Fault(levels.file, f"there is no column {wanted!r}", f"its columns: {', '.join(names)}")])
    place = names.index(levels.column or names[0])
    labels = None if levels.label is None else names.index(levels.label)
    rows = list(_records(path, levels.file, reading.delimiter, len(names), drop_blank=reading.drop_blank))
    if any(row[place] is None or (labels is not None and row[labels] is None) for row in rows):
        raise DataError([Fault(levels.file, "a level is missing: a cell is empty", "fill it, or remove the row")])
    if labels is None:
        return [row[place] or "" for row in rows]
    if len({row[labels] for row in rows}) < len(rows):
        raise DataError([Fault(levels.file, f"a label stands twice in {levels.label!r}", "give each level its own")])
    return {row[labels] or "": row[place] or "" for row in rows}


def _records(
    path: Path, shown: str, delimiter: str, width: int, *, drop_blank: bool
) -> Iterator[tuple[str | None, ...]]:
    with path.open("rb") as handle:
        scanner = Scanner(handle, delimiter, shown, drop_blank=drop_blank)
        for position, (faults, record) in enumerate(scanner.judged(width)):
            if faults:
                raise DataError(faults)
            if position and record:
                yield record.values


def _whole(text: str) -> int:
    finite(text)
    return int(text)


def _values(path: Path, shown: str) -> Any:
    text = _text(path, shown)
    if path.suffix.lower() == ".json":
        try:
            found = read_json(text, whole=_whole)
            json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            reasons = {
                RecursionError: "it is nested too deeply",
                UnicodeEncodeError: "half of a character stands alone",
            }
            reason = reasons.get(type(error), str(error))
            raise DataError([Fault(shown, f"this is not JSON: {reason}", "write a list of levels")]) from error
    else:
        try:
            tree, faults = read_tree(SourceText(shown, text, "list of levels"))
        except NotReadable as problem:
            raise DataError([problem.fault]) from None
        if faults:
            raise DataError(faults)
        found = tree.plain()
    if not isinstance(found, list | dict):
        raise DataError([Fault(shown, "levels are a list, or a mapping from label to value", "write e.g. [low, high]")])
    return found
