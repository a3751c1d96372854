"""The results database as a sink: a product of the runs' folders, filled shard by shard, each in one transaction, and
rebuilt from the folders whenever it is not what it should be.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from batchflow import failpoints
from batchflow.errors import SinkError
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan
from batchflow.sinks import answers as typed
from batchflow.sinks import factors, layout, plain, vectors, views
from batchflow.sinks.connection import StoreUser, explained, open_for_writing
from batchflow.sinks.layout import DATA, FACTORS, KEYS, Layout, run_table
from batchflow.sinks.model import BadLine, BatchRow, ResponseRow, Rest, RunRow
from batchflow.sinks.plain import PlainShard, ResultFile
from batchflow.sinks.values import Storer, chunks
from batchflow.sources.database import identifier, parquet
from batchflow.sources.maps import asked_as

__all__ = ["BadLine", "BatchRow", "PlainShard", "ResponseRow", "Rest", "ResultFile", "RunRow", "Sink"]

LOADING: Final = "loading"  # state of a run from `begin` or a shard on, until `set_run` says what it is now
UNSENT: Final = "unsent"
IN_FLIGHT: Final = "in_flight"
UNACCOUNTED: Final = "unaccounted"
TAKEN: Final = "taken-"  # begins the id of what came in no batch


class Sink(StoreUser):
    """The one writer of a results database. Keep it open only while loading: nobody else can read meanwhile."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database, created where there is none.

        Errors: DatabaseHeld (another program holds it), SinkError (no database, or a damaged one), SetupError.
        """
        return cls(open_for_writing(path))

    def loaded(self, run_id: str) -> frozenset[str] | None:
        """The batches of a run that are in the tables, and the files of answers taken over; None if the run has to be
        begun (anew).
        """
        with explained(self._store.path):
            if layout.survey(self._store) is not Layout.CURRENT or run_id not in layout.runs_with(self._store, DATA):
                return None
            planned = self._store.rows("SELECT requests FROM runs WHERE run_id = ?", [run_id])
            if planned != self._store.rows("SELECT count(*) FROM requests WHERE run_id = ?", [run_id]):
                return None
            found = self._store.rows(
                "SELECT batch_id FROM batches WHERE run_id = ? UNION "
                "SELECT batch_id FROM responses WHERE run_id = ? AND round = 0",
                [run_id, run_id],
            )
            return frozenset(batch_id for (batch_id,) in found)

    def has(self, run_id: str, *, batches: Collection[str]) -> bool:
        """Whether the tables, their layout included, hold the run with exactly these batches, and its final word
        (`set_run`).
        """
        if self.loaded(run_id) != frozenset(batches):
            return False
        with explained(self._store.path):
            state = self._store.rows("SELECT state FROM runs WHERE run_id = ?", [run_id])
        return state != [(LOADING,)]

    def begin(self, plan: Plan, folder: RunFolder) -> bool:
        """Put the run's rows and requests into the tables, every request unsent, nothing else of the run left.

        True if a layout of another version was dropped on the way, with the rows of every other run: load them again.
        """
        return self._store.change(lambda: self._begin(plan, folder))

    def load_shard(self, run_id: str, batch: BatchRow, read: Rest) -> int:
        """Put what came of one batch into the tables in one transaction; loading it again replaces it.

        Requests that are owed keep their kind, the others of this shard are final; those that were asked again in vain
        stay what an earlier round made of them.
        Returns the number of answers. Errors: SinkError where an answer is doubled or belongs to no request.
        """
        with self._loading(run_id, batch):
            return self._put(run_id, batch, read)

    def load_files(self, shard: PlainShard, rest: Callable[[Iterable[str]], Rest]) -> int | None:
        """The same of a shard of round 1, its plain answers by the file. None, and nothing changed, where that cannot
        be: then it has to be read line by line.

        rest: what comes of the odd lines, given the requests that have no answer by then.
        """
        for sifted in (False, True)[shard.unreadable > 0 :]:
            # what DuckDB says of a damaged line is damaged itself
            with suppress(SinkError, UnicodeError), self._loading(shard.run_id, shard.batch):
                return self._put_files(shard, rest, sifted=sifted)
        return None

    @contextmanager
    def _loading(self, run_id: str, batch: BatchRow) -> Iterator[None]:
        """The transaction in which a batch is loaded."""
        with self._store.transaction():
            self._delete_batch(run_id, batch.batch_id)
            yield
            if batch.round:  # what was taken over came in no batch of this run
                self._insert_batch(run_id, batch)
            self._store.rows("UPDATE runs SET state = ? WHERE run_id = ?", [LOADING, run_id])
            failpoints.hit("load.before-commit")
        failpoints.hit("load.after-commit")

    def _put_files(self, shard: PlainShard, rest: Callable[[Iterable[str]], Rest], *, sifted: bool) -> int:
        """Part of the caller's transaction."""
        plain.insert(self._store, shard, sifted=sifted)
        batch = shard.batch
        self._store.rows(
            "UPDATE requests SET owed = NULL, last_round = ? WHERE run_id = ? AND shard = ? "
            "AND coalesce(last_round, ?) <= ?",
            [batch.round, shard.run_id, batch.shard, batch.round, batch.round],
        )
        if shard.whole and not any(file.odd for file in shard.files):
            return shard.plain
        left = self._store.rows(
            "SELECT custom_id FROM requests q WHERE run_id = ? AND shard = ? AND NOT EXISTS (FROM responses a "
            "WHERE a.run_id = q.run_id AND a.batch_id = ? AND a.custom_id = q.custom_id) ORDER BY line",
            [shard.run_id, batch.shard, batch.batch_id],
        )
        return shard.plain + self._put(shard.run_id, batch, rest(custom_id for (custom_id,) in left))

    def _put(self, run_id: str, batch: BatchRow, read: Rest) -> int:
        """What was read line by line; part of the caller's transaction."""
        kinds = self._append(run_id, batch, read.answers)
        answered = len(kinds)
        kinds.update(read.owed if isinstance(read.owed, Mapping) else read.owed())
        for custom_id in read.kept():
            kinds.pop(custom_id, None)
        self._settle(run_id, batch, kinds)
        self._lay_aside(run_id, batch, read.bad())
        return answered

    def _lay_aside(self, run_id: str, batch: BatchRow, lines: Iterable[BadLine]) -> None:
        storer = Storer()
        with self._store.connection.appender("bad_lines") as appender:
            for line in map(storer.bad, lines):
                appender.append_row(run_id, batch.round, batch.shard, batch.batch_id, *line)

    def set_waiting(self, run_id: str, *, in_flight: Collection[int]) -> None:
        """Say of the requests that no round has brought anything for whether their shard is at the provider."""
        self._store.change(
            lambda: self._store.rows(
                "UPDATE requests SET owed = CASE WHEN list_contains(?, shard) THEN ? ELSE ? END "
                "WHERE run_id = ? AND last_round IS NULL",
                [list(in_flight), IN_FLIGHT, UNSENT, run_id],
            )
        )

    def set_run(self, row: RunRow) -> None:
        """Say what the run is now; the views follow."""
        self._change_runs(lambda: self._replace_run(row))

    def refresh(self) -> None:
        """Make the views anew and everything durable in the file itself."""
        self._change_runs(lambda: None)
        with explained(self._store.path):
            self._store.with_room(lambda: self._store.rows("CHECKPOINT store"))

    def drop_run(self, run_id: str) -> None:
        """Take all of a run out of the tables."""
        self._change_runs(lambda: self._delete_run(run_id))

    def forget(self, run_id: str) -> bool:
        """Take a run out of the tables for good; False where they do not have it. Tables of another layout are left:
        they are dropped as a whole when they are next loaded into.
        """
        with explained(self._store.path):
            if layout.survey(self._store) is not Layout.CURRENT:
                return False
            known = self._store.rows("SELECT 1 FROM runs WHERE run_id = ?", [run_id])
        if known:
            self.drop_run(run_id)
            self.refresh()
        return bool(known)

    def glance(self, run_id: str) -> dict[str, int] | None:
        """The account of a run of one round that left nothing owed, without the join that `account` needs; None where
        more than a glance is needed: the tables do not have one answer of round 1 to each request.
        """
        answers = (
            "SELECT outcome, count(*), sum(hash(custom_id)) FROM responses WHERE run_id = ? AND round = 1 GROUP BY 1"
        )
        others = (  # apart from the sum: what every row says the same of is seen without looking at them
            "SELECT count(*) FROM requests WHERE run_id = ? "
            "AND NOT (owed IS NULL AND asked_as IS NULL AND last_round IS NOT DISTINCT FROM 1)"
        )
        requests = "SELECT sum(hash(custom_id)) FROM requests WHERE run_id = ?"
        with explained(self._store.path):
            if self._store.number(others, [run_id]):
                return None
            found = self._store.rows(answers, [run_id])
            asked = self._store.number(requests, [run_id])
        if asked != sum(each[2] for each in found):
            return None
        return {outcome: count for outcome, count, _ in found}

    def account(self, run_id: str) -> tuple[dict[str, int], dict[str, int]]:
        """Requests of a run by final outcome and by kind of owed, as the tables have it. One with neither counts as
        owed `unaccounted`, which must not be.
        """
        query = (
            "SELECT a.outcome IS NOT NULL AS final, coalesce(a.outcome, q.owed, ?) AS kind, count(*) "
            f"FROM requests q {views.FINAL_ANSWER} WHERE q.run_id = ? GROUP BY final, kind ORDER BY kind"
        )
        with explained(self._store.path):
            rows = self._store.with_room(lambda: self._store.rows(query, [UNACCOUNTED, run_id]))
        final, owed = ({kind: count for was, kind, count in rows if was is which} for which in (True, False))
        return final, owed

    def _begin(self, plan: Plan, folder: RunFolder) -> bool:
        dropped = layout.prepare(self._store)
        self._delete_run(plan.run)
        layout.check_run_tables(self._store, plan.run)
        self._create_data(plan, folder.rows)
        factors.create(self._store, plan)
        typed.create(self._store, plan)
        count = sum(self._insert_requests(plan, path, taken=path == folder.map(0)) for path in folder.first_maps())
        if count != plan.requests:
            raise SinkError(
                f"the maps in {folder.requests} hold {count} requests, the run's manifest says {plan.requests}",
                hint="the run's folder was changed; restore it from a copy",
            )
        self._insert_run(_planned(plan))
        views.create(self._store)
        return dropped

    def _create_data(self, plan: Plan, rows: Path) -> None:
        table = run_table(DATA, plan.run)
        described = self._store.rows(f"DESCRIBE SELECT * FROM {parquet(rows)}")
        columns = (f"{identifier(name)} {layout.TEXT if kind == 'VARCHAR' else kind}" for name, kind, *_ in described)
        self._store.connection.execute(f"CREATE TABLE {table} ({layout.stored(self._store, ', '.join(columns))})")
        self._store.connection.execute(f"INSERT INTO {table} FROM {parquet(rows)}")
        self._store.connection.execute(layout.mark("TABLE", table, f"the rows of {plan.experiment} as read"))

    def _insert_requests(self, plan: Plan, path: Path, *, taken: bool) -> int:
        """The requests of a map, every one unsent."""
        place = "NULL, NULL" if taken else "shard, line"
        condition = "''"  # the only one of a study without a design
        if plan.conditions:
            factors_ = run_table(FACTORS, plan.run)
            condition = f"(SELECT condition FROM {factors_} f WHERE f.condition_number = m.condition)"
        return self._store.number(
            f"INSERT INTO requests SELECT ?, custom_id, row_number, row_id, {condition}, condition, replicate, draw, "
            f"request_key, {place}, nullif({asked_as(self._store.connection, path)}, custom_id), ?, NULL "
            f"FROM {parquet(path)} m",
            [plan.run, UNSENT],
        )

    def _change_runs(self, change: Callable[[], None]) -> None:
        """Change which runs there are or what they are, in one transaction with the views, which depend on it."""

        def work() -> None:
            layout.require(self._store)
            change()
            views.create(self._store)

        self._store.change(work)

    def _replace_run(self, row: RunRow) -> None:
        self._store.rows("DELETE FROM runs WHERE run_id = ?", [row.run_id])
        self._insert_run(row)

    def _delete_run(self, run_id: str) -> None:
        for table in layout.TABLES:
            self._store.rows(f"DELETE FROM {table} WHERE run_id = ?", [run_id])
        for schema in KEYS:
            if run_id in layout.runs_with(self._store, schema):
                self._store.connection.execute(f"DROP TABLE {run_table(schema, run_id)}")

    def _delete_batch(self, run_id: str, batch_id: str) -> None:
        # a batch and its answers come in one transaction: without the one there are none of the other to look for
        known = self._store.rows("DELETE FROM batches WHERE run_id = ? AND batch_id = ?", [run_id, batch_id]) != [(0,)]
        if known or batch_id.startswith(TAKEN):
            self._store.rows("DELETE FROM responses WHERE run_id = ? AND batch_id = ?", [run_id, batch_id])
            self._store.rows("DELETE FROM bad_lines WHERE run_id = ? AND batch_id = ?", [run_id, batch_id])
            typed.delete_batch(self._store, run_id, batch_id)

    def _append(self, run_id: str, batch: BatchRow, answers: Iterable[ResponseRow]) -> dict[str, str | None]:
        """Stream the answers into the table; returns their custom_ids, none of them owed as yet."""
        ids: dict[str, str | None] = {}
        count, storer = 0, Storer()
        with self._store.connection.appender("responses") as appender:
            for chunk in chunks(answers):
                self._store.make_room(chunk.room)
                ids.update((row.custom_id, None) for row in chunk.rows)
                count += len(chunk.rows)
                rows = vectors.place(self._store, run_id, batch, chunk.rows)
                appender.append_rows([(run_id, batch.round, batch.batch_id, *storer.response(row)) for row in rows])
                appender.flush()
                typed.append(self._store, run_id, batch.round, batch.batch_id, storer.typed(chunk.rows))
        if count != len(ids):
            raise SinkError(f"batch {batch.batch_id} has {count - len(ids)} requests with more than one answer")
        return ids

    def _settle(self, run_id: str, batch: BatchRow, kinds: Mapping[str, str | None]) -> None:
        """Write down which requests are still owed, unless a later round has been loaded before."""
        self._store.connection.execute("CREATE OR REPLACE TEMP TABLE settled (custom_id VARCHAR, owed VARCHAR)")
        with self._store.connection.appender("settled") as appender:
            # in the order of the requests: to change them all over the place takes fifty times as long
            appender.append_rows([(custom_id, kinds[custom_id]) for custom_id in sorted(kinds)])
        changed = self._store.number(
            "UPDATE requests SET owed = s.owed, last_round = ? FROM settled s WHERE requests.run_id = ? "
            "AND coalesce(requests.asked_as, requests.custom_id) = s.custom_id "
            "AND coalesce(requests.last_round, ?) <= ?",
            [batch.round, run_id, batch.round, batch.round],
        )
        if changed != len(kinds):
            known = self._store.number(
                "SELECT count(*) FROM requests SEMI JOIN settled USING (custom_id) WHERE run_id = ?", [run_id]
            )
            if known != len(kinds):
                strangers = len(kinds) - known
                raise SinkError(f"batch {batch.batch_id}: {strangers} answers belong to no request of {run_id}")
        self._store.connection.execute("DROP TABLE settled")

    def _insert_batch(self, run_id: str, batch: BatchRow) -> None:
        places = ", ".join(
            "make_timestamp(CAST(round(CAST(? AS DOUBLE) * 1000000) AS BIGINT))" if name.endswith("_at") else "?"
            for name in batch._fields
        )
        self._store.rows(f"INSERT INTO batches VALUES (?, {places})", [run_id, *Storer().batch(batch)])

    def _insert_run(self, row: RunRow) -> None:
        created = datetime.fromisoformat(row.created_at).astimezone(UTC).replace(tzinfo=None)
        values = row._replace(outcomes=json.dumps(dict(row.outcomes)), created_at=created)  # type: ignore[arg-type]
        self._store.rows(f"INSERT INTO runs VALUES ({', '.join('?' * len(values))})", values)


def _planned(plan: Plan) -> RunRow:
    """The run before anything of it is known but the plan."""
    return RunRow(
        plan.run,
        plan.experiment,
        plan.created_at,
        LOADING,
        plan.scope,
        plan.simulated,
        plan.model,
        plan.fingerprint,
        plan.requests,
        {UNSENT: plan.requests},
        plan.requests,
        pilot=plan.sample is not None,
    )
