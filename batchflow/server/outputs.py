"""The end of a batch: its output and error file, whole or absent, and the status that shows them."""

import codecs
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from math import gcd
from typing import Final

from batchflow import clock
from batchflow.files import ShardFile
from batchflow.server.faults import Faults
from batchflow.server.ids import bare, file_id
from batchflow.server.ledger import Ledger
from batchflow.server.rows import unexecuted_line
from batchflow.server.store import Store, StoredBatch

MONTH: Final = 30 * 86_400  # seconds that result files are kept
_NAMES: Final = ("output", "error")


class Stopped(Exception):
    """The server is to end: what was half written is gone, and is written anew after the next start."""


class Outputs:
    """Writes result files and closes batches; `stopping` says whether to give up, for a long file takes seconds."""

    def __init__(self, store: Store, ledger: Ledger, faults: Faults, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._store = store
        self._ledger = ledger
        self._faults = faults

    def conclude(self, batch: StoredBatch, status: str, moment: str) -> bool:
        """Write the files, then show them together with the final status; False if the batch was cancelled meanwhile.
        A crash between leaves strays that the next start removes, and the batch is concluded again. Raises Stopped.
        """
        with ExitStack() as undo:
            written = {name: ShardFile(self._store.path_of(self._id(batch))) for name in _NAMES}
            for shard in written.values():
                undo.callback(shard.discard)
            emptied = self._emptied(batch)
            self._write(batch, written, emptied, cancelled=status == "cancelled")
            published = {name: shard for name, shard in written.items() if shard.bytes or name in emptied}
            for shard in published.values():
                shard.close()
        with self._store.transaction():
            ids = {f"{name}_file_id": shard.path.name for name, shard in published.items()}
            ended = self._store.update_batch(batch, status=status, **{moment: clock.unix()}, **ids)
            if ended:
                self._register(batch, published)
                self._ledger.forget_results(batch)
        if ended:
            self._store.drop_bytes(batch.input_file_id)
        else:
            for shard in published.values():
                shard.path.unlink()
        return ended

    def _id(self, batch: StoredBatch) -> str:
        """A batch without a prefix in its id has files without one."""
        return file_id() if batch.id.startswith("batch_") else bare(file_id())

    def _emptied(self, batch: StoredBatch) -> set[str]:
        """The files that a fault wants present and empty, whatever they would hold."""
        return {
            rule["which"] for rule in self._faults.on_batch("result_file", batch.number) if rule["as"] == "empty_file"
        }

    def _write(self, batch: StoredBatch, written: dict[str, ShardFile], emptied: set[str], *, cancelled: bool) -> None:
        form = {how for rule in self._faults.on_batch("output_form", batch.number) for how in rule.list_of("how")}
        last: dict[str, bytes] = dict.fromkeys(written, codecs.BOM_UTF8 if "byte_order_mark" in form else b"")
        for ordinal in shuffled(f"{batch.number}", batch.total):
            if self._stopping():
                raise Stopped
            result = self._ledger.result(batch, ordinal)
            if result is None:
                custom_id = self._ledger.custom_id(batch, ordinal)
                result = (True, unexecuted_line(batch, custom_id, cancelled=cancelled))
            to_error, content = result
            name = "error" if to_error else "output"
            if name not in emptied and content:
                written[name].write(last[name])
                last[name] = content
        for name, content in last.items():
            if content != codecs.BOM_UTF8:
                written[name].write(content.rstrip(b"\r\n") if "no_final_newline" in form else content)

    def _register(self, batch: StoredBatch, published: dict[str, ShardFile]) -> None:
        now = int(clock.unix())
        purposes = [rule["value"] for rule in self._faults.on_batch("output_purpose", batch.number)]
        for name, shard in published.items():
            self._store.add_file(
                shard.path.name,
                batch.project,
                size=shard.bytes,
                created=now,
                expires=now + (batch.output_seconds or MONTH),
                filename=f"{batch.id}_{name}.jsonl",
                purpose=(purposes or ["batch_output"])[0],
            )


def shuffled(salt: str, total: int) -> Iterator[int]:
    """The ordinals 1..total in an order that has nothing to do with theirs, always the same, without a list of them."""
    digest = sha256(f"{salt}/{total}".encode()).digest()
    start = int.from_bytes(digest[:8])
    stride = int.from_bytes(digest[8:16]) % total + 1 if total else 1
    while gcd(stride, total) > 1:
        stride += 1
    return ((start + position * stride) % total + 1 for position in range(total))
