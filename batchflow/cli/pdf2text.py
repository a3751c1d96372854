"""`batchflow utils pdf2text`: the text of PDF files as a table for make-batch-file."""

from pathlib import Path
from typing import Annotated

import typer

from batchflow.cli import render
from batchflow.cli.bar import bar
from batchflow.cli.deck import check_out
from batchflow.cli.options import Force, Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import UsageError


def pdf2text(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with PDF files.")],
    *,
    start: Annotated[int, typer.Option("--start", help="First page.", min=1)] = 1,
    end: Annotated[int | None, typer.Option("--end", help="Last page. [default: the last]", show_default=False)] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV file to write.")] = Path("pdf-texts.csv"),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the text of PDF files into a CSV table.

    One row per file, in the columns file, pages and text; a template asks about {{text}}. Sends nothing.
    """
    from batchflow.sources.pdf import pdf_files, to_table

    _check(folder, start, end, out, force=force)
    paths = pdf_files(folder)
    if not paths:
        raise UsageError(f"{folder} holds no PDF file", hint="name the folder that the .pdf files are in")
    with Interruptible(), bar("Processing...") as advance:
        found = to_table(paths, out, first=start, last=end, advance=advance)
    empty = [document.name for document in found if not document.characters]
    if empty:
        render.note(f"note: without any text (scanned pages?): {', '.join(empty)}")
    pages = sum(document.pages for document in found)
    render.note(f"Text of {render.plural(len(found), 'file')}, {render.plural(pages, 'page')}, written to {out}")
    render.note(f"Next: a template with {{{{text}}}}, and batchflow make-batch-file TEMPLATE {out}")
    if as_json:
        documents = [{"name": d.name, "pages": d.pages, "characters": d.characters} for d in found]
        render.emit("utils-pdf2text", {"out": str(out), "files": documents})


def _check(folder: Path, start: int, end: int | None, out: Path, *, force: bool) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="name the folder that the .pdf files are in")
    if end is not None and end < start:
        raise UsageError(f"--end {end} lies before --start {start}", hint="pages count from 1, both are included")
    check_out(out, *folder.glob("*.[pP][dD][fF]"))
    if out.exists() and not force:
        raise UsageError(
            f"{out} is there already; nothing was written", hint="name another file with --out, or add --force"
        )
