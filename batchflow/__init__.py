"""Ask an LLM about every row of a table through a Batch API: declared in YAML, resumable, bought once.

In Python, `batchflow.load(path)` gives the results of a run; what raises is in `batchflow.errors`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchflow.api import Results, load

__all__ = ["Results", "__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """What is heavy is imported when it is used."""
    if name in {"Results", "load"}:
        return getattr(import_module("batchflow.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
