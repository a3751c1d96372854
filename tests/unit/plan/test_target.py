"""Who is asked, under which scope, and which key goes where (law 8)."""

import pytest

from batchflow.errors import SetupError, UsageError
from batchflow.plan.target import resolve
from batchflow.spec.provider import ProviderSpec

OWN = ProviderSpec(name="my-service", base_url="https://llm.example.org:8443/v1", api_key_env="MY_SERVICE_API_KEY")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "MY_SERVICE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_openai_by_default() -> None:
    target = resolve(ProviderSpec(name="openai"))
    assert (target.base_url, target.scope) == ("https://api.openai.com/v1", "openai/api.openai.com")
    assert (target.key_variable, target.own_settings, target.simulated) == ("OPENAI_API_KEY", True, False)
    assert target.settle == 60
    assert target.interval(60) == 60


def test_a_service_of_ones_own_has_its_own_key_and_none_of_openais_settings() -> None:
    target = resolve(OWN)
    assert (target.host, target.scope) == ("llm.example.org", "my-service/llm.example.org")
    assert (target.key_variable, target.own_settings) == ("MY_SERVICE_API_KEY", False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://llm.example.org/v1", "https://llm.example.org:8443/v1"),
        ("https://llm.example.org/v1", "https://LLM.Example.ORG/api/v2"),
        ("http://127.0.0.1:1/v1", "http://127.0.0.1:65535/v1"),
    ],
)
def test_the_port_and_the_path_are_no_part_of_the_scope(one: str, other: str) -> None:
    scopes = {
        resolve(ProviderSpec(name="my-service", base_url=url, api_key_env="MY_SERVICE_API_KEY")).scope
        for url in (one, other)
    }
    assert len(scopes) == 1


def test_the_local_provider_is_its_responder_and_seed() -> None:
    first, second = resolve(ProviderSpec(name="local")), resolve(ProviderSpec(name="local", seed=7))
    assert first.simulated
    assert first.base_url == ""
    assert first.scope == "local/localhost/simulate/v1/seed0"
    assert second.scope == "local/localhost/simulate/v1/seed7"
    assert first.settle < 1
    assert first.interval(60) < 1
    assert first.interval(0.1) == 0.1


def test_settle_of_the_spec_counts() -> None:
    assert resolve(ProviderSpec.model_validate({"name": "openai", "settle": "5s"})).settle == 5
    assert resolve(ProviderSpec.model_validate({"name": "local", "settle": "5s"})).settle == 5


@pytest.mark.parametrize("override", ["openai", "local"])
def test_an_override_replaces_the_provider_with_all_its_settings(override: str) -> None:
    assert resolve(OWN, override) == resolve(ProviderSpec(name=override))


def test_an_override_that_names_the_specs_own_provider_changes_nothing() -> None:
    assert resolve(OWN, "my-service") == resolve(OWN)


def test_an_unknown_override_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="azure") as caught:
        resolve(OWN, "azure")
    assert "local, my-service, openai" in caught.value.hint


@pytest.mark.parametrize(
    "address",
    ["https://gateway.example.org/v1", "HTTPS://Gateway.example.org", "http://localhost:9/v1", "http://127.0.0.1:8000",
     "http://[::1]:8000/v1"],
)  # fmt: skip
def test_the_environments_address_is_used_for_openai(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f" {address} ")
    target = resolve(ProviderSpec(name="openai"))
    assert target.base_url == address
    assert target.scope == f"openai/{target.host}"
    assert target.host in {"gateway.example.org", "localhost", "127.0.0.1", "::1"}
    assert resolve(OWN).base_url == OWN.base_url, "a service of the spec has its own address"


@pytest.mark.parametrize(
    "address",
    ["http://gateway.example.org/v1", "http://localhost.example.org", "http://127.0.0.1.example.org", "ftp://x.org",
     "gateway.example.org", "https://", "https:///v1", "http://", "https://[::1", "http://localhost@evil.example"],
)  # fmt: skip
def test_an_address_that_is_not_safe_for_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(SetupError, match="OPENAI_BASE_URL"):
        resolve(ProviderSpec(name="openai"))
    resolve(ProviderSpec(name="local"))


def test_an_empty_address_is_openais(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "  ")
    assert resolve(ProviderSpec(name="openai")).host == "api.openai.com"


def test_the_key_is_the_targets_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    with pytest.raises(SetupError, match="MY_SERVICE_API_KEY"):
        resolve(OWN).key()
    monkeypatch.setenv("MY_SERVICE_API_KEY", " own \n")
    assert resolve(OWN).key() == "own"
    assert resolve(ProviderSpec(name="openai")).key() == "sk-openai"
    monkeypatch.setenv("OPENAI_API_KEY", "  ")
    with pytest.raises(SetupError, match="OPENAI_API_KEY"):
        resolve(ProviderSpec(name="openai")).key()


@pytest.mark.parametrize("key", ["XYZ XYZ", "XYZ\nXYZ", "XY\x01Z", "XYZö", "“XYZ”", "XYZ\x1b[31m", "XYZ\x7f"])
def test_what_no_header_holds_is_no_key_and_is_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_API_KEY", key)
    with pytest.raises(SetupError, match="MY_SERVICE_API_KEY") as caught:
        resolve(OWN).key()
    assert "XY" not in caught.value.message + caught.value.hint
    assert caught.value.hint
    assert caught.value.exit_status == 3
