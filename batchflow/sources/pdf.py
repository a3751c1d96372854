"""The text of PDF files, page by page, as a table that a template can ask about. Needs the extra `pdf`."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchflow import files
from batchflow.errors import DataError, Fault, SetupError

INSTALL: Final = "pip install 'batchflow-llm[pdf]'"
SHOWN_FAULTS: Final = 20
HEADER: Final = ("file", "pages", "text")


@dataclass(frozen=True, slots=True)
class Document:
    """What was taken from one file: how many pages of how many in all, and how many characters they have."""

    name: str
    pages: int
    all_pages: int
    characters: int


def pdf_files(folder: Path) -> list[Path]:
    """The PDF files of a folder by name; not those of folders in it."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".pdf" and path.is_file())


def to_table(
    paths: list[Path], target: Path, *, first: int, last: int | None, advance: Callable[[int, int], None]
) -> list[Document]:
    """Write the pages from `first` to `last` (from 1, both included) of every file: one row of the CSV a file.

    Errors: SetupError where the reader is not installed, DataError with every file that cannot be read; nothing is
    written then.
    """
    faults: list[Fault] = []
    found: list[Document] = []
    with files.atomic_writer(target) as handle:
        handle.write((",".join(HEADER) + "\n").encode())
        for number, path in enumerate(paths, start=1):
            try:
                pages, all_pages = _pages(path, first, last)
            except DataError as error:
                faults += error.faults
                continue
            text = "\n\n".join(pages)
            found.append(Document(path.name, len(pages), all_pages, len(text)))
            row = f"{_quoted(path.name)},{len(pages)},{_quoted(text)}\n"
            handle.write(row.encode("utf-8", "replace"))
            advance(number, len(paths))
        if faults:
            raise DataError(faults[:SHOWN_FAULTS], total=len(faults))
    return found


def _pages(path: Path, first: int, last: int | None) -> tuple[list[str], int]:
    try:
        from pypdf import PdfReader  # noqa: PLC0415 - an extra, and only for this command
        from pypdf.errors import PyPdfError  # noqa: PLC0415 - as above
    except ImportError as error:
        raise SetupError("the reader of PDF files is not installed", hint=f"install it: {INSTALL}") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells every oddity of a file that it reads all the same
    try:
        pages = PdfReader(path).pages
        return [page.extract_text().replace("\x00", "") for page in pages[first - 1 : last]], len(pages)
    except (PyPdfError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        cause = f"the file cannot be read: {error or type(error).__name__}"
        remedy = "mend it (an encrypted file: save it without a password), or move it out of the folder"
        raise DataError([Fault(str(path), cause, remedy)]) from error


def _quoted(text: str) -> str:
    """A field of a CSV file; an empty one is a missing cell."""
    return '"' + text.replace('"', '""') + '"' if text else ""
