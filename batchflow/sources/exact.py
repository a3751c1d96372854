"""The rows of a delimited file as the scanner reads them: exactly, and with every fault found."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from batchflow.errors import DataError, Fault
from batchflow.sources.scan import Scanner
from batchflow.sources.table import SHOWN_FAULTS, Reading


def records(handle: BinaryIO, reading: Reading, shown: str) -> Iterator[Sequence[str | None]]:
    """The cells of every row of a file in UTF-8, None for a missing one. Errors: DataError with what is wrong, at the
    end; nothing more is given once something is.
    """
    faults: list[Fault] = []
    total = 0
    header = True  # which is no row
    scanner = Scanner(handle, reading.delimiter, shown, drop_blank=reading.drop_blank)
    for found, record in scanner.judged(len(reading.columns)):
        total += len(found)
        faults += found[: SHOWN_FAULTS - len(faults)]
        if record and not header and not total:
            yield record.values
        header = False
    if total:
        raise DataError(faults, total=total)
