"""What the deck's commands share: who is asked, the question before it costs money, and how files and batches look."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import typer

from batchflow.cli import render
from batchflow.errors import ProviderDoubt, ProviderRefused, UsageError

RESPONSES = "batch-responses.jsonl"
PERCENT = 100

Yes = Annotated[bool, typer.Option("--yes", help="Go on without asking.")]
Limit = Annotated[int, typer.Option("--limit", help="How many to show.", min=1)]
Who = Annotated[str, typer.Option("--provider", help="openai, or local: a server on this machine, free of charge.")]
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# how the id of each looks, and what lists it
_KINDS = {"batch": ("batch_…", "list-batches"), "file": ("file-…", "list-files")}

BatchId = Annotated[str, typer.Argument(metavar="BATCH_ID", help="A batch's id, as list-batches shows it.")]
FileId = Annotated[str, typer.Argument(metavar="FILE_ID", help="A file's id, as upload-batch-file shows it.")]

_ORDER = ("created_at", "in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at")
_TIMELINE = (*_ORDER, "cancelled_at", "expires_at")


class Service(NamedTuple):
    """Who is asked. root: the folder that `.batchflow` is in."""

    target: Any
    root: Path

    @property
    def free(self) -> bool:
        """Whether asking costs nothing: only the local provider. An address of this machine may lead anywhere."""
        return bool(self.target.simulated)

    @property
    def marker(self) -> str:
        return render.simulated(really=self.target.simulated)

    @property
    def address(self) -> str:
        """The address without what may be secret in it; empty for the local provider."""
        parts = urlsplit(str(self.target.base_url))
        address: str = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        return address

    @property
    def store(self) -> Path:
        """The folder in which the local provider's server keeps files and batches."""
        from batchflow.engine.single import FOLDER

        return self.root / FOLDER / "server"

    @property
    def where(self) -> str:
        """Whose files and batches are meant."""
        if self.target.simulated:
            return f"at the local server of this folder (its store is {self.store})"
        return f"at {self.target.host} for this key"

    def command(self, *words: object) -> str:
        """The command that asks the same service, to be pasted."""
        return render.command(*words, *(["--provider", self.target.name] if self.target.simulated else []))

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """The provider, let go of at the end. A local server stays and ends by itself when nobody asks."""
        from batchflow.providers.local import LocalProvider, LocalServer
        from batchflow.providers.openai import connect

        target = self.target
        provider: Any = LocalProvider(LocalServer(self.store, target.seed)) if target.simulated else connect(target)
        try:
            yield provider
        except ProviderRefused as refusal:
            from batchflow.engine.lanes import for_a_human

            raise (for_a_human(refusal) if refusal.needs_human and not refusal.hint else refusal) from refusal
        except ProviderDoubt as doubt:
            doubt.hint = doubt.hint or self._address_hint()
            raise
        finally:
            provider.close()

    def _address_hint(self) -> str:
        if self.target.simulated:
            return f"its own words are in {self.store / 'server.log'}"
        origin = "from OPENAI_BASE_URL" if os.environ.get("OPENAI_BASE_URL") else "OPENAI_BASE_URL names another one"
        return f"the address is {self.address} ({origin}): if it is right, and somebody listens there, try again later"

    def must_have_key(self) -> None:
        """Raises SetupError where there is no key and one is needed."""
        if not self.target.simulated:
            self.target.key()

    def must_agree(self, *, yes: bool) -> bool:
        """Whether somebody is to be asked; raises UsageError at once where nobody is there, SetupError without key."""
        self.must_have_key()
        if self.free or yes:
            return False
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError("nobody is there to agree: nothing was sent", hint="add --yes to go on without asking")
        return True

    def batch_id(self, typed: str) -> str:
        """The id of a batch as it was typed or pasted; raises UsageError for what cannot be one."""
        return self._id(typed, "batch", "file")

    def file_id(self, typed: str) -> str:
        """The id of a file as it was typed or pasted; raises UsageError for what cannot be one."""
        if Path(typed).is_file():
            raise UsageError(
                f"{typed!r} is no id but a file of yours: it must be uploaded first",
                hint=f"`{self.command('upload-batch-file', typed)}` shows its id",
            )
        return self._id(typed, "file", "batch")

    def _id(self, typed: str, kind: str, other: str) -> str:
        """An id is part of an address and of a path: nothing else may be in it."""
        typed = typed.strip()
        looks, listed = _KINDS[kind]
        hint = f"it looks like {looks} and is shown by `{self.command(listed)}`"
        if not _ID.fullmatch(typed):
            raise UsageError(f"{typed!r} is no id", hint=hint)
        if typed.startswith((f"{other}_", f"{other}-")):
            raise UsageError(f"{typed} is the id of a {other}; here belongs that of a {kind}", hint=hint)
        return typed

    def must_find_batch(self, connection: Any, batch_id: str) -> Any:
        """The batch; raises UsageError where there is none."""
        found = connection.find_batch(batch_id)
        if found is None:
            raise self._missing(f"there is no batch {batch_id}", "list-batches")
        return found

    def must_find_file(self, connection: Any, file_id: str) -> Any:
        """The file; raises UsageError where there is none."""
        found = connection.find_file(file_id)
        if found is None:
            raise self._missing(f"there is no file {file_id}", "list-files")
        return found

    def _missing(self, what: str, listed: str) -> UsageError:
        hint = f"`{self.command(listed)}` shows all"
        if self.target.simulated:
            hint += "; a local server belongs to its folder: was it started in another one?"
        elif not urlsplit(self.target.base_url).path.strip("/"):
            hint += f"; does the address {self.address} lack /v1?"
        return UsageError(f"{what} {self.where}", hint=hint)


def service(name: str) -> Service:
    """The service of that name, with the address from the environment. Sends nothing."""
    from batchflow.plan.target import LOCAL, OPENAI, resolve
    from batchflow.spec.provider import ProviderSpec

    if name not in {LOCAL, OPENAI}:
        raise UsageError(f"--provider {name}: there is no such provider", hint="write openai or local")
    return Service(resolve(ProviderSpec(name=name)), Path())


def agree(line: str, *, ask: bool) -> None:
    """Say what comes; raises UsageError if somebody is asked and says no."""
    render.note(line)
    if ask and not render.ask("Go on?"):
        raise UsageError("not agreed: nothing was done")


def check_out(out: Path, *read: Path) -> None:
    """UsageError where no file can be written, or where it would take the place of one that is read, --force or not."""
    if not out.parent.is_dir() or (out.exists() and not out.is_file()):
        raise UsageError(f"--out {out}: no file can be written there", hint="name a file in a folder that is there")
    if any(out.exists() and path.exists() and out.samefile(path) for path in read):
        raise UsageError(
            f"--out {out}: this file is what is read; nothing was written", hint="name another file with --out"
        )


def all_of(page: Any, members: str, most: int) -> list[Any]:
    """Up to so many entries of a list that comes in pages."""
    return list(islice(_entries(page, members), most))


def _entries(page: Any, members: str) -> Iterator[Any]:
    after, seen = None, set()
    while True:
        shown = page(after)
        fresh = [entry for entry in getattr(shown, members) if entry.id not in seen]
        yield from fresh
        seen |= {entry.id for entry in fresh}
        if not fresh or shown.has_more is False:
            return
        after = fresh[-1].id


def moment(seconds: float | None) -> str:
    """A server's moment for people, in UTC."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def progress(batch: Any) -> str:
    total = batch.counts.get("total", 0)
    return f"{PERCENT * batch.executed // total}%" if total else ""


def file_json(file: Any) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "purpose": file.purpose,
        "bytes": file.bytes,
        "created_at": file.created_at,
        "status": file.status,
    }


def batch_json(batch: Any) -> dict[str, Any]:
    """A batch as every command shows it."""
    return {
        "id": batch.id,
        "status": batch.status,
        "ended": batch.ended,
        "endpoint": batch.endpoint,
        "completion_window": batch.window,
        "input_file_id": batch.input_file_id,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "counts": {name: batch.counts.get(name) for name in ("total", "completed", "failed")},
        "moments": {name: batch.moments[name] for name in _TIMELINE if name in batch.moments},
        "errors": [{"code": e.code, "message": e.message, "line": e.line} for e in batch.errors],
        "metadata": dict(batch.metadata or {}),
    }


def timeline(batch: Any) -> list[tuple[str, str]]:
    """When it was what, in the order in which it happened; when it expires only while it may."""
    told = [(name, batch.moments[name]) for name in _TIMELINE if name in batch.moments]
    if batch.ended:
        told = [pair for pair in told if pair[0] != "expires_at"]
    told.sort(key=lambda pair: pair[1])
    return [(moment(at), name.removesuffix("_at").replace("_", " ")) for name, at in told]
