"""Stata and SPSS files: values by their labels where they have them, dates as ISO 8601. Needs the extra `stats`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from batchflow.errors import DataError, Fault
from batchflow.sources import text
from batchflow.sources.table import OneFile, Reading, columns_of, must_be_file, not_installed

if TYPE_CHECKING:
    from batchflow.sources.importing import Target

ROWS_AT_ONCE: Final = 20_000
_CELLS_AT_ONCE: Final = 1_000_000


class StatisticsFile(OneFile):
    """One .dta, .sav or .zsav file. An empty text is missing, as both programs have it; so are missing values."""

    kind = "stats"

    def inspect(self) -> Reading:
        must_be_file(self._path, self.shown)
        _, facts = self._part(metadataonly=True)
        if facts.number_rows == 0:
            raise DataError([Fault(self.shown, "the file has no rows", "name a file with at least one")])
        columns = columns_of(list(facts.column_names), lambda cause, remedy: Fault(self.shown, cause, remedy))
        labelled = [name for name in facts.column_names if facts.variable_value_labels.get(name)]
        notes = [f"values are read by their labels in these columns: {', '.join(labelled)}"] if labelled else []
        return Reading("", columns, False, tuple(notes), tuple(facts.column_names))

    def read(self, reading: Reading, target: "Target") -> tuple[int, str]:
        return target.fill(self._records(reading))

    def _records(self, reading: Reading) -> Iterator[Sequence[str | None]]:
        size = max(1, min(ROWS_AT_ONCE, _CELLS_AT_ONCE // len(reading.options)))
        start = 0
        while True:
            values, facts = self._part(row_offset=start, row_limit=size)
            columns = [
                _texts(values[name], facts.variable_value_labels.get(name, {}), facts.readstat_variable_types[name])
                for name in reading.options
            ]
            yield from zip(*columns, strict=True)
            found = len(columns[0])
            start += found
            if found < size:
                return

    def _part(self, **how: Any) -> tuple[Mapping[str, Sequence[Any]], Any]:
        """Some rows, by column, and what the file says of itself. Errors: DataError, SetupError."""
        try:
            import pyreadstat  # noqa: PLC0415 - an extra, and only for such files
        except ImportError as error:
            raise not_installed(self.shown, "the reader of such files", "stats") from error
        read = pyreadstat.read_dta if self._path.suffix.lower() == ".dta" else pyreadstat.read_sav
        try:
            values, facts = read(str(self._path), output_format="dict", **how)
        except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, OSError, ValueError, OverflowError) as error:
            raise DataError([
                Fault(self.shown, f"the file cannot be read: {error}", "save it anew, or export it as CSV (UTF-8)")
            ]) from error  # fmt: skip
        return values, facts


def _texts(values: Sequence[Any], labels: Mapping[Any, str], kind: str) -> list[str | None]:
    """The cells of a column. A value without a label is shown itself."""
    single = kind == "float"
    # a label may stand at 1 or at 1.0, which are the same key; an empty label says nothing
    return [labels.get(value) or text.of_value(_plain(value), single=single) or None for value in values]


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's."""
    return value.item() if hasattr(value, "item") else value
