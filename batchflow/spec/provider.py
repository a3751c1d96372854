"""Who is asked, and where a key may go: the address of a service and the name of its key's variable."""

import ipaddress
import re
from difflib import get_close_matches
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationInfo, field_validator

from batchflow.spec.base import KEY, Strict, refuse
from batchflow.spec.units import Duration

LOCAL: Final = "local"
OPENAI: Final = "openai"
OPENAI_KEY: Final = "OPENAI_API_KEY"
PROVIDER_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,63}$"

_OPENAI_HOSTS: Final = re.compile(r"^(?:[a-z]{2}\.)?api\.openai\.com$")
_EXAMPLE: Final = "write e.g. https://llm.example.org/v1"


class ProviderSpec(Strict):
    """Who is asked. `provider: local` is short for `provider: {name: local}`."""

    name: str = Field(
        description="openai; local (a Batch API on this machine: free, offline, answers are SIMULATED); or a "
        "label of your own for any OpenAI-compatible service, which then needs base_url and api_key_env. "
        "Answers never cross names.",
        examples=["local", "openai", "my-service"],
        json_schema_extra={"pattern": PROVIDER_PATTERN},
    )
    base_url: str | None = Field(
        default=None,
        validate_default=True,
        description="The address of the service up to /v1. https; http only on this machine.",
        examples=["https://llm.example.org/v1"],
    )
    api_key_env: str | None = Field(
        default=None,
        validate_default=True,
        description="The environment variable that holds the key (never the key itself); its name ends in _API_KEY. "
        "Without it OPENAI_API_KEY is used, for openai only.",
        examples=["MY_SERVICE_API_KEY"],
        json_schema_extra={"pattern": "^[A-Z][A-Z0-9_]*_API_KEY$"},
    )
    settle: Duration | None = Field(
        default=None,
        description="How long a new batch may be missing from the provider's list of batches; 60s unless given. "
        "After a lost reply nothing is sent again before this time has passed.",
        examples=["60s"],
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**63 - 1,
        description="Local only: the seed of the simulated answers. Another seed gives other answers.",
        examples=[1],
    )

    @field_validator("name")
    @classmethod
    def _label(cls, name: str) -> str:
        if not re.match(PROVIDER_PATTERN, name) or "\n" in name:
            meant = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64]
            raise refuse(
                f"{KEY} may hold lower-case letters, digits and `-` only",
                f"write {meant}" if meant else "write openai or local",
            )
        return name

    @field_validator("base_url")
    @classmethod
    def _address(cls, base_url: str | None, info: ValidationInfo) -> str | None:
        name = info.data.get("name")
        if base_url is None:
            if name in {None, LOCAL, OPENAI}:
                return None
            near = get_close_matches(str(name), [LOCAL, OPENAI], 1)
            raise refuse(
                f"{KEY} is missing: where the provider `{name}` is found",
                (f"did you mean {near[0]}? " if near else "")
                + "add base_url and api_key_env, or use the provider openai or local",
            )
        if name == LOCAL:
            raise refuse(
                f"{KEY} does not apply to the provider local", "remove the line, or give the service a name of its own"
            )
        return _check_base_url(base_url)

    @field_validator("api_key_env")
    @classmethod
    def _key_name(cls, variable: str | None, info: ValidationInfo) -> str | None:
        name, base_url = info.data.get("name"), info.data.get("base_url")
        if variable is None:
            if base_url is None:
                return None
            raise refuse(
                f"{KEY} is missing: a key goes only to its own host, so a base_url needs a key of its own",
                "add e.g. api_key_env: MY_SERVICE_API_KEY and set that variable in the environment",
            )
        if name == LOCAL:
            raise refuse(f"{KEY} does not apply to the provider local", "remove the line: local needs no key")
        _check_key_name(variable)
        if variable == OPENAI_KEY and base_url is not None and not _goes_to_openai(base_url):
            raise refuse(
                f"{KEY}: the key in {OPENAI_KEY} goes to OpenAI only, not to the host of this base_url",
                "name another variable, e.g. MY_SERVICE_API_KEY, and put the key of this service into it",
            )
        return variable

    @field_validator("seed")
    @classmethod
    def _seed_of_local(cls, seed: int, info: ValidationInfo) -> int:
        if info.data.get("name", LOCAL) != LOCAL:
            raise refuse(
                f"{KEY} is the seed of simulated answers and applies to the provider local only",
                "remove the line; for the model's own seed write `seed` under `parameters`",
            )
        return seed


def _check_base_url(base_url: str) -> str:
    """The address, if it is https (or http on this machine) and holds nothing but host, port and path."""
    parts = _split(base_url)
    if parts.username is not None or parts.password is not None:
        raise refuse(f"{KEY} holds a user name or password", "remove it: keys come from the environment (api_key_env)")
    if parts.query or parts.fragment or "?" in base_url or "#" in base_url:
        raise refuse(f"{KEY} holds a query or fragment (`?…`, `#…`)", "write the address up to /v1 only")
    if parts.scheme == "http" and not _on_this_machine(parts.hostname or ""):
        raise refuse(
            f"{KEY} is plain http: key and data would travel unencrypted",
            "write https://; http is allowed on this machine only (localhost, 127.0.0.1)",
        )
    return base_url


def _split(base_url: str) -> SplitResult:
    if not re.fullmatch(r"[!-~]+", base_url) or "\\" in base_url:
        raise refuse(f"{KEY} is not a web address: it holds blanks or other characters that no address has", _EXAMPLE)
    try:
        parts = urlsplit(base_url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port out of range, an open bracket
        raise refuse(f"{KEY} is not a web address", _EXAMPLE) from None
    if parts.scheme not in {"http", "https"} or not has_host:
        raise refuse(f"{KEY} is not a web address with https:// and a host", _EXAMPLE)
    return parts


def _on_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _goes_to_openai(base_url: str) -> bool:
    """Whether the address is OpenAI's own, over https: the only host that OPENAI_API_KEY may go to by a spec."""
    parts = urlsplit(base_url)
    return parts.scheme == "https" and bool(_OPENAI_HOSTS.match(parts.hostname or ""))


def _check_key_name(variable: str) -> None:
    if re.fullmatch(r"[A-Z][A-Z0-9_]*_API_KEY", variable):
        return
    meant = re.sub(r"[^A-Z0-9]+", "_", variable.upper()).strip("_")
    meant = re.sub(r"_?(?:API_?)?KEY$", "", meant) + "_API_KEY"
    if re.search(r"[a-z]", variable) and re.search(r"[0-9-]", variable):  # looks like a key: do not repeat any of it
        meant = "MY_SERVICE_API_KEY"
    raise refuse(
        f"{KEY} must be the name of an environment variable that ends in _API_KEY (capital letters, digits, `_`), "
        "never the key itself",
        f"write e.g. {meant if meant[0].isalpha() else 'MY_SERVICE_API_KEY'}",
    )
