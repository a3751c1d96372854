"""Servers shared by the tests of this folder: starting one takes about a second."""

from collections.abc import Iterator

import pytest

from tests.server.client import Client
from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server without token and faults."""
    with ServerProcess(tmp_path_factory.mktemp("plain") / "store") as server:
        yield server


@pytest.fixture
def client(plain: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client with a key, and so with a project, of its own."""
    with Client(plain, key=f"sk-{request.node.name}") as opened:
        yield opened
