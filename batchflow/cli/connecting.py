"""The provider that a command asks, for as long as it asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def connected(target: Any, server: Path, *, stays: bool) -> Iterator[Any]:
    """The provider of a target, let go of at the end. server: the store of a local one; stays: it goes on afterwards,
    for a command that does not wait.
    """
    from batchflow.providers.local import LocalProvider, LocalServer
    from batchflow.providers.openai import connect

    if not target.simulated:
        provider = connect(target)
        try:
            yield provider
        finally:
            provider.close()
        return
    local = LocalProvider(LocalServer(server, target.seed))
    try:
        yield local
    finally:
        local.close()
        if not stays:
            local.stop()
