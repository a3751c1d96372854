"""A provider in memory that does what it is told, right or wrong, and remembers what it was asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchflow.errors import ProviderError, ProviderRefused
from batchflow.providers.base import Batch, FilePage, Page, RemoteFile, Reply


def batch(batch_id: str, created: float | None = None, **changes: object) -> Batch:
    moments = {} if created is None else {"created_at": created}
    return Batch(batch_id, **{"status": "in_progress", "moments": moments} | changes)  # type: ignore[arg-type]


@dataclass
class FakeProvider:
    """batches stand in the order of the list. contents: file id -> pieces of its download.

    tells_more: whether pages say has_more. repeats: every page is the first one.
    """

    batches: Sequence[Batch] = ()
    per_page: int = 100
    tells_more: bool = True
    repeats: bool = False
    list_error: ProviderError | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    contents: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    refuses: int = 0
    name: str = "fake"
    host: str = "fake.example"
    simulated: bool = False
    asked: list[str] = field(default_factory=list)

    def upload(self, path: Path, name: str, *, expires_after: int | None = None) -> RemoteFile:
        del expires_after
        self.asked.append(f"upload {name}")
        return self.files.get(name) or RemoteFile("file-up", path.stat().st_size, 5.0)

    def find_file(self, file_id: str) -> RemoteFile | None:
        self.asked.append(f"file {file_id}")
        return self.files.get(file_id)

    def create(
        self, file_id: str, endpoint: str, metadata: Mapping[str, str], *, expires_after: int | None = None
    ) -> Batch:
        del expires_after
        self.asked.append(f"create {file_id} {endpoint}")
        return batch("batch-new", input_file_id=file_id, metadata=dict(metadata))

    def find_batch(self, batch_id: str) -> Batch | None:
        self.asked.append(f"batch {batch_id}")
        return next((one for one in self.batches if one.id == batch_id), None)

    def page(self, after: str | None) -> Page:
        self.asked.append(f"list {after}")
        assert len(self.asked) < 1000, "the walk does not end"
        if self.list_error is not None:
            raise self.list_error
        ids = [one.id for one in self.batches]
        start = 0 if after is None or self.repeats else ids.index(after) + 1
        shown = tuple(self.batches[start : start + self.per_page])
        more = self.repeats or start + self.per_page < len(self.batches)
        return Page(shown, more if self.tells_more else None)

    def download(self, file_id: str) -> Iterator[bytes]:
        self.asked.append(f"download {file_id}")
        if self.refuses:
            raise ProviderRefused("no", status=self.refuses)
        yield from self.contents[file_id]

    def cancel(self, batch_id: str) -> Batch | None:
        self.asked.append(f"cancel {batch_id}")
        return next((one for one in self.batches if one.id == batch_id), None)

    def file_page(self, after: str | None) -> FilePage:
        self.asked.append(f"files {after}")
        ids = list(self.files)
        start = 0 if after is None else ids.index(after) + 1
        shown = tuple(self.files.values())[start : start + self.per_page]
        return FilePage(shown, start + self.per_page < len(ids) if self.tells_more else None)

    def delete_file(self, file_id: str) -> bool:
        self.asked.append(f"delete {file_id}")
        return file_id in self.files

    def ask(self, endpoint: str, body: bytes) -> Reply:
        self.asked.append(f"ask {endpoint} {body.decode()}")
        return Reply(200, "{}")

    def close(self) -> None:
        self.asked.append("close")
