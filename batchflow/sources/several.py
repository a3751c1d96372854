"""Several files of the same columns as one table: `answers-*.csv`, in the order of their names."""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from batchflow.errors import DataError, Fault
from batchflow.sources.database import connection, identifier, parquet
from batchflow.sources.importing import Target
from batchflow.sources.relation import ROW_GROUP
from batchflow.sources.table import SHOWN_FAULTS, Reading, Source
from batchflow.sources.workshop import Workshop


class Several:
    """The parts, each read as by itself; columns stand in the order of the first part."""

    def __init__(self, shown: str, parts: Sequence[Source], workshop: Workshop) -> None:
        self.shown = shown
        self.kind = parts[0].kind
        self._parts, self._workshop = parts, workshop
        self._ends: list[int] = []  # rows up to the end of each part

    def inspect(self) -> Reading:
        readings = self._readings()
        first = readings[0]
        names = [column.name for column in first.columns]
        faults = []
        for part, reading in zip(self._parts, readings, strict=True):
            own = [column.name for column in reading.columns]
            for said, found in (("lacks", set(names) - set(own)), ("has, beyond them,", set(own) - set(names))):
                if found:
                    listed = ", ".join(repr(name) for name in (*names, *own) if name in found)
                    cause = f"this file {said} the columns of {self._parts[0].shown}: {listed}"
                    faults.append(Fault(part.shown, cause, "give all files the same columns"))
        if faults:
            raise DataError(faults[:SHOWN_FAULTS])
        notes = dict.fromkeys(note for reading in readings for note in reading.notes)
        # whatever decides how any part is read
        options = [repr((each.delimiter, each.drop_blank, each.options)) for each in readings]
        return Reading(
            first.delimiter,
            first.columns,
            drop_blank=first.drop_blank,
            notes=(_told(self._parts), *notes),
            options=tuple(options),
            beside=first.beside,
        )

    def _readings(self) -> list[Reading]:
        """How each part is to be read. Errors: DataError with the faults of all of them."""
        readings: list[Reading] = []
        faults: list[Fault] = []
        for part in self._parts:
            try:
                readings.append(part.inspect())
            except DataError as error:
                faults += error.faults
        if faults:
            raise DataError(faults[:SHOWN_FAULTS])
        return readings

    def read(self, reading: Reading, target: Target) -> tuple[int, str]:
        selects: list[str] = []
        faults: list[Fault] = []
        self._ends = []
        for part, own in zip(self._parts, self._readings(), strict=True):
            path = self._workshop.new_file(".parquet")
            try:
                rows, _ = part.read(own, Target(own.columns, None, path, self._workshop.new_folder()))
            except DataError as error:
                faults += error.faults
                continue
            start = self._ends[-1] if self._ends else 0
            stored = {column.name: identifier(column.stored) for column in own.columns}
            cells = ", ".join(f"{stored[column.name]} AS c{n}" for n, column in enumerate(reading.columns))
            selects.append(f"SELECT row_number + {start} AS n, {cells} FROM {parquet(path)}")
            self._ends.append(start + rows)
        if faults:
            raise DataError(faults[:SHOWN_FAULTS])
        with connection(target.scratch) as database:
            # one after the other: the order of a list of files is not promised
            target.copy(database, target.select(f"({' UNION ALL '.join(selects)})"), ROW_GROUP)
            return target.verify(database, self._ends[-1], {})

    def fault(self, reading: Reading, cause: str, remedy: str, row: int = 0) -> Fault:
        """At the place in its own file where the row stands."""
        del reading
        if not row or not self._ends:
            return Fault(self.shown, cause, remedy)
        number = bisect_left(self._ends, row)
        part = self._parts[number]
        before = self._ends[number - 1] if number else 0
        return part.fault(part.inspect(), cause, remedy, row - before)

    def files(self) -> Sequence[Path]:
        return [path for part in self._parts for path in part.files()]

    def digest(self) -> str | None:
        digest = hashlib.sha256()
        for part in self._parts:
            own = part.digest()
            if own is None:
                return None
            digest.update(f"{part.shown}\n{own}\n".encode())
        return digest.hexdigest()


def _told(parts: Sequence[Source]) -> str:
    return f"{len(parts)} files are read: {parts[0].shown}" + (f" … {parts[-1].shown}" if len(parts) > 1 else "")
