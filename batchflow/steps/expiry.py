"""How long the provider is told to keep files, and whether what it says of them fits."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from batchflow.journal.state import RunState

if TYPE_CHECKING:
    from batchflow.providers.base import RemoteFile

# a batch may wait a day for its turn and read its file for another; a doubt about a lost reply needs it, too
REQUESTS_AT_LEAST: Final = 259_200
SLACK: Final = 60.0  # seconds by which an answer may be off
HOUR: Final = 3600
DAY: Final = 24 * HOUR


def of_request_file(expires_after: int | None) -> int | None:
    """Seconds for which a request file is to be kept, where `output.expires_after` is this."""
    return None if expires_after is None else max(expires_after, REQUESTS_AT_LEAST)


def expiry(asked: int, file: "RemoteFile | None") -> dict[str, Any]:
    """What was asked, and what the provider says of it, as the journal keeps it. file: None where it says nothing."""
    told = (None, None) if file is None else (file.created_at, file.expires_at)
    return {"asked": asked, "created_at": told[0], "expires_at": told[1]}


def is_confirmed(found: Mapping[str, Any]) -> bool:
    """Whether the provider says that the file goes when it was asked to, or before."""
    created, expires = found["created_at"], found["expires_at"]
    return created is not None and expires is not None and expires - created <= found["asked"] + SLACK


def expiries(state: RunState) -> Iterator[Mapping[str, Any]]:
    """What is known of every file of which it was asked."""
    for shard in state.shards():
        if shard.file_expiry is not None:
            yield shard.file_expiry
        for file in (shard.collected or {}).get("files", ()):
            if file.get("expiry") is not None:
                yield file["expiry"]


def in_words(seconds: int) -> str:
    """The time as people say it: `1 hour`, `36 hours`, `7 days`."""
    for length, unit in ((DAY, "day"), (HOUR, "hour"), (60, "minute"), (1, "second")):
        if seconds % length == 0:
            count = seconds // length
            return f"{count:,} {unit}" + ("s" if count != 1 else "")
    raise AssertionError(seconds)
