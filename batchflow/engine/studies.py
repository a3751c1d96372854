"""From the word on a command line to a study: the experiment file that it names, and what its tables need."""

from pathlib import Path

from batchflow.errors import Fault, SpecError
from batchflow.sources.workshop import Exported, Workshop

DEFAULT = "experiment.yaml"
TABLES = frozenset({".csv", ".tsv", ".tab", ".jsonl", ".parquet", ".xlsx", ".xls", ".ods"})


def spec_path(argument: Path) -> Path:
    """The experiment file that an argument names: itself, or the one in the folder. Raises SpecError for a table."""
    if argument.suffix.lower() in TABLES and argument.is_file():
        beside = argument.with_name(DEFAULT)
        remedy = f"name the experiment file: {beside}"
        if not beside.is_file():
            remedy = "name the experiment file whose data.source it is; `batchflow init DIR` writes one to start from"
        raise SpecError([Fault(str(argument), "this is a data table, not an experiment file", remedy)])
    return argument / DEFAULT if argument.is_dir() and (argument / DEFAULT).is_file() else argument


def workshop() -> Workshop:
    """Where a study is compiled that may read the results of other runs."""
    return Workshop(_export)


def _export(named: str, folder: Path, target: Path) -> Exported:
    from batchflow.engine.other_runs import export_results  # noqa: PLC0415 - most studies read no other run

    return export_results(named, folder, target)
