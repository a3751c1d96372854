"""What the engine asks of a batch API, and the provider's objects as we read them: every field checked, none trusted.

An adapter translates; it decides nothing. Statuses stay the provider's own words in lower case, so that an unknown one
is carried, shown and polled on.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from batchflow.errors import ProviderDoubt

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
KNOWN: Final = ENDED | {"validating", "in_progress", "finalizing", "cancelling"}
_ALIASES: Final = {"canceled": "cancelled", "canceling": "cancelling"}
_END_OF_TIME: Final = 1e15
_LARGEST: Final = 2**63  # what a column of whole numbers holds
_NUMBERS: Final = frozenset({int, float})  # and not bool
_TEXTS: Final = frozenset({str})
_WHOLE: Final = frozenset({int})
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_MOMENTS: Final = (
    "created_at",
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
    "expires_at",
)


class RemoteFile(NamedTuple):
    """A file at the provider; created_at and expires_at in the server's unix seconds, None where it tells none. name,
    purpose and status are "" there.
    """

    id: str
    bytes: int | None
    created_at: float | None
    name: str = ""
    purpose: str = ""
    status: str = ""
    expires_at: float | None = None


class BatchError(NamedTuple):
    """One entry of a failed batch's `errors`; line counts from 1."""

    code: str
    message: str
    line: int | None


class Batch(NamedTuple):
    """The provider's job for one shard. File ids are None for null, absent and the empty string alike.

    A tuple, since ten thousand of them may be read at every look: a frozen dataclass takes twice as long to make.
    """

    id: str
    status: str
    input_file_id: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: Mapping[str, str] | None = None
    errors: tuple[BatchError, ...] = ()
    counts: Mapping[str, int] = _NOTHING
    moments: Mapping[str, float] = _NOTHING
    tokens: Mapping[str, int] = _NOTHING
    endpoint: str = ""
    window: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def executed(self) -> int:
        """Requests that the provider says it has worked on."""
        return self.counts.get("completed", 0) + self.counts.get("failed", 0)

    @property
    def silent(self) -> bool:
        """Ended after work was done, and yet it names no result file: what is paid for may be named late."""
        if not self.ended or self.output_file_id or self.error_file_id:
            return False
        return self.status == "completed" or self.executed > 0 or (self.status == "failed" and self._began)

    @property
    def _began(self) -> bool:
        return "in_progress_at" in self.moments

    @property
    def created_at(self) -> float | None:
        return self.moments.get("created_at")


class Page(NamedTuple):
    """One page of the list of batches, newest first; has_more is None where the server did not say."""

    batches: tuple[Batch, ...]
    has_more: bool | None


class FilePage(NamedTuple):
    """One page of the list of files, newest first; has_more is None where the server did not say."""

    files: tuple[RemoteFile, ...]
    has_more: bool | None


class Reply(NamedTuple):
    """What came back for one request that was asked by itself: an answer, or the request's own refusal."""

    status: int
    body: str
    request_id: str = ""


class BatchProvider(Protocol):
    """A batch API. Every method may raise ProviderRefused (it did not happen) or ProviderDoubt (it may have)."""

    name: str
    host: str
    simulated: bool

    def upload(self, path: Path, name: str, *, expires_after: int | None = None) -> RemoteFile:
        """Send a request file under a name ending in .jsonl. Free to repeat: a stray file costs nothing.

        expires_after: seconds for which the provider is to keep it; None: nothing is said of it.
        """

    def find_file(self, file_id: str) -> RemoteFile | None:
        """The file as this client sees it; None where it does not exist for this key."""

    def create(
        self, file_id: str, endpoint: str, metadata: Mapping[str, str], *, expires_after: int | None = None
    ) -> Batch:
        """Start a batch. The one call that costs money: it is made once, never repeated in here.

        expires_after: as for `upload`, of the files of answers.
        """

    def find_batch(self, batch_id: str) -> Batch | None:
        """The batch; None where it does not exist for this key."""

    def page(self, after: str | None) -> Page:
        """Up to 100 batches, newest first, after the one named; raises ProviderDoubt for a list that cannot be read."""

    def download(self, file_id: str) -> Iterator[bytes]:
        """The file's bytes in pieces; raises ProviderDoubt where the transfer was cut."""

    def cancel(self, batch_id: str) -> Batch | None:
        """Ask for the end of a batch; None where it does not exist for this key. Free to repeat."""

    def file_page(self, after: str | None) -> FilePage:
        """As `page`, of files."""

    def delete_file(self, file_id: str) -> bool:
        """Delete a file for good; False where it does not exist for this key. Free to repeat. Raises ProviderDoubt
        unless the provider says, or shows, that it is gone.
        """

    def ask(self, endpoint: str, body: bytes) -> Reply:
        """Ask one request by itself, at once. It costs money: it is asked once, never repeated in here.

        A refusal that is about this request alone (its body cannot be answered) is a Reply; any other is raised.
        """

    def close(self) -> None:
        """Let go of connections."""


def parse_file(value: Any) -> RemoteFile:
    if not isinstance(value, dict) or not _text(value.get("id")):
        raise ProviderDoubt("the provider's reply about a file has no id")
    return RemoteFile(
        id=value["id"],
        bytes=_number(value.get("bytes")),
        created_at=_moment(value.get("created_at")),
        name=_text(value.get("filename")),
        purpose=_text(value.get("purpose")),
        status=_text(value.get("status")),
        expires_at=_moment(value.get("expires_at")),
    )


def parse_batch(value: Any) -> Batch:
    """A Batch from the provider's JSON, every field optional but id and status."""
    if not isinstance(value, dict) or not _text(value.get("id")):
        raise ProviderDoubt("the provider's reply about a batch has no id")
    status = _text(value.get("status")).lower()
    told = value.get
    moments = {name: float(moment) for name in _MOMENTS if (moment := told(name)) is not None and _is_moment(moment)}
    return Batch(
        id=value["id"],
        status=_ALIASES.get(status, status) or "unknown",
        input_file_id=_text(value.get("input_file_id")),
        output_file_id=_text(value.get("output_file_id")) or None,
        error_file_id=_text(value.get("error_file_id")) or None,
        metadata=_metadata(value.get("metadata")),
        errors=_errors(value.get("errors")),
        counts=_numbers(value.get("request_counts")),
        moments=moments,
        tokens=_numbers(value.get("usage")),
        endpoint=_text(value.get("endpoint")),
        window=_text(value.get("completion_window")),
    )


def parse_page(value: Any) -> Page:
    """A Page; damaged lists (data null, missing or an error object) must never look like an empty one."""
    entries, more = _listed(value, "batches")
    return Page(tuple(parse_batch(entry) for entry in entries), more)


def parse_file_page(value: Any) -> FilePage:
    """As `parse_page`, of files."""
    entries, more = _listed(value, "files")
    return FilePage(tuple(parse_file(entry) for entry in entries), more)


def _listed(value: Any, what: str) -> tuple[list[Any], bool | None]:
    if isinstance(value, list):
        return value, None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise ProviderDoubt(f"the provider's list of {what} is damaged: `data` is not an array")
    more = value.get("has_more")
    return data, more if isinstance(more, bool) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: Any) -> float | None:
    # some servers write RFC 3339 text: not comparable with ours, so treated as absent; as is what no clock shows
    return float(value) if _is_moment(value) else None


def _is_moment(value: Any) -> bool:
    return type(value) in _NUMBERS and 0 <= value < _END_OF_TIME


def _metadata(value: Any) -> Mapping[str, str] | None:
    if not isinstance(value, dict):
        return None
    if {*map(type, value.values())} <= _TEXTS:  # thousands of batches are looked at again and again
        return value
    return {key: member for key, member in value.items() if isinstance(member, str)}


def _numbers(value: Any) -> Mapping[str, int]:
    if not isinstance(value, dict):
        return {}
    members = value.values()
    if {*map(type, members)} == _WHOLE and max(members) < _LARGEST and min(members) > -_LARGEST:
        return value
    return {key: member for key, member in value.items() if _number(member) is not None}


def _number(value: Any) -> int | None:
    """A whole number as a table can hold it; what does not fit is no number of anybody's."""
    return value if type(value) is int and -_LARGEST < value < _LARGEST else None


def _errors(value: Any) -> tuple[BatchError, ...]:
    data = value.get("data") if isinstance(value, dict) else value
    if not isinstance(data, list):
        return ()
    return tuple(
        BatchError(
            code=_text(entry.get("code")),
            message=_text(entry.get("message")),
            line=_number(entry.get("line")),
        )
        for entry in data
        if isinstance(entry, dict)
    )
