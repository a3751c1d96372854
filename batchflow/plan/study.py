"""A spec compiled: its template, its table's header, who is asked. Reads files, writes none; every fault is found here
or when the rows are rendered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batchflow.errors import Fault, InvalidInput, SpecError, TemplateError
from batchflow.identity import fingerprint, json_bytes, sha256_hex
from batchflow.plan.copies import named_files
from batchflow.plan.design import Design, compile_design
from batchflow.plan.target import Target, resolve
from batchflow.prompts.body import Body, Locator, Place
from batchflow.prompts.compile import compile_template
from batchflow.prompts.context import Insert, read_insert
from batchflow.prompts.document import body_from_mapping, body_from_prompt, read_template
from batchflow.prompts.near import closest
from batchflow.prompts.personal import Lint
from batchflow.sources.choice import RowChoice, sample_of
from batchflow.sources.columns import EMBEDDING, Column, result_names
from batchflow.sources.few import FewRows, few_rows
from batchflow.sources.opening import open_source
from batchflow.sources.table import Imported, Reading, Source, import_rows, renamed, shortened
from batchflow.sources.workshop import Workshop
from batchflow.spec.endpoints import EMBEDDINGS, RAW
from batchflow.spec.load import Spec
from batchflow.spec.places import Loc

if TYPE_CHECKING:
    from batchflow.plan.answer_types import AnswerPlan
    from batchflow.plan.answers import Answers


class Columns(NamedTuple):
    """What a study's columns are called: those of its rows, and those of its answers, where these are typed."""

    data: tuple[Column, ...]
    answers: "AnswerPlan | None"

    def renamed(self) -> Iterator[str]:
        """What is called otherwise in the table of results."""
        yield from renamed(self.data)
        for field in () if self.answers is None else self.answers.columns:
            if field.results != field.name:
                yield f"the answer's field {field.name!r} is called {field.results!r} in the table of results"


class Study(NamedTuple):
    """Everything that shapes requests, but the rows themselves. files: those it came from, but for the table; copies of
    them belong into the folder of a run.
    """

    spec: Spec
    target: Target
    reading: Reading
    design: Design
    source: Source
    files: tuple[Path, ...] = ()
    answers: "Answers | None" = None

    @property
    def columns(self) -> Columns:
        """The names of all columns, which no two share."""
        stored = [column.stored for column in self.reading.columns]
        factors = [factor.name for factor in self.design.factors if factor.name.lower() != "model"]
        fields = self.answers.stored() if self.answers else [EMBEDDING] * (self.spec.experiment.endpoint == EMBEDDINGS)
        data, fields = result_names(stored, factors, fields)
        named = tuple(replace(column, results=name) for column, name in zip(self.reading.columns, data, strict=True))
        return Columns(named, self.answers.plan(fields) if self.answers else None)

    @property
    def source_shown(self) -> str:
        return self.source.shown

    def import_rows(self, target: Path) -> Imported:
        """The table as rows.parquet; raises DataError with every fault found."""
        data = self.spec.experiment.data
        return import_rows(
            self.source,
            self.reading,
            id_column=data.id,
            required=self.design.columns,
            missing=data.missing,
            target=target,
        )

    def few_rows(self) -> FewRows | None:
        """The rows in memory, where they are few, nothing is wrong with them, and no SQL chooses among them."""
        if not self.design.rules.plain:
            return None
        data, required = self.spec.experiment.data, self.design.columns
        return few_rows(self.source, self.reading, id_column=data.id, required=required, missing=data.missing)

    def fingerprint(self, rows_sha256: str) -> str:
        """The identity of a run of this study over these rows."""
        content = {"template": self.design.digest, "rows": rows_sha256}
        if self.answers and self.answers.digest:
            content["extract"] = self.answers.digest
        shaping = self.spec.experiment.shaping() | self.design.shaping() | self.choice.shaping()
        return fingerprint(self.target.scope, shaping, content)

    @property
    def choice(self) -> RowChoice:
        """Which rows are asked, where not all are."""
        return self.design.rules.choice

    @property
    def model(self) -> str:
        """The model that is asked, or all of them."""
        return ", ".join(self.design.models)

    def lint(self) -> Lint | None:
        """What looks for personal data in the prompts, where the study wants that."""
        if not self.spec.experiment.data.lint:
            return None
        lint = Lint(self.design.columns)
        for template in dict.fromkeys(cell.template.constants for cell in self.design.cells):
            lint.template(template)
        return lint

    def reading_digest(self) -> str:
        """What, beside the source's digest, decides how its rows are read."""
        names = [column.name for column in self.reading.columns]
        facts = [self.reading.delimiter, names, self.reading.drop_blank, self.spec.experiment.data.id or ""]
        return sha256_hex(json_bytes([*facts, *self.reading.options]))

    def notes(self) -> Iterator[str]:
        """What a careful author wants to know, though nothing is wrong."""
        yield from self.reading.notes
        yield from self.design.notes
        yield from dict.fromkeys(note for cell in self.design.cells for note in cell.template.notes)
        used = {*self.design.columns, self.spec.experiment.data.id}
        names = [column.name for column in self.reading.columns]
        unused = [name for name in names if name not in used]
        if unused:
            yield f"columns that no prompt uses: {shortened(unused)}"
        if self.spec.experiment.endpoint == EMBEDDINGS and EMBEDDING in map(str.lower, names):
            yield f"the vector is called 'answer_{EMBEDDING}' in the table of results"
        if self.choice:
            yield f"not all rows are asked: {self.choice.words()}"
        if not self.design.columns:
            yield "the template names no column: every row asks the same"
        if self.spec.experiment.design.balance == "exact":
            yield "balance: exact assigns rows anew when rows are added or taken away"
        columns = self.columns
        yield from columns.renamed()
        if columns.answers is not None:
            from batchflow.plan.answer_types import duckdb_type  # noqa: PLC0415 - where answers are typed

            typed = [f"{each.results} {duckdb_type(each.kind)}" for each in columns.answers.columns]
            yield f"{len(typed)} typed column{'s' * (len(typed) > 1)}: {', '.join(typed)}"


def compile_study(
    spec: Spec, provider: str | None = None, workshop: Workshop | None = None, choice: RowChoice | None = None
) -> Study:
    """Compile a spec for the provider it names, or the one named in its place. workshop: where tables are made ready;
    it must last until the rows are read. choice: of the rows, in place of the spec's own.

    Raises SpecError, TemplateError, DataError or SetupError; all faults of one file together.
    """
    experiment = spec.experiment
    source = open_source(spec, workshop or Workshop())
    target = resolve(experiment.provider, provider)
    if (fault := _asks_nobody(spec, target)) is not None:
        raise SpecError([fault])
    reading = source.inspect()
    try:
        return _compiled(spec, target, source, reading, sample_of(experiment.sample) if choice is None else choice)
    except (SpecError, TemplateError) as error:
        error.hint = error.hint or reading.beside  # a column that is missing may stand in another sheet
        raise


def _compiled(spec: Spec, target: Target, source: Source, reading: Reading, choice: RowChoice) -> Study:
    experiment = spec.experiment
    names = [column.name for column in reading.columns]
    if experiment.data.id is not None and experiment.data.id.strip() not in names:
        cause = f"the table has no column {experiment.data.id!r}"
        raise SpecError([spec.fault(("data", "id"), cause, f"its columns are: {', '.join(names)}")])
    _check_by(spec, choice, names)
    answers = _answers(spec)
    body = _body(spec).with_parameters(experiment.parameters, _locator(spec, "parameters"))
    body = body if answers is None else answers.asked(body, experiment.endpoint)
    compiled = partial(
        compile_template,
        endpoint=experiment.endpoint,
        context=_context(spec, names),
        withheld=_withheld(spec, names),
    )
    design = compile_design(spec, body, reading.columns, compiled, choice)
    return Study(spec, target, reading, design, source, named_files(spec), answers)


def _answers(spec: Spec) -> "Answers | None":
    """What the study wants of its answers, if anything."""
    answer = spec.experiment.answer
    if answer is None:
        return None
    from batchflow.plan.answers import compile_answers  # noqa: PLC0415 - where answers are typed

    return compile_answers(spec, answer)


def _check_by(spec: Spec, choice: RowChoice, names: Sequence[str]) -> None:
    faults = [
        spec.fault(("sample", "by", place), f"there is no column {name!r}", f"the columns are {', '.join(names)}")
        for place, name in enumerate(choice.by)
        if name not in names
    ]
    if faults:
        raise SpecError(faults)


def _body(spec: Spec) -> Body:
    template, prompt = spec.experiment.template, spec.experiment.prompt
    if prompt is not None:
        return body_from_prompt(prompt.system, prompt.user, _PromptLocator(spec), spec.experiment.endpoint)
    if isinstance(template, str):
        return read_template(_named_file(spec, ("template",), template), template)
    return body_from_mapping(template or {}, _locator(spec, "template"))


def _context(spec: Spec, columns: Sequence[str]) -> dict[str, Insert]:
    """The named inserts; all faults of all of them together."""
    inserts: dict[str, Insert] = {}
    faults: list[Fault] = []
    kinds = dict.fromkeys(spec.experiment.design.factors, "a factor") | dict.fromkeys(columns, "a column of the table")
    for name, file in spec.experiment.context.items():
        if name in kinds:
            cause = f"the insert {name!r} has the name of {kinds[name]}: {{{{{name}}}}} would mean either"
            faults.append(spec.fault(("context", name), cause, "give the insert another name", key=True))
            continue
        try:
            inserts[name] = read_insert(_named_file(spec, ("context", name), file), file)
        except InvalidInput as error:
            faults += error.faults
    if faults:
        raise TemplateError(faults)
    return inserts


def _withheld(spec: Spec, columns: Sequence[str]) -> list[str]:
    """The columns that `data.send` keeps here. Raises SpecError for a name in it that no column has."""
    allowed = spec.experiment.data.send
    if allowed is None:
        return []
    faults = []
    for place, name in enumerate(allowed):
        if name.strip() not in columns:
            meant = closest(name, columns)
            remedy = f"did you mean {meant}?" if meant else f"its columns are: {', '.join(columns)}"
            faults.append(spec.fault(("data", "send", place), f"the table has no column {name!r}", remedy))
    if faults:
        raise SpecError(faults)
    may_leave = {name.strip() for name in allowed}
    return [name for name in columns if name not in may_leave]


def _named_file(spec: Spec, loc: Loc, file: str) -> Path:
    path = spec.resolve(file)
    if not path.is_file():
        raise SpecError([spec.missing(loc, path)])
    return path


def _asks_nobody(spec: Spec, target: Target) -> Fault | None:
    """The local provider has no answers of the endpoints that are loaded raw."""
    endpoint = spec.experiment.endpoint
    if not target.simulated or endpoint not in RAW:
        return None
    cause = f"the local provider does not answer {endpoint}: it draws no pictures and makes no films"
    remedy = "ask a provider that does: `provider: openai`; `batchflow plan` shows the requests, free of charge"
    return spec.fault(("endpoint",), cause, remedy)


def _locator(spec: Spec, *prefix: str) -> Locator:
    """Places of a body that stands in the spec itself."""

    def locate(place: Place, cause: str, remedy: str) -> Fault:
        loc = (*prefix, *place.path)
        return spec.fault(loc, f"{place.words()}: {cause}", remedy, key=place.key, inside=place.offset)

    return locate


class _PromptLocator:
    """Places of the two texts that `prompt:` holds; what is wrong with the body as a whole, parameters must mend."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def __call__(self, place: Place, cause: str, remedy: str) -> Fault:
        loc: Loc = ("prompt", *place.path) if place.path[:1] in {("system",), ("user",)} else ("parameters",)
        return self._spec.fault(loc, cause, remedy, key=place.key, inside=place.offset)
