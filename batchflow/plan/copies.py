"""The files that a spec names beside its table, and the names of their copies in a run's folder (law 4)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from batchflow.plan.levels import level_files
from batchflow.spec.load import Spec

SPEC_NAME: Final = "experiment.yaml"


def named_files(spec: Spec) -> tuple[Path, ...]:
    """What requests are made from: template, inserts, the answer's schema, levels of factors; each file once."""
    experiment = spec.experiment
    schema = experiment.answer.schema_ if experiment.answer is not None else None
    maybe = (experiment.template, *experiment.context.values(), schema)
    named = (spec.resolve(file) for file in maybe if isinstance(file, str))
    return tuple(dict.fromkeys((*named, *level_files(spec))))


def copies(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Each file, and the name of its copy: its own, unless another one has that."""
    taken = {SPEC_NAME}
    for path in paths:
        name, number = path.name, 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        taken.add(name.lower())
        yield path, name
