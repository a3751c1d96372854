"""How much one answer may cost: whoever wrote the schema may be careless or hostile, and others wait."""

from typing import Final

from batchflow.server.schema.forms import SchemaRefused

_STEPS: Final = 200_000  # values and characters looked at; a second or two


class Effort:
    """The steps that are left for one answer."""

    def __init__(self, steps: int = _STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """SchemaRefused once they are used up."""
        self._left -= steps
        if self._left < 0:
            raise SchemaRefused("it is too complicated for the local simulator")
