"""`batchflow init`: a commented study to start from."""

from pathlib import Path
from typing import Annotated

import typer

from batchflow import files
from batchflow.cli import render
from batchflow.cli.options import Json
from batchflow.errors import UsageError


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write into; made if it is not there.")
    ] = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Write a small commented study to start from.

    It runs as it stands, on the local provider, free of charge.
    """
    from batchflow.spec.starter import starter_files

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", hint="name a folder: batchflow init DIR")
    contents = starter_files()
    taken = [name for name in contents if (folder / name).exists()]
    if taken:
        raise UsageError(
            f"{'this folder' if folder == Path() else folder} already has {', '.join(taken)}; nothing was written",
            hint="name another folder: batchflow init DIR",
        )
    files.make_folder(folder)
    for name, content in contents.items():
        files.atomic_write(folder / name, content)
    spec = folder / "experiment.yaml"
    where = "this folder" if folder == Path() else folder
    render.note(f"Wrote {', '.join(contents)} into {where}.\nNext: {render.command('run', spec)}")
    if as_json:
        render.emit("init", {"folder": str(folder), "files": list(contents), "spec": str(spec)})
