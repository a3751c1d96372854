"""Where tables that are no file of the study's are made ready to be read: a folder of scratch, and the way to the
results of other runs, which a higher layer knows.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from batchflow import files


class Exported(NamedTuple):
    """The results of a run as parquet files, in order; notes: what is to be said about that run."""

    run: str
    parts: tuple[Path, ...]
    notes: tuple[str, ...]


# (what `data.run` says, the folder of the spec, a folder to write to) -> the results; raises errors of ours
Export = Callable[[str, Path, Path], Exported]


class Workshop:
    """Lasts from the compilation of a study to the reading of its rows; its folder is made when it is needed."""

    def __init__(self, export: Export | None = None) -> None:
        self.export = export
        self._resources = ExitStack()
        self._folder: Path | None = None
        self._made = 0

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder = self._resources.enter_context(files.scratch_folder())
        return self._folder

    def new_file(self, suffix: str) -> Path:
        """A name that nothing has yet."""
        self._made += 1
        return self.folder / f"{self._made}{suffix}"

    def new_folder(self) -> Path:
        return files.make_folder(self.new_file(""))

    def close(self) -> None:
        self._resources.close()
        self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
