"""Who is asked: the spec's provider resolved to an address, a key's name and a scope. Sends nothing."""

import os
import re
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from batchflow.errors import SetupError, UsageError
from batchflow.identity import LOCAL_RESPONDER, LOCAL_RESPONDER_VERSION, scope_of
from batchflow.spec.provider import ProviderSpec

LOCAL: Final = "local"
OPENAI: Final = "openai"
OPENAI_URL: Final = "https://api.openai.com/v1"
OPENAI_KEY: Final = "OPENAI_API_KEY"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
SETTLE: Final = 60.0
LOCAL_SETTLE: Final = 0.2
LOCAL_INTERVAL: Final = 0.5  # seconds between looks at a local server, at most
_SENDABLE: Final = re.compile("[!-~]+")


class Target(NamedTuple):
    """base_url is empty for the local provider, whose server is started when it is needed.

    settle: seconds that a new batch may be missing from the provider's list. own_settings: the OPENAI_* settings of the
    environment are meant for this address.
    """

    name: str
    host: str
    scope: str
    settle: float
    base_url: str = ""
    key_variable: str = ""
    own_settings: bool = False
    seed: int = 0

    @property
    def simulated(self) -> bool:
        return self.name == LOCAL

    def key(self) -> str:
        """The key from the environment; raises SetupError where there is none, or what cannot be one."""
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise SetupError(
                f"no key: the environment variable {self.key_variable} is not set",
                hint=f"export {self.key_variable}=…; or add `--provider local` to the command: a server on this "
                "machine, free of charge, answers SIMULATED",
            )
        if not _SENDABLE.fullmatch(key):  # a header would break, and the error of whoever builds it would show it
            raise SetupError(
                f"the key in {self.key_variable} cannot be one: a space, a line break or a character beyond ASCII is "
                "in the middle of it",
                hint=f"copy the key anew, alone and on one line, and export {self.key_variable}=…",
            )
        return key

    def interval(self, wanted: float) -> float:
        """The longest time between two looks, in seconds: what the spec says; a local server costs nothing to ask."""
        return min(wanted, LOCAL_INTERVAL) if self.simulated else wanted


def resolve(provider: ProviderSpec, override: str | None = None) -> Target:
    """The target of a spec, or of `--provider NAME` in its place."""
    if override is not None and override != provider.name:
        if override not in {LOCAL, OPENAI}:
            raise UsageError(
                f"--provider {override}: the spec names no such provider",
                hint=f"known here: {', '.join(sorted({LOCAL, OPENAI, provider.name}))}",
            )
        provider = ProviderSpec(name=override)
    if provider.name == LOCAL:
        return _local(provider)
    address = provider.base_url or _environment_address()
    host = urlsplit(address).hostname or ""
    return Target(
        name=provider.name,
        host=host,
        scope=scope_of(provider.name, host),
        settle=SETTLE if provider.settle is None else provider.settle,
        base_url=address,
        key_variable=provider.api_key_env or OPENAI_KEY,
        own_settings=provider.base_url is None,
    )


def _local(provider: ProviderSpec) -> Target:
    scope = scope_of(
        LOCAL,
        "localhost",
        responder=LOCAL_RESPONDER,
        responder_version=LOCAL_RESPONDER_VERSION,
        seed=provider.seed,
    )
    settle = LOCAL_SETTLE if provider.settle is None else provider.settle
    return Target(name=LOCAL, host="localhost", scope=scope, settle=settle, seed=provider.seed)


def _environment_address() -> str:
    """OpenAI's address, or the one that the environment names beside its key."""
    address = os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
    parts = _split(address)
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and (parts.hostname or "") in LOOPBACK):
        return address
    if "://" not in address:
        scheme = "http" if (_split(f"//{address}").hostname or "") in LOOPBACK else "https"
        raise SetupError(
            "the address in OPENAI_BASE_URL does not say how to get there: it begins with neither https:// nor http://",
            hint=f"put {scheme}:// in front of it",
        )
    raise SetupError(
        "the address in OPENAI_BASE_URL is not safe for a key: it is neither https nor on this machine",
        hint="use an https address; plain http is for this machine's own servers only",
    )


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # an open bracket: no address at all
        return urlsplit("")
