"""The plan of a run, frozen in manifest.json: provenance, identity, size. What happens to it stands in the journal."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from batchflow.errors import SetupError
from batchflow.plan.answer_types import AnswerPlan
from batchflow.sources.columns import Column

MANIFEST_SCHEMA: Final = "batchflow.manifest/1"


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The table that was read, of some kind. sha256 is of the file's bytes (empty where the rows come from no file),
    reading_sha256 of the way it was read, rows_sha256 of the rows as read.
    """

    path: str
    sha256: str
    rows_sha256: str
    reading_sha256: str
    rows: int
    delimiter: str
    drop_blank: bool
    kind: str = "delimited"


@dataclass(frozen=True, slots=True)
class ConditionFacts:
    """A condition: its number in custom_ids, its text, and its cell for each factor."""

    number: int
    text: str
    cells: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """distinct is the number of different prompts among the requests; database is relative to the project's folder.
    models: all that are asked, where there are several. factors: name -> type of its column. reuse: what the spec
    said of final answers of other runs, or `fresh` for a run of --fresh, which takes none. sample: the choice of rows,
    where not all are asked.
    """

    run: str
    experiment: str
    created_at: str
    fingerprint: str
    scope: str
    provider: str
    host: str
    simulated: bool
    endpoint: str
    model: str
    requests: int
    distinct: int
    source: SourceFacts
    columns: tuple[Column, ...]
    template_sha256: str
    database: str
    raw: bool
    description: str = ""
    models: tuple[str, ...] = ()
    factors: Mapping[str, str] = field(default_factory=dict)
    conditions: tuple[ConditionFacts, ...] = ()
    replicates: int = 1
    duplicates: str = "separate"
    reuse: str = "project"
    identity_version: int = 1
    git_commit: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    answer: AnswerPlan | None = None
    sample: Mapping[str, Any] | None = None

    def to_bytes(self) -> bytes:
        text = json.dumps({"schema": MANIFEST_SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False)
        return (text + "\n").encode()


def read_plan(path: Path) -> Plan:
    """The plan in a manifest.json; raises SetupError if it is not one of ours or of a newer version."""
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
        schema = value.pop("schema")
        if schema != MANIFEST_SCHEMA:
            raise SetupError(
                f"{path} was written by another version of batchflow ({schema})", hint="use the version that wrote it"
            )
        source = SourceFacts(**value.pop("source"))
        columns = tuple(Column(**column) for column in value.pop("columns"))
        conditions = tuple(
            ConditionFacts(each["number"], each["text"], tuple(each["cells"])) for each in value.pop("conditions", ())
        )
        models = tuple(value.pop("models", ()))
        answer = None if (kept := value.pop("answer", None)) is None else AnswerPlan.from_json(kept)
        return Plan(source=source, columns=columns, conditions=conditions, models=models, answer=answer, **value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SetupError(
            f"{path} cannot be read as a run's manifest: {error}",
            hint="put the file back from a backup or a copy of the run's folder; it is written once and never changed",
        ) from error
