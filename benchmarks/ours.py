"""Paths of ours that no single command shows alone, each as a program.

python -m benchmarks.ours NAME ARGUMENTS
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import batchflow.cli  # noqa: F401 - the settings of the program
from batchflow.journal.events import Event

BATCHES: Final = 10_000
EVENTS_PER_SHARD: Final = 8


def _batch(number: int, status: str) -> Event:
    """The commonest event, as it is recorded of a batch."""
    facts: dict[str, Any] = {
        "batch_id": f"batch_{number:032x}",
        "status": status,
        "ended": status == "completed",
        "output_file_id": f"file-{number:022x}" if status == "completed" else None,
        "error_file_id": None,
        "errors": [],
        "moments": {"created_at": 1795914051.0, "in_progress_at": 1795914051.0, "expires_at": 1796000451.0},
        "counts": {"total": 50_000, "completed": 1_000, "failed": 0},
        "tokens": {"input_tokens": 4_935, "output_tokens": 1_599, "total_tokens": 6_534},
    }
    return Event("batch", facts, step="poll", round=1, shard=number)


def append(folder: str, events: str) -> None:
    """Record events in a journal, one by one, each durable before the next."""
    from batchflow.journal.journal import Journal

    path = Path(folder) / "appended.jsonl"
    path.unlink(missing_ok=True)
    journal = Journal.create(path, "bench")
    for number in range(1, int(events) + 1):
        journal.append([_batch(number, "in_progress")])
    journal.close()


def write_journal(path: str, events: str) -> None:
    """A journal of a run with many shards, each of which lived through `EVENTS_PER_SHARD` events."""
    from batchflow.journal.journal import Journal

    journal = Journal.create(Path(path), "bench")
    journal.append(_history(int(events) // EVENTS_PER_SHARD))
    journal.close()


def _history(shards: int) -> Iterator[Event]:
    entries = [{"shard": n, "requests": 10, "bytes": 100, "sha256": f"{n:064x}"} for n in range(1, shards + 1)]
    yield Event("built", {"requests": 10 * shards, "shards": entries}, step="build", round=1)
    for number in range(1, shards + 1):
        place: dict[str, Any] = {"round": 1, "shard": number}
        name, batch_id, file_id = f"{number:032x}", f"batch_{number:032x}", f"file-{number}"
        account = {
            "final": {"answered": 10},
            "owed": {},
            "doubled": 0,
            "unknown": 0,
            "unreadable": 0,
            "out_of_money": 0,
        }
        yield Event("uploaded", {"file_id": file_id, "bytes": 100, "created_at": 5.0}, step="upload", **place)
        yield Event("intent", {"intent": name, "file_id": file_id}, step="start", **place)
        yield Event("receipt", {"intent": name, "batch_id": batch_id, "adopted": False}, step="start", **place)
        for status in ("validating", "in_progress", "finalizing", "completed"):
            yield _batch(number, status)
        yield Event("collected", {"batch_id": batch_id, "files": [], "account": account}, step="collect", **place)


def fold(path: str) -> None:
    """Read a journal and fold it."""
    from batchflow.journal.journal import replay
    from batchflow.journal.state import fold as folded

    folded(replay(Path(path)).events)


def _provider(port: str) -> Any:
    from batchflow.providers.openai import OpenAIProvider

    return OpenAIProvider(name="bench", base_url=f"http://127.0.0.1:{port}/v1", api_key="x", own_settings=False)


def poll(port: str, ticks: str, last: str) -> None:
    """Look at all open batches, so many times; the newest of them has the number `last`."""
    from batchflow.steps.poll import Poll, PollTask
    from benchmarks.fake_api import batch_id, created_at

    step = Poll(_provider(port))
    task = PollTask({batch_id(number): created_at(number) for number in range(1, int(last) + 1)})
    for _ in range(int(ticks)):
        assert len(step.perform(task).batches) == int(last)


def upload(port: str, path: str, times: str) -> None:
    """Bring a request file to the provider, so many times."""
    provider = _provider(port)
    for _ in range(int(times)):
        assert provider.upload(Path(path), "requests.jsonl").id


def download(port: str, size: str, target: str, times: str) -> None:
    """Bring a result file home, so many times."""
    provider = _provider(port)
    for _ in range(int(times)):
        with Path(target).open("wb") as handle:
            handle.writelines(provider.download(size))


OURS: Final[Mapping[str, Callable[..., None]]] = {
    path.__name__: path for path in (append, write_journal, fold, poll, upload, download)
}

if __name__ == "__main__":
    OURS[sys.argv[1]](*sys.argv[2:])
