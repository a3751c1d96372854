"""A spec compiled: its template, its table's header, who is asked. Reads files, writes none; every fault is found here
or when the rows are rendered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchflow.errors import Fault, SpecError
from batchflow.identity import fingerprint, json_bytes, sha256_hex
from batchflow.plan.design import Design, compile_design
from batchflow.plan.target import Target, resolve
from batchflow.prompts.body import Body, Locator, Place
from batchflow.prompts.compile import compile_template
from batchflow.prompts.document import body_from_mapping, body_from_prompt, read_json_template
from batchflow.sources.opening import open_source
from batchflow.sources.table import Imported, Reading, Source, import_rows
from batchflow.sources.workshop import Workshop
from batchflow.spec.explain import Loc
from batchflow.spec.load import Spec

SPEC_NAME: Final = "experiment.yaml"


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that shapes requests, but the rows themselves. files: those it came from, but for the table; copies of
    them belong into the folder of a run.
    """

    spec: Spec
    target: Target
    reading: Reading
    design: Design
    source: Source
    files: tuple[Path, ...] = ()

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

    def fingerprint(self, rows_sha256: str) -> str:
        """The identity of a run of this study over these rows."""
        content = {"template": self.design.digest, "rows": rows_sha256}
        shaping = self.spec.experiment.shaping() | self.design.shaping()
        return fingerprint(self.target.scope, shaping, content)

    @property
    def model(self) -> str:
        """The model that is asked, or all of them."""
        return ", ".join(self.design.models)

    def reading_digest(self) -> str:
        """What, beside the source's digest, decides how its rows are read."""
        names = [column.name for column in self.reading.columns]
        facts = [self.reading.delimiter, names, self.reading.drop_blank, self.spec.experiment.data.id or ""]
        return sha256_hex(json_bytes([*facts, *self.reading.options]))

    def notes(self) -> Iterator[str]:
        """What a careful author wants to know, though nothing is wrong."""
        yield from self.reading.notes
        yield from dict.fromkeys(note for cell in self.design.cells for note in cell.template.notes)
        used = {*self.design.columns, self.spec.experiment.data.id}
        unused = [column.name for column in self.reading.columns if column.name not in used]
        if unused:
            yield f"columns that no prompt uses: {', '.join(unused)}"
        if not self.design.columns:
            yield "the template names no column: every row asks the same"
        if self.spec.experiment.design.balance == "exact":
            yield "balance: exact assigns rows anew when rows are added or taken away"


def compile_study(spec: Spec, provider: str | None = None, workshop: Workshop | None = None) -> Study:
    """Compile a spec for the provider it names, or the one named in its place. workshop: where tables are made ready;
    it must last until the rows are read.

    Raises SpecError, TemplateError, DataError or SetupError; all faults of one file together.
    """
    experiment = spec.experiment
    source = open_source(spec, workshop or Workshop())
    target = resolve(experiment.provider, provider)
    reading = source.inspect()
    names = [column.name for column in reading.columns]
    if experiment.data.id is not None and experiment.data.id.strip() not in names:
        cause = f"the table has no column {experiment.data.id!r}"
        raise SpecError([spec.fault(("data", "id"), cause, f"its columns are: {', '.join(names)}")])
    body, template_file = _body(spec)
    body = body.with_parameters(experiment.parameters, _locator(spec, "parameters"))
    design = compile_design(spec, body, reading.columns, compile_template)
    files = (*([template_file] if template_file else []), *design.files)
    return Study(spec, target, reading, design, source, files)


def _body(spec: Spec) -> tuple[Body, Path | None]:
    template, prompt = spec.experiment.template, spec.experiment.prompt
    if prompt is not None:
        return body_from_prompt(prompt.system, prompt.user, _PromptLocator(spec)), None
    if isinstance(template, str):
        path = spec.resolve(template)
        if not path.is_file():
            raise SpecError([_missing_file(spec, ("template",), path)])
        return read_json_template(path, template), path
    return body_from_mapping(template or {}, _locator(spec, "template")), None


def _missing_file(spec: Spec, loc: Loc, path: Path) -> Fault:
    cause = "this is a folder, not a file" if path.is_dir() else f"there is no file {path.name!r} in {path.parent}"
    return spec.fault(loc, cause, "paths count from the folder of the experiment file")


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
        return self._spec.fault(loc, cause, remedy, inside=place.offset)
