"""`batchflow schema`: the spec's JSON Schema, for editors."""

import json

from batchflow.cli import render
from batchflow.cli.options import Json


def schema(*, as_json: Json = False) -> None:
    """Print the JSON Schema of experiment files."""
    from batchflow.spec.schema import schema_text

    if as_json:
        render.emit("schema", {"json_schema": json.loads(schema_text())})
    else:
        render.write(schema_text())
