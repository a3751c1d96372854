"""The JSON Schema of an experiment file, for editors: generated from the models, committed in schemas/."""

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from batchflow.spec.model import Experiment
from batchflow.spec.provider import LOCAL, PROVIDER_PATTERN

FILE_NAME: Final = "experiment.schema.json"


class _Generator(GenerateJsonSchema):
    """Without the titles that repeat the keys' names, and in the order of the models."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        del parent_key
        return value


def schema_text() -> str:
    """The schema as it is committed and written beside studies; ends with a newline."""
    return json.dumps(_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema() -> dict[str, Any]:
    schema = Experiment.model_json_schema(schema_generator=_Generator)
    provider = schema["properties"]["provider"]
    provider.pop("$ref")
    provider["anyOf"] = [{"type": "string", "pattern": PROVIDER_PATTERN}, {"$ref": "#/$defs/ProviderSpec"}]
    provider["default"] = LOCAL
    tables = [{"required": ["source"]}, {"anyOf": [{"required": ["query"]}, {"required": ["run"]}]}]
    schema["$defs"]["DataSpec"]["oneOf"] = tables
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"batchflow/{FILE_NAME}",
        "title": "batchflow experiment",
        "description": schema.pop("description"),
    }
    schema.pop("title")
    only_one = [{"required": ["template"]}, {"required": ["prompt"]}]
    return {**head, **schema, "oneOf": only_one}
