"""The audit of a store: from its folder, or from the server that holds it."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from batchflow.errors import SetupError, UsageError
from batchflow.server.ledger import Ledger
from batchflow.server.process import ADDRESS, LOOPBACK, TOKEN_VARIABLE
from batchflow.server.store import Store

_PATIENCE: Final = 60.0  # seconds that a server may take


def audit_of(target: str) -> dict[str, Any]:
    """What was called, executed and noticed; target = a base URL of this machine, or a store's folder. Raises
    UsageError or SetupError.
    """
    if target.startswith(("http://", "https://")):
        return _asked(target, os.environ.get(TOKEN_VARIABLE))
    folder = Path(target)
    if not (folder / "batches.sqlite").is_file():
        raise UsageError(f"{target} is no store of `batchflow serve`", hint="name its folder, or the server's address")
    try:
        store = Store(folder)
    except SetupError:
        held = _holder(folder)
        if held is None:
            raise
        return _asked(held["base_url"], held["token"])
    try:
        return Ledger(store).audit()
    finally:
        store.close()


def _holder(folder: Path) -> dict[str, Any] | None:
    """Address and token of the server that holds the store; None where none says so."""
    try:
        told = json.loads((folder / ADDRESS).read_bytes())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and {"base_url", "token"} <= told.keys() else None


def _asked(address: str, token: str | None) -> dict[str, Any]:
    parts = urlsplit(address)
    if parts.hostname not in LOOPBACK:
        raise UsageError(f"{address} is not on this machine", hint="the audit of a local server is at 127.0.0.1 only")
    asked = urllib.request.Request(  # noqa: S310 - its scheme was looked at
        f"{parts.scheme}://{parts.netloc}/admin/audit", headers={"Authorization": f"Bearer {token or 'any'}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on this machine
    try:
        with opener.open(asked, timeout=_PATIENCE) as answer:
            audited: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise SetupError(
            f"{address} answers {error.code} when asked for its audit", hint=f"set {TOKEN_VARIABLE} to its key"
        ) from error
    except (OSError, ValueError) as error:
        raise SetupError(f"{address} does not answer: {error}", hint="start it, or name its store's folder") from error
    return audited
