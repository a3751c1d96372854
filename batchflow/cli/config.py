"""`batchflow utils config`: what the deck's commands would use here, without secrets."""

import os
from pathlib import Path

from batchflow import __version__
from batchflow.cli import render
from batchflow.cli.deck import Who, service
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
    settings = ", ".join(name for name, there in record["environment"].items() if there) or "none"
    state = "is set" if usable else "cannot be used" if os.environ.get(target.key_variable) else "is not set"
    key = "not needed" if target.simulated else f"{target.key_variable} {state}"
    lines = [
        f"batchflow  {__version__}",
        f"provider   {target.name}{render.simulated(really=target.simulated)}",
        f"address    {address or 'a server of its own on this machine'}",
        f"key        {key}",
        f"settings   {settings}",
        f"records    {FOLDER}/ in this folder",
    ]
    if target.simulated:
        lines.append(f"store      {asked.store}/ in this folder: files and batches of its local server")
    render.show("\n".join(lines))
