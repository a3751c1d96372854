"""What all models of a spec share: strictness, and the way a validator refuses a value."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

KEY: Final = "{key}"  # stands in a cause for the key's dotted path, which a validator does not know

Text = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    """Unknown keys are refused, nothing is converted, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


def refuse(cause: str, remedy: str, *, at_key: bool = False, within: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """The error that a validator raises: its cause and remedy reach the user as they are; `{key}` becomes the key.

    at_key: the fault is that the key stands there at all, not its value. within: the path from the validator's value to
    the place of the fault.
    """
    context = {"cause": cause, "remedy": remedy, "at_key": at_key, "within": within}
    return PydanticCustomError("batchflow", "{cause}", context)
