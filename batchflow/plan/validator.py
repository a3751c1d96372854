"""A JSON Schema as what it says of a value: compiled once, offline."""

from typing import TYPE_CHECKING, Any, NoReturn

from batchflow.spec.strict import Path

if TYPE_CHECKING:
    import jsonschema_rs


class SchemaBroken(ValueError):
    """A value is no JSON Schema, or one that cannot be read here. path: the place in it."""

    def __init__(self, cause: str, path: Path = ()) -> None:
        super().__init__(cause)
        self.cause, self.path = cause, path


def validator(schema: Any) -> "jsonschema_rs.Validator":
    """What judges values by the schema, which is plain JSON. Errors: SchemaBroken. Nothing is fetched for it."""
    import jsonschema_rs  # noqa: PLC0415 - heavy; only studies with a schema pay for it

    try:
        return jsonschema_rs.validator_for(schema, retriever=_refused)
    except jsonschema_rs.ValidationError as error:
        if "is not present in a registry" in error.message:
            raise SchemaBroken("a schema cannot refer to another file or address") from None
        raise SchemaBroken(error.message.splitlines()[0], tuple(error.instance_path)) from None
    except (ValueError, RecursionError) as error:
        raise SchemaBroken(str(error).splitlines()[0]) from None


def _refused(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")
