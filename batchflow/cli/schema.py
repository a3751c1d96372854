"""`batchflow schema`: the spec's JSON Schema, for editors."""

from batchflow.cli import render
from batchflow.cli.options import Json


def schema(*, as_json: Json = False) -> None:
    """Print the JSON Schema of experiment files."""
    del as_json  # it is JSON in any case
    from batchflow.spec.schema import schema_text

    render.write(schema_text())
