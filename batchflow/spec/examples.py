"""The example studies that `batchflow init --example` copies: `projects/` of a checkout, `examples/` of a wheel."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
_SPEC: Final = "experiment.yaml"
# what a study consists of; what a run leaves beside it (runs/, *.duckdb, .batchflow/, batch files) is nobody else's
_KINDS: Final = frozenset({".yaml", ".csv", ".json", ".md", ".sql"})


def _home() -> Path:
    # pyproject.toml puts the one in the other's place when a wheel is built
    installed = _PACKAGE / "examples"
    return installed if installed.is_dir() else _PACKAGE.parent / "projects"


def example_names() -> list[str]:
    """Names of the examples, sorted; none where an installation came without them."""
    return sorted(spec.parent.name for spec in _home().glob(f"*/{_SPEC}"))


def example_files(name: str) -> dict[str, bytes]:
    """File name -> content of the example `name`, one of `example_names()`."""
    paths = sorted((_home() / name).iterdir())
    return {path.name: path.read_bytes() for path in paths if path.is_file() and path.suffix in _KINDS}
