"""Which rows a command asks: the spec's sample, and what its options say instead."""

from pathlib import Path
from typing import Any, NamedTuple

from batchflow.errors import DataError, Fault, UsageError


class RowOptions(NamedTuple):
    """The options --sample, --seed, --ids and --where as they were given."""

    sample: int | None = None
    seed: int | None = None
    ids: Path | None = None
    where: str | None = None

    def __bool__(self) -> bool:
        return self != RowOptions()

    def choice(self, spec: Any) -> Any:
        """The RowChoice of the command. Raises UsageError, and DataError where the ids cannot be read."""
        from batchflow.sources.choice import sample_of

        choice = sample_of(spec.experiment.sample)
        choice = choice if self.sample is None else choice._replace(n=self.sample)
        if self.seed is not None and not choice.n:
            raise UsageError("--seed goes with a sample", hint="add --sample N, or `sample` to the spec")
        if self.where is not None and not self.where.strip():
            raise UsageError("--where is empty", hint="write a condition: --where \"country = 'DE'\"")
        return choice._replace(
            seed=choice.seed if self.seed is None else self.seed,
            ids=None if self.ids is None else _ids(self.ids),
            source="" if self.ids is None else str(self.ids),
            where=self.where or "",
        )


def _ids(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError([Fault(str(path), f"the file of ids cannot be read: {error.strerror}", _REMEDY)]) from None
    except UnicodeDecodeError:
        raise DataError([Fault(str(path), "the file of ids is not UTF-8", "save it as UTF-8")]) from None
    found = [line for line in lines if line]
    if not found:
        raise DataError([Fault(str(path), "the file names no id", _REMEDY)])
    return found


_REMEDY = "write one id per line, as the id column has it"
