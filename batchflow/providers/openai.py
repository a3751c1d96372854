"""The adapter to OpenAI and every service that speaks its Files + Batches protocol. The only importer of the SDK.

Replies are read raw and parsed in base.py: the SDK's objects validate nothing. The SDK repeats failed calls by itself,
which is welcome for all of them but one: a repeated create is a second paid batch.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import httpcore2
import httpx2
import openai

from batchflow.errors import ProviderDoubt, ProviderRefused
from batchflow.plan.target import LOOPBACK, Target
from batchflow.providers.base import (
    Batch,
    FilePage,
    Page,
    RemoteFile,
    Reply,
    parse_batch,
    parse_file,
    parse_file_page,
    parse_page,
)

CALL_TIMEOUT: Final = 60.0  # seconds for create, list and retrieve
PAGE: Final = 100
LONGEST_WAIT: Final = 86_400.0  # seconds
_OTHERS_SETTINGS: Final = ("OPENAI_CUSTOM_HEADERS", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
_DOUBTFUL: Final = frozenset({408, 409})

_OWN_REFUSALS: Final = frozenset({400, 413, 415, 422})  # what is wrong is the request itself
ASK_TIMEOUT: Final = 600.0  # seconds; a model may think for minutes

Result = TypeVar("Result")

# Bytes that are read from a connection at once, where it has them: in pieces of 64 KB a download takes twice the time.
httpcore2.HTTP11Connection.READ_NUM_BYTES = 1 << 19


class OpenAIProvider:
    """One address, one key. own_settings: whether the environment's OPENAI_* settings belong to this address."""

    def __init__(self, *, name: str, base_url: str, api_key: str, own_settings: bool, simulated: bool = False) -> None:
        self.name = name
        self.host = urlsplit(base_url).hostname or ""
        self.simulated = simulated
        # A proxy of the environment has no business with this machine's own servers. A redirect is not followed: the
        # requests, and the headers of a gateway, are for this address alone; and a create is sent once.
        transport = openai.DefaultHttpx2Client(trust_env=self.host not in LOOPBACK, follow_redirects=False)
        with _environment_without(() if own_settings else _OTHERS_SETTINGS):
            self._client = openai.OpenAI(base_url=base_url, api_key=api_key, http_client=transport)
            # these are clients of their own, which read the environment anew
            self._brief = self._client.with_options(timeout=CALL_TIMEOUT)
            self._once = self._client.with_options(timeout=CALL_TIMEOUT, max_retries=0)
            self._patient = self._client.with_options(timeout=ASK_TIMEOUT, max_retries=0)

    def upload(self, path: Path, name: str, *, expires_after: int | None = None) -> RemoteFile:
        kept = _kept(expires_after)
        with path.open("rb") as handle:  # an open handle streams; a Path would be read whole
            file = (name, handle)
            create = self._client.files.with_raw_response.create
            return parse_file(_reply(lambda: create(file=file, purpose="batch", expires_after=kept)))

    def find_file(self, file_id: str) -> RemoteFile | None:
        raw = _or_none(lambda: _reply(lambda: self._brief.files.with_raw_response.retrieve(file_id)))
        return None if raw is None else parse_file(raw)

    def create(
        self, file_id: str, endpoint: str, metadata: Mapping[str, str], *, expires_after: int | None = None
    ) -> Batch:
        return parse_batch(
            _reply(
                lambda: self._once.batches.with_raw_response.create(
                    input_file_id=file_id,
                    endpoint=endpoint,  # type: ignore[arg-type] # the spec's model holds the list of endpoints
                    completion_window="24h",
                    metadata=dict(metadata),
                    output_expires_after=_kept(expires_after),
                )
            )
        )

    def find_batch(self, batch_id: str) -> Batch | None:
        raw = _or_none(lambda: _reply(lambda: self._brief.batches.with_raw_response.retrieve(batch_id)))
        return None if raw is None else parse_batch(raw)

    def page(self, after: str | None) -> Page:
        # `batches.list` makes a class for the page anew at every call, which takes longer than to read the page
        path = f"/batches?limit={PAGE}" + ("" if after is None else f"&after={quote(after, safe='')}")
        return parse_page(_reply(lambda: self._brief.get(path, cast_to=httpx2.Response)))

    def download(self, file_id: str) -> Iterator[bytes]:
        with translated(), self._client.files.with_streaming_response.content(file_id) as response:
            expected = response.headers.get("content-length")
            encoded = response.headers.get("content-encoding")
            received = 0
            for piece in response.iter_bytes():
                received += len(piece)
                yield piece
            if expected is not None and not encoded and received != int(expected):
                raise ProviderDoubt(f"the download of {file_id} was cut: {received} of {expected} bytes")

    def cancel(self, batch_id: str) -> Batch | None:
        raw = _or_none(lambda: _reply(lambda: self._once.batches.with_raw_response.cancel(batch_id)))
        return None if raw is None else parse_batch(raw)

    def file_page(self, after: str | None) -> FilePage:
        cursor = openai.omit if after is None else after
        return parse_file_page(_reply(lambda: self._brief.files.with_raw_response.list(limit=PAGE, after=cursor)))

    def delete_file(self, file_id: str) -> bool:
        raw = _or_none(lambda: _reply(lambda: self._brief.files.with_raw_response.delete(file_id)))
        # that it says 404 may also mean that it deletes no files at all
        if not (isinstance(raw, Mapping) and raw.get("deleted") is True) and self.find_file(file_id) is not None:
            raise ProviderDoubt(f"the provider does not say that it deleted {file_id}, and still shows it")
        return raw is not None

    def ask(self, endpoint: str, body: bytes) -> Reply:
        path = endpoint.removeprefix("/v1")
        try:
            response = self._patient.post(
                path, content=body, cast_to=httpx2.Response, options={"headers": {"Content-Type": "application/json"}}
            )
        except openai.APIStatusError as error:
            told = _from_status(error)
            if isinstance(told, ProviderDoubt) or told.needs_human or not _is_its_own(told):
                raise told from error
            response = error.response
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            raise ProviderDoubt(f"no readable answer from the provider: {_words(error)}") from error
        return Reply(response.status_code, _json_of(response), response.headers.get("x-request-id", ""))

    def close(self) -> None:
        self._client.close()


def _kept(seconds: int | None) -> Any:
    """For how long a file is to be kept, as the SDK takes it: counted from the file's own creation."""
    return openai.omit if seconds is None else {"anchor": "created_at", "seconds": seconds}


def connect(target: Target) -> OpenAIProvider:
    """The provider of a target, with its key from the environment; raises SetupError where there is none."""
    return OpenAIProvider(
        name=target.name, base_url=target.base_url, api_key=target.key(), own_settings=target.own_settings
    )


@contextmanager
def _environment_without(names: tuple[str, ...]) -> Iterator[None]:
    """The SDK reads these at construction; a foreign host must not get what was meant for OpenAI (law 8)."""
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _reply(call: Callable[[], Any]) -> Any:
    """The JSON of a raw reply; anything unreadable is doubt."""
    with translated():
        content = call().content
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProviderDoubt("the provider's answer is not JSON (a gateway or proxy in between?)") from error


def _is_its_own(refusal: ProviderRefused) -> bool:
    """Whether a refusal is about the request alone; a 404 may as well mean that nobody lives at the address."""
    return refusal.status in _OWN_REFUSALS or refusal.provider_code == "model_not_found"


def _json_of(response: httpx2.Response) -> str:
    """The text of a reply that is a JSON object; anything else is doubt."""
    try:
        if isinstance(json.loads(response.content), dict):
            return response.content.decode()
    except (ValueError, RecursionError):
        pass
    raise ProviderDoubt(f"the provider's answer ({response.status_code}) is not JSON (a gateway or proxy in between?)")


def _or_none(call: Callable[[], Result]) -> Result | None:
    try:
        return call()
    except ProviderRefused as refusal:
        if refusal.status == httpx2.codes.NOT_FOUND:
            return None
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Every error of the SDK and its transport, as one of ours."""
    try:
        yield
    except openai.APIStatusError as error:
        raise _from_status(error) from error
    except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
        raise ProviderDoubt(f"no readable answer from the provider: {_words(error)}") from error


def _words(error: Exception) -> str:
    cause = error.__cause__
    return f"{error}" + (f" ({cause})" if cause is not None and str(cause) else "")


def _from_status(error: openai.APIStatusError) -> ProviderRefused | ProviderDoubt:
    status = error.status_code
    if httpx2.codes.is_redirect(status) and "location" in error.response.headers:
        return ProviderDoubt(_redirection(error.response))
    retry_after = _seconds(error.response.headers.get("retry-after"))
    body = error.body if isinstance(error.body, Mapping) else {}
    inner = body.get("error") if isinstance(body.get("error"), Mapping) else body
    message = str(inner.get("message") or _page_text(error)) if isinstance(inner, Mapping) else _page_text(error)
    if not httpx2.codes.is_client_error(status) or status in _DOUBTFUL:
        return ProviderDoubt(f"the provider answered {status}: {message}", retry_after=retry_after)
    code = str(inner.get("code") or inner.get("type") or "") if isinstance(inner, Mapping) else ""
    lost = status == httpx2.codes.NOT_FOUND and "/v1/" not in error.response.url.path
    return ProviderRefused(
        f"the provider refused ({status}{', ' + code if code else ''}): {message}",
        status=status,
        provider_code=code,
        provider_message=message,
        retry_after=retry_after,
        hint="does the address lack /v1 at its end?" if lost else "",
    )


def _redirection(response: httpx2.Response) -> str:
    """Where a redirect points, in words; without its query, which may be a key of its own."""
    try:
        url = response.url.join(response.headers["location"])
        place = str(url.copy_with(query=None, fragment=None, username=None, password=None))
    except httpx2.InvalidURL:
        place = "what is no address"
    return (
        f"the provider answered {response.status_code} and redirects to {place}: what is sent goes nowhere but to the "
        "address that was set; if the service has moved there, set base_url to it"
    )


def _page_text(error: openai.APIStatusError) -> str:
    try:
        return error.response.text[:300]
    except httpx2.StreamError:  # the body of a streamed reply that was not read
        return str(error)


def _seconds(value: str | None) -> float | None:
    """Seconds of a Retry-After header, a day at most; its date form is not used by the services we know."""
    try:
        return min(max(0.0, float(value)), LONGEST_WAIT) if value else None
    except ValueError:
        return None
