"""The plan of a run, frozen in manifest.json: provenance, identity, size. What happens to it stands in the journal."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchflow.cost.tally import Group
from batchflow.errors import SetupError
from batchflow.sources.columns import Column

if TYPE_CHECKING:
    from batchflow.plan.answer_types import AnswerPlan
    from batchflow.prompts.personal import Finding

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
    where not all are asked. columns_sent: by header name those that some prompt uses; None where an older version did
    not say. personal: what was found of personal data; None where nobody looked. weights: of the requests of round 1;
    None in plans of versions that did not weigh them. expires_after (seconds) and delete_remote: what the spec said of
    the files at the provider.
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
    answer: "AnswerPlan | None" = None
    columns_sent: tuple[str, ...] | None = None
    personal: "tuple[Finding, ...] | None" = None
    sample: Mapping[str, Any] | None = None
    weights: tuple[Group, ...] | None = None
    expires_after: int | None = None
    delete_remote: bool = False

    def to_bytes(self) -> bytes:
        weights = None if self.weights is None else [group.to_json() for group in self.weights]
        facts = {"schema": MANIFEST_SCHEMA, **asdict(self), "weights": weights}
        return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()


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
        sent = None if (kept := value.pop("columns_sent", None)) is None else tuple(map(str, kept))
        answer = None if (kept := value.pop("answer", None)) is None else _answer(kept)
        personal = None if (found := value.pop("personal", None)) is None else tuple(map(_finding, found))
        weights = None if (kept := value.pop("weights", None)) is None else tuple(map(Group.from_json, kept))
        return Plan(
            source=source,
            columns=columns,
            conditions=conditions,
            models=models,
            answer=answer,
            columns_sent=sent,
            personal=personal,
            weights=weights,
            **value,
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SetupError(
            f"{path} cannot be read as a run's manifest: {error}",
            hint="put the file back from a backup or a copy of the run's folder; it is written once and never changed",
        ) from error


def _answer(value: Mapping[str, Any]) -> "AnswerPlan":
    from batchflow.plan.answer_types import AnswerPlan  # noqa: PLC0415 - `status` of most runs needs none

    return AnswerPlan.from_json(value)


def _finding(value: Mapping[str, Any]) -> "Finding":
    from batchflow.prompts.personal import Finding  # noqa: PLC0415 - `status` of most runs needs none

    return Finding(value["kind"], tuple(value["columns"]), value["rows"], tuple(value["examples"]))
