"""Where things lie in a run's folder. Names only; nothing is opened here."""

from pathlib import Path
from typing import Final, Literal, NamedTuple

ResultKind = Literal["output", "error"]
RESULT_KINDS: Final[tuple[ResultKind, ...]] = ("output", "error")


class RunFolder(NamedTuple):
    """The folder of one run, self-contained."""

    path: Path

    @property
    def run(self) -> str:
        return self.path.name

    @property
    def project(self) -> Path:
        """The folder of the spec that it was run from."""
        return self.path.parent.parent

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def review(self) -> Path:
        """The plan for people who do not program; derived, never read by us."""
        return self.path / "REVIEW.md"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def rows(self) -> Path:
        return self.path / "rows.parquet"

    @property
    def spec(self) -> Path:
        return self.path / "spec"

    @property
    def server(self) -> Path:
        """The local provider's store."""
        return self.path / "server"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    @property
    def responses(self) -> Path:
        return self.path / "responses"

    def shard(self, name: str) -> Path:
        return self.requests / f"{name}.jsonl"

    def map(self, round_: int) -> Path:
        return self.requests / f"r{round_}.parquet"

    def first_maps(self) -> list[Path]:
        """The maps that together hold every request: of what was taken over, and of round 1; those that are there."""
        return [path for path in (self.map(0), self.map(1)) if path.is_file()]

    def response(self, shard: str, kind: ResultKind) -> Path:
        return self.responses / f"{shard}.{kind}.jsonl"
