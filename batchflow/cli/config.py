"""`batchflow utils config`: what the deck's commands would use here, without secrets."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batchflow import __version__
from batchflow.cli import render
from batchflow.cli.deck import Service, Who, service
from batchflow.cli.options import Json
from batchflow.errors import SetupError

_NAMED = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS")


def config(*, provider: Who = "openai", as_json: Json = False) -> None:
    """Show who would be asked, and which settings are there.

    Sends nothing; of a key it says only whether it is set.
    """
    from batchflow.engine.single import FOLDER

    asked = service(provider)
    target, address = asked.target, asked.address
    usable = target.simulated
    if not usable:
        try:
            usable = bool(target.key())
        except SetupError as error:
            render.note(f"note: {error.message}")
    record = {
        "batchflow": __version__,
        "provider": target.name,
        "host": target.host,
        "address": address or None,
        "simulated": target.simulated,
        "key_usable": usable,
        "environment": {name: bool(os.environ.get(name)) for name in _NAMED},
        "records": str(Path(FOLDER)),
        "store": str(asked.store) if target.simulated else None,
    }
    if as_json:
        render.emit("utils-config", record)
        return
    render.show("\n".join(_lines(asked, record)))


def _lines(asked: Service, record: dict[str, Any]) -> Iterator[str]:
    target = asked.target
    settings = ", ".join(name for name, there in record["environment"].items() if there) or "none"
    there = os.environ.get(target.key_variable)
    state = "is set" if record["key_usable"] else "cannot be used" if there else "is not set"
    yield f"batchflow  {__version__}"
    yield f"provider   {target.name}{render.simulated(really=target.simulated)}"
    yield f"address    {record['address'] or 'a server of its own on this machine'}"
    yield f"key        {'not needed' if target.simulated else f'{target.key_variable} {state}'}"
    yield f"settings   {settings}"
    yield f"records    {record['records']}/ in this folder"
    if target.simulated:
        yield f"store      {record['store']}/ in this folder: files and batches of its local server"
