"""Reading a batch's file chunk by chunk before it may run, and the verdict at its end."""

import json

from batchflow.server import validation
from batchflow.server.faults import Faults, Rule
from batchflow.server.ledger import Ledger
from batchflow.server.lines import Chunk, read_chunk
from batchflow.server.store import Store, StoredBatch
from batchflow.server.validation import Checked, Problem


class Validator:
    """Moves batches that are `validating`."""

    def __init__(self, store: Store, ledger: Ledger, faults: Faults) -> None:
        self._store = store
        self._ledger = ledger
        self._faults = faults

    def step(self, batch: StoredBatch, limit: int, *, may_conclude: bool) -> bool:
        """One chunk, or the verdict once it may fall; whether anything moved."""
        refused = self._refused(batch)
        if refused:
            return may_conclude and self._fail(batch, refused)
        source = self._store.path_of(batch.input_file_id)
        if batch.offset < source.stat().st_size and batch.rows <= validation.MAX_ROWS:
            self._read(batch, read_chunk(source, batch.offset, batch.line, limit))
            return True
        return may_conclude and self._conclude(batch)

    def _refused(self, batch: StoredBatch) -> list[Problem]:
        """What is wrong before any line is read."""
        for rule in self._faults.on_batch("batch_failed", batch.number):
            return [validation.as_told(rule["code"], rule["message"], rule["line"], rule["param"])]
        known = (
            self._store.file(batch.project, batch.input_file_id, self._store.clock.unix()) is not None
            or batch.offset > 0
        )
        if not known or any(self._faults.on_batch("cannot_find_file", batch.number)):
            return [validation.cannot_find_file(batch.input_file_id)]
        return []

    def _read(self, batch: StoredBatch, chunk: Chunk) -> None:
        problems = batch.problems
        taken: list[tuple[int, str, str]] = []
        places: dict[int, tuple[str, int]] = {}
        model, asked, rows = batch.model, 0, batch.rows
        for number, raw in chunk.lines:
            rows += 1
            checked = validation.check_line(raw, number, endpoint=batch.endpoint, model=model)
            if isinstance(checked, Checked):
                model = checked.model
                asked += checked.body_size
                taken.append((rows, checked.custom_id, checked.body_sha256))
                places[rows] = (checked.custom_id, number)
            else:
                problems.append(checked)
        with self._store.transaction():
            accepts = any(self._faults.on_batch("duplicates_accepted", batch.number))
            doubled = self._ledger.add(batch, taken, accept_doubled=accepts)
            problems += [validation.duplicate(*places[ordinal]) for ordinal in sorted(doubled)]
            self._store.update_batch(
                batch,
                line=chunk.line,
                offset=chunk.offset,
                rows=rows,
                model=model,
                bytes_asked=batch.bytes_asked + asked,
                errors=json.dumps(problems[: validation.MAX_PROBLEMS]) if problems else None,
            )

    def _conclude(self, batch: StoredBatch) -> bool:
        problems = sorted(batch.problems, key=lambda problem: problem["line"] or 0) or self._file_problems(batch)
        if problems:
            return self._fail(batch, problems)
        now = self._store.clock.unix()
        return self._store.update_batch(
            batch, status="in_progress", in_progress_at=now, total=batch.rows, line=0, offset=0
        )

    def _file_problems(self, batch: StoredBatch) -> list[Problem]:
        if batch.rows == 0:
            return [validation.empty_file()]
        if batch.rows > validation.MAX_ROWS:
            return [validation.too_many_rows()]
        return next(
            filter(None, (self._crowded(batch, rule) for rule in self._faults.on_batch("token_limit", batch.number))),
            [],
        )

    def _crowded(self, batch: StoredBatch, rule: Rule) -> list[Problem]:
        """The refusal by a queue that is full: of this project's batches, or of everybody's, or of foreign ones."""
        running = [
            other
            for other in self._store.open_batches()
            if other.number != batch.number
            and other.status != "validating"
            and (rule["shared"] or other.project == batch.project)
        ]
        foreign = self._store.clock.unix() < self._store.opened + rule["foreign_seconds"]
        enqueued = sum(_tokens(other) for other in running) + foreign * rule["foreign_tokens"]
        batches = len(running) + foreign * rule["foreign_batches"]
        full = rule["tokens"] is not None and enqueued + _tokens(batch) > rule["tokens"]
        if full or (rule["batches"] is not None and batches >= rule["batches"]):
            limit = rule["tokens"] if rule["tokens"] is not None else max(enqueued, _tokens(batch))
            return [validation.token_limit_exceeded(batch.model or "", limit)]
        return []

    def _fail(self, batch: StoredBatch, problems: list[Problem]) -> bool:
        """Nothing of the batch is executed or billed."""
        with self._store.transaction():
            self._ledger.forget_lines(batch)
            failed = self._store.update_batch(
                batch, status="failed", failed_at=self._store.clock.unix(), errors=json.dumps(problems)
            )
        self._store.drop_bytes(batch.input_file_id)
        return failed


def _tokens(batch: StoredBatch) -> int:
    """Prompt tokens as the queue counts them here: a quarter of the bytes of all bodies."""
    return batch.bytes_asked // 4
