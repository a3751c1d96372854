"""The design of a study, compiled: factors crossed to conditions, a template for each, and who is asked under which."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from batchflow.design.assignment import pick
from batchflow.design.conditions import Condition, Factor, cross
from batchflow.errors import Fault, SpecError
from batchflow.identity import json_bytes, sha256_hex
from batchflow.plan.levels import check_zipped, level_files, read_factors
from batchflow.prompts.body import Body, Place
from batchflow.prompts.near import closest
from batchflow.prompts.template import Template
from batchflow.sources import selection
from batchflow.sources.choice import RowChoice
from batchflow.sources.columns import Column
from batchflow.sources.rows import Chunk
from batchflow.sources.selection import BadCondition, Rules, Selection
from batchflow.spec.design import DesignSpec
from batchflow.spec.explain import BODY_KEYS
from batchflow.spec.load import Spec

SHOWN_LEVELS: Final = 10
Compile = Callable[[Body, Sequence[str]], Template]


class Cell(NamedTuple):
    """A condition with the template that asks it. constants: factor -> its text, for the slots that name it."""

    condition: Condition
    template: Template
    constants: Mapping[str, str]


class Design(NamedTuple):
    """Every condition of a study, in order; without factors there is one. notes: what its author may want to know."""

    spec: DesignSpec
    factors: tuple[Factor, ...]
    cells: tuple[Cell, ...]
    rules: Rules  # who is asked, the choice of rows included
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    locate: Callable[[BadCondition], Fault] = lambda _: Fault("", "", "")

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the data that some template uses."""
        used = {column for cell in self.cells for column in cell.template.columns}
        return frozenset(used - {factor.name for factor in self.factors})

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that is asked, in the order of the conditions."""
        return tuple(dict.fromkeys(cell.template.model for cell in self.cells))

    @property
    def most_each(self) -> int:
        """Requests of one row at the most."""
        return self.spec.replicates * (1 if self.spec.assign == "between" else len(self.cells))

    @property
    def each(self) -> int | None:
        """Requests of every row, where that is the same for all whatever is in the table."""
        return self.most_each if self.rules.plain and self.spec.assign != "between" else None

    @property
    def digest(self) -> str:
        """What is asked, but for the rows: that of the template where there is one condition without factors."""
        if not self.factors:
            return self.cells[0].template.digest
        return sha256_hex(json_bytes([[cell.condition.text, cell.template.digest] for cell in self.cells]))

    def shaping(self) -> dict[str, Any]:
        """The keys of the design for the fingerprint, values equal to the defaults left out."""
        default = DesignSpec.model_construct()
        keys = {name: getattr(self.spec, name) for name in DesignSpec.model_fields if name != "factors"}
        found = {f"design.{name}": value for name, value in keys.items() if value != getattr(default, name)}
        if self.factors:
            levels = [[factor.name, [[level.label, level.value] for level in factor.levels]] for factor in self.factors]
            found["design.factors"] = levels
        return found

    @contextmanager
    def assigned(self, rows: Path | None) -> "Iterator[Assignment]":
        """Who is asked under which conditions. rows: where they are stored, which only plain rules do without.

        Raises SpecError where an SQL condition fails for a row.
        """
        try:
            if self.rules.plain:
                yield Assignment(self, None)
                return
            if rows is None:
                raise AssertionError("rows are chosen among stored ones")
            with Selection(rows, self.rules) as chosen:
                yield Assignment(self, chosen)
        except BadCondition as error:
            raise SpecError([self.locate(error)]) from error


class Assignment:
    """The cells of each row."""

    def __init__(self, design: Design, chosen: Selection | None) -> None:
        self._design, self._chosen = design, chosen
        self._one_each = design.spec.assign == "between" and design.spec.balance == "hash"
        self._places = {cell.condition.number: place for place, cell in enumerate(design.cells)}

    def of(self, chunk: Chunk) -> list[Sequence[int]]:
        """The positions in `cells` under which each row of the chunk is asked."""
        possible: list[Sequence[int]] = [range(len(self._design.cells))] * chunk.count
        if self._chosen is not None:
            found: list[list[int]] = [[] for _ in range(chunk.count)]
            for row, number in self._chosen.possible(chunk.first_row, chunk.first_row + chunk.count - 1):
                found[row - chunk.first_row].append(self._places[number])
            possible = list(found)
        if not self._one_each:
            return possible
        return [self._picked(row_id, places) for row_id, places in zip(chunk.row_ids, possible, strict=True)]

    def _picked(self, row_id: str, places: Sequence[int]) -> Sequence[int]:
        conditions = [self._design.cells[place].condition for place in places]
        chosen = pick(self._design.spec.seed, row_id, conditions)
        return () if chosen is None else (self._places[chosen.number],)


def compile_design(spec: Spec, body: Body, columns: Sequence[Column], compiled: Compile, choice: RowChoice) -> Design:
    """Cross the factors of a spec and compile a template for each condition; of the rows, `choice` is asked.

    Raises SpecError, TemplateError or DataError; what is wrong with one template is wrong with all.
    """
    factors = read_factors(spec)
    check_zipped(spec, factors)
    names = [column.name for column in columns]
    _check_names(spec, factors, names)
    conditions = cross(factors, spec.experiment.design.zip)
    keys = _keys(spec, body, factors, conditions[0], names=names, compiled=compiled)
    templates: dict[bytes, Template] = {}
    cells = []
    for condition in conditions:
        values = {name: level.value for name, level in condition.levels.items() if name in keys}
        key = json_bytes(values)
        if key not in templates:
            templates[key] = compiled(_with_levels(spec, body, values), [*names, *(factor.name for factor in factors)])
        texts = {name: level.text for name, level in condition.levels.items()}
        cells.append(Cell(condition, templates[key], texts))
    rules, idle = _rules(spec, factors, conditions, columns, choice)
    overridden = [name for name in keys if name in spec.experiment.parameters]
    notes = [
        f"the factor {name!r} sets what `parameters.{name}` sets as well: that value is not used" for name in overridden
    ]
    notes += [_removes_nothing(text, factors) for text in idle]
    return Design(
        spec.experiment.design,
        factors,
        tuple(cells),
        rules,
        level_files(spec),
        tuple(notes),
        lambda error: _at(spec, error),
    )


def _removes_nothing(text: str, factors: Sequence[Factor]) -> str:
    """A word on a condition of `exclude` that no combination of levels meets."""
    note = f"`exclude` ({text}) removes nothing"
    for factor in factors:
        if re.search(rf"(?<!\w){re.escape(factor.name)}(?!\w)", text, re.IGNORECASE):
            labels = [level.label for level in factor.levels]
            more = f" and {len(labels) - SHOWN_LEVELS} more" if len(labels) > SHOWN_LEVELS else ""
            note += f"; the labels of {factor.name} are {', '.join(labels[:SHOWN_LEVELS])}{more}"
    return note


def _check_names(spec: Spec, factors: Sequence[Factor], names: Collection[str]) -> None:
    lower = {name.lower() for name in names}
    faults = [
        spec.fault(
            ("design", "factors", factor.name),
            f"{factor.name!r} is a factor and a column of the data: nobody could tell which is meant",
            "rename the factor",
            key=True,
        )
        for factor in factors
        if factor.name.lower() in lower
    ]
    strata = spec.experiment.design.strata
    faults += [
        spec.fault(("design", "strata", place), f"there is no column {name!r}", f"the columns are {', '.join(names)}")
        for place, name in enumerate(strata)
        if name not in names
    ]
    if faults:
        raise SpecError(faults)


def _keys(
    spec: Spec, body: Body, factors: Sequence[Factor], first: Condition, *, names: Sequence[str], compiled: Compile
) -> set[str]:
    """The factors that set a key of the body: one that is there, or one that the API knows and no slot names.

    Raises SpecError for a factor that is neither key nor slot.
    """
    keys = {factor.name for factor in factors if factor.name in body.root or factor.name == "model"}
    if len(keys) == len(factors):
        return keys
    values = {name: first.levels[name].value for name in keys}
    known = [*names, *(factor.name for factor in factors)]
    slots = compiled(_with_levels(spec, body, values), known).columns
    faults = []
    for factor in factors:
        if factor.name in keys or factor.name in slots:
            continue
        if factor.name in BODY_KEYS:
            keys.add(factor.name)
            continue
        faults.append(spec.fault(("design", "factors", factor.name), *_changes_nothing(factor.name, body), key=True))
    if faults:
        raise SpecError(faults)
    return keys


def _changes_nothing(name: str, body: Body) -> tuple[str, str]:
    """Cause and remedy for a factor that is neither key nor slot."""
    cause = f"the factor {name!r} changes nothing: "
    for key, slot in body.replaced_slots():
        if name in re.findall(r"\w+", slot) or name in slot.strip("{} "):
            cause += f"`parameters.{key}` takes the place of {slot}, where the template names it"
            return cause, f"remove `{key}` under `parameters`"
    meant = closest(name, {*body.root, *BODY_KEYS})
    remedy = f"write {{{{ {name} }}}} where it belongs in the template"
    remedy += f", or name the key that you meant: {meant}?" if meant else ""
    return cause + "it is no key of the request, and no template names it", remedy


def _with_levels(spec: Spec, body: Body, values: Mapping[str, Any]) -> Body:
    """The body under a condition. A fault in a level is shown at its factor."""

    def locate(place: Place, cause: str, remedy: str) -> Fault:
        if place.path[:1] and place.path[0] in values:
            return spec.fault(("design", "factors", str(place.path[0])), f"{place.words()}: {cause}", remedy)
        return body.locate_parameters(place, cause, remedy)

    return body.with_parameters(values, locate) if values else body


def _rules(
    spec: Spec,
    factors: Sequence[Factor],
    conditions: Sequence[Condition],
    columns: Sequence[Column],
    choice: RowChoice,
) -> tuple[Rules, Sequence[str]]:
    """What decides who is asked, and the conditions of `exclude` that cannot remove anything."""
    design = spec.experiment.design
    stored = {column.name: column.stored for column in columns}
    rules = Rules(
        columns=list(stored.values()),
        factors={factor.name: factor.type for factor in factors},
        conditions={
            condition.number: [factor.cell(condition.levels[factor.name]) for factor in factors]
            for condition in conditions
        },
        where=design.where,
        exclude=design.exclude,
        strata=[stored[name] for name in design.strata] if design.balance == "exact" else None,
        seed=design.seed,
        choice=choice,
        choice_by=[stored[name] for name in choice.by],
    )
    if rules.plain:
        return rules, ()
    try:
        return rules, selection.check(rules)
    except BadCondition as error:
        raise SpecError([_at(spec, error)]) from error


def _at(spec: Spec, error: BadCondition) -> Fault:
    """The fault at the condition that it is about."""
    wheres, conditions = len(spec.experiment.design.where), len(spec.experiment.design.exclude)
    if error.position >= wheres + conditions:
        return Fault("--where", error.cause, error.remedy)
    key, place = ("where", error.position) if error.position < wheres else ("exclude", error.position - wheres)
    return spec.fault(("design", key, place), error.cause, error.remedy)
