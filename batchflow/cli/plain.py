"""Words that need no conversion are taken as they are. typer imports pydantic to convert any, even a text or an option
that was not given, and that is half of what `status` takes; whatever is not plain is still converted by typer.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer._coercion import RuntimeParam, build_runtime_param  # typer has no public place for this
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class PlainCommand(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))


def _plain(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperArgument | TyperOption):
            told = param.type_descriptor
            param._runtime_param = _Plain(told.parameter_info, told.annotation)  # noqa: SLF001 - see above
    return params


@dataclass(frozen=True)
class _Plain(RuntimeParam):
    """Nothing, a text, and a path that is not there or readable stay what they are; typer has the rest."""

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        if self.annotation is str and isinstance(value, str):
            return value
        if self.annotation is Path and (os.access(value, os.R_OK) or not Path(value).exists()):
            return Path(value)
        return build_runtime_param(param.type_descriptor).coerce(value, param, ctx)
