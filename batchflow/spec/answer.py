"""What an answer must look like, and the columns it becomes: what `answer:` may say."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from batchflow.spec.base import KEY, Strict, refuse
from batchflow.spec.extract import check_pattern
from batchflow.spec.fields import check_names, field_schema, object_schema


def _field(field: Any) -> Any:
    field_schema(field)
    return field


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    check_names(fields)
    return fields


def _schema_kind(schema: Any) -> Any:
    if schema is None or (isinstance(schema, dict) and schema):
        return schema
    if not isinstance(schema, str):
        cause = f"{KEY} must be the name of a JSON file, or a JSON Schema"
        raise refuse(cause, "write e.g. schema: answer.schema.json")
    if PurePosixPath(schema).suffix.lower() != ".json":
        remedy = "write the schema directly below `schema:`, or save it as JSON; for a short form use `fields:`"
        raise refuse(f"{KEY} must be the name of a JSON file (ending in .json)", remedy)
    return schema


# In JSON Schema only the outer form is said: a nested one would have to be a definition that refers to itself.
_FORMS: Final = {
    "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}, {"type": "object", "minProperties": 1}]
}
FieldType = Annotated[Any, BeforeValidator(_field), WithJsonSchema(_FORMS)]
Pattern = Annotated[str, AfterValidator(check_pattern)]


class AnswerSpec(Strict):
    """What an answer must look like; typed columns come of it."""

    model_config = ConfigDict(
        **Strict.model_config,
        json_schema_extra={"oneOf": [{"required": [name]} for name in ("schema", "fields", "extract")]},
    )

    schema_: Annotated[str | dict[str, Any] | None, BeforeValidator(_schema_kind)] = Field(
        default=None,
        alias="schema",
        description="A JSON Schema that every answer must fit: the name of a JSON file, or the schema itself. Sent as "
        "it is, in its own order.",
        examples=["answer.schema.json"],
    )
    fields: Annotated[dict[str, FieldType], AfterValidator(_named)] | None = Field(
        default=None,
        description="The short form of a schema: each field with its type, generated in this order. Types: text, "
        "integer, number, boolean, a range (1..7, 0.0..1.0), a list of choices ([yes, no]), `list of text`, a nested "
        "mapping; a `?` at the end allows null. {type: …, description: …, nullable: true} is the long form of each.",
        examples=[{"why": "text", "choice": ["kawaii", "cubs", "futuristic"], "score": "1..7", "sure": "boolean?"}],
    )
    extract: Annotated[dict[str, Pattern], AfterValidator(_named)] | None = Field(
        default=None,
        description="Columns taken out of a free answer, for which nothing is sent: a name with a regular expression "
        "(its first group, or all of it), or with a path into the answer's JSON ($.a.b[0]). No match is NULL.",
        examples=[{"score": "Score: ([1-7])", "why": "$.reasons[0]"}],
    )
    strict: bool = Field(
        default=True,
        description="Whether the service is asked to keep to the schema strictly. Not every schema can be: `validate` "
        "shows what to change.",
        examples=[False],
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> "AnswerSpec":
        given = [name for name in ("schema", "fields", "extract") if self._given(name) is not None]
        if len(given) > 1:
            cause = f"{KEY}: {' and '.join(f'`{name}`' for name in given)} are given"
            raise refuse(cause, "keep one of them and remove the other")
        if not given:
            raise refuse(f"{KEY} says nothing about the answer", "add e.g. fields: {why: text, score: 1..7}")
        if given == ["extract"] and not self.strict:
            raise refuse(f"{KEY}: `strict` belongs to a schema, and `extract` sends none", "remove `strict`")
        return self

    def _given(self, name: str) -> Any:
        return self.schema_ if name == "schema" else getattr(self, name)

    def fields_schema(self) -> dict[str, Any] | None:
        """The JSON Schema that `fields` stands for."""
        return None if self.fields is None else object_schema(self.fields)
