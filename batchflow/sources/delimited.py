"""CSV and TSV files: what their header says, and their rows (by way of `delimited_rows`). A file in another encoding
than UTF-8 is written anew in UTF-8 first, line by line the same.
"""

import codecs
import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from batchflow import files
from batchflow.errors import DataError, Fault
from batchflow.sources import table
from batchflow.sources.scan import BLOCK, Record, Scanner, check_start, header_text
from batchflow.sources.table import Imported, OneFile, Reading, columns_of, must_be_file
from batchflow.sources.workshop import Workshop

if TYPE_CHECKING:
    from batchflow.sources.importing import Target

LOCATED_ROWS: Final = 100_000
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars (|)"}
_TAB_SUFFIXES: Final = {".tsv", ".tab"}


class Delimited(OneFile):
    """One file. encoding: that of its bytes, UTF-8 without."""

    kind = "delimited"

    def __init__(self, path: Path, shown: str, workshop: Workshop, encoding: str | None = None) -> None:
        super().__init__(path, shown)
        self._workshop = workshop
        self._encoding = None if encoding is None or codecs.lookup(encoding).name == "utf-8" else encoding
        self._recoded: Path | None = None

    def inspect(self) -> Reading:
        """Read the header only. Errors: DataError where there is no such file, no header, no row, or a header that
        cannot be used.
        """
        must_be_file(self._path, self.shown)
        path, shown = self._utf8(), self.shown
        check_start(path, shown)
        delimiter, by_name = _delimiter(self._path, path, shown)
        with path.open("rb") as handle:
            scanner = Scanner(handle, delimiter, shown)
            header = next(iter(scanner), None)
            if header is None:
                raise DataError([_fault(shown, "the file is empty", "the first line must name the columns")])
            if scanner.faults:
                raise DataError(scanner.faults)
            if not scanner.more():
                raise DataError([
                    _fault(shown, "the file has a header and no rows", "add at least one row below the header", header)
                ])  # fmt: skip
        raw = [value or "" for value in header.values]
        drop_blank = len(raw) > 1 and all(header.blanks[1:])
        named = [name.strip() for name in raw]
        columns = columns_of(named, lambda cause, remedy: _fault(shown, cause, remedy, header))
        options = () if self._encoding is None else (self._encoding,)
        notes = tuple(_notes(delimiter, by_name, drop_blank))
        return Reading(delimiter, columns, drop_blank, notes, options)

    def read(self, reading: Reading, target: "Target") -> tuple[int, str]:
        from batchflow.sources.delimited_rows import DelimitedRows  # noqa: PLC0415 - duckdb is heavy

        must_be_file(self._path, self.shown)
        return DelimitedRows(self._utf8(), reading, self.shown, target).write()

    def content(self, most: int) -> bytes | None:
        """The file in UTF-8; None where it has more bytes than that."""
        with self._utf8().open("rb") as handle:
            content = handle.read(most + 1)
        return content if len(content) <= most else None

    def fault(self, reading: Reading, cause: str, remedy: str, row: int = 0) -> Fault:
        """With `row`, at the line on which this row begins, if it is not far down."""
        record = None
        if 0 < row <= LOCATED_ROWS:
            with self._utf8().open("rb") as handle:
                record = next(islice(Scanner(handle, reading.delimiter, self.shown), row, None), None)
        return _fault(self.shown, cause, remedy, record)

    def _utf8(self) -> Path:
        """The file in UTF-8: itself, or a copy that is made once."""
        if self._encoding is None:
            return self._path
        if self._recoded is None:
            target = self._workshop.new_file(self._path.suffix)
            _recode(self._path, self._encoding, target, self.shown)
            self._recoded = target
        return self._recoded


def _recode(path: Path, encoding: str, target: Path, shown: str) -> None:
    """Write the file anew in UTF-8. Errors: DataError at the first byte that the encoding does not know."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with path.open("rb") as source, files.atomic_writer(target) as recoded:
        try:
            while block := source.read(BLOCK):
                text = decoder.decode(block)
                line += text.count("\n")
                recoded.write(text.encode())
            recoded.write(decoder.decode(b"", final=True).encode())
        except UnicodeError as error:
            if isinstance(error, UnicodeDecodeError):
                with_line = line + error.object[: error.start].decode(encoding, "replace").count("\n")
                cause = f"the byte 0x{error.object[error.start]:02X} in or below this line is no {encoding}"
                raise DataError([Fault(shown, cause, _ENCODING_REMEDY, with_line)]) from None
            cause = f"the file is no {encoding}: {error}"
            raise DataError([Fault(shown, cause, _ENCODING_REMEDY)]) from None


_ENCODING_REMEDY: Final = "name the file's encoding in `encoding` under `data:`, or save the file as UTF-8"


def inspect(path: Path, shown: str) -> Reading:
    """The header of a UTF-8 file alone. Errors: as `Delimited.inspect`."""
    return Delimited(path, shown, Workshop()).inspect()


def import_rows(
    path: Path,
    reading: Reading,
    *,
    id_column: str | None,
    required: Collection[str],
    missing: Literal["error", "empty"],
    target: Path,
    shown: str,
) -> Imported:
    """The rows of a UTF-8 file alone, as `table.import_rows` does for every kind of table."""
    source = Delimited(path, shown, Workshop())
    return table.import_rows(source, reading, id_column=id_column, required=required, missing=missing, target=target)


def _delimiter(path: Path, readable: Path, shown: str) -> tuple[str, bool]:
    """What separates the fields, and whether the name of the file said so."""
    if path.suffix.lower() in _TAB_SUFFIXES:
        return "\t", True
    bare = re.sub(r'"[^"]*"', "", header_text(readable, shown))
    counts = {sign: bare.count(sign) for sign in _NAMES}
    if counts[","] or not any(counts.values()):
        return ",", True
    return max(counts, key=lambda sign: counts[sign]), False


def _notes(delimiter: str, by_name: bool, drop_blank: bool) -> Iterator[str]:
    if not by_name:
        yield f"columns are separated by {_NAMES[delimiter]}, as the header shows"
    if drop_blank:
        yield "every column name after the first begins with a blank: one leading blank of every value is dropped"


def _fault(shown: str, cause: str, remedy: str, record: Record | None = None) -> Fault:
    if record is None:
        return Fault(shown, cause, remedy)
    return Fault(shown, cause, remedy, record.line, None, record.excerpt)
