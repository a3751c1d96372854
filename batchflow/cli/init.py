"""`batchflow init`: a commented study to start from, or a copy of an example."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from batchflow.cli import render
from batchflow.cli.options import Json
from batchflow.errors import UsageError


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Folder to write into; made if it is not there. If left out: this folder, or NAME.",
        ),
    ] = None,
    *,
    example: Annotated[
        str | None,
        typer.Option("--example", metavar="NAME", help="Copy an example: image-appeal, open-coding or vignettes."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a small study to start from, or copy an example.

    Both are commented and run as they stand, on the local provider, free of charge. Files that are there are never
    replaced.
    """
    target = folder if folder is not None else Path(example or "")
    contents = _contents(example)
    _write(target, contents, f"batchflow init {f'--example {example} ' if example else ''}DIR")
    spec = target / "experiment.yaml"
    where = "this folder" if target == Path() else target
    read = f"\n{target / 'README.md'} says what it shows." if "README.md" in contents else ""
    render.note(f"Wrote {', '.join(contents)} into {where}.{read}\nNext: {render.command('run', spec)}")
    if as_json:
        record = {"folder": str(target), "files": list(contents), "spec": str(spec), "example": example}
        render.emit("init", record)


def _contents(example: str | None) -> dict[str, bytes]:
    if example is None:
        from batchflow.spec.starter import starter_files

        return starter_files()
    from batchflow.spec.examples import example_files, example_names

    names = example_names()
    if example not in names:
        raise UsageError(
            f"there is no example {example!r}; nothing was written",
            hint=f"the examples are: {', '.join(names)}",
        )
    return example_files(example)


def _write(folder: Path, contents: Mapping[str, bytes], command: str) -> None:
    """Write all files, or none if one of them is there already."""
    from batchflow import files

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", hint=f"name a folder: {command}")
    taken = [name for name in contents if (folder / name).exists()]
    if taken:
        raise UsageError(
            f"{'this folder' if folder == Path() else folder} already has {', '.join(taken)}; nothing was written",
            hint=f"name another folder: {command}",
        )
    files.make_folder(folder)
    for name, content in contents.items():
        files.atomic_write(folder / name, content)
