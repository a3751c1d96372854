"""Which rows of a table are asked, where not all are: a sample, a list of ids, a condition. Decided by DuckDB."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchflow.errors import DataError, Fault
from batchflow.sources.database import identifier, literal
from batchflow.spec.sample import SampleSpec

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SHOWN: Final = 20


class RowChoice(NamedTuple):
    """n: as many rows, drawn by a hash of seed and row id; 0: all. by: columns whose combinations have their shares.
    ids: only rows with these; None: whatever their id. source: where the ids were read, for errors. where: an SQL
    condition over columns, as its author wrote it.
    """

    n: int = 0
    seed: int = 0
    by: Sequence[str] = ()
    ids: Sequence[str] | None = None
    source: str = ""
    where: str = ""

    def __bool__(self) -> bool:
        """Whether rows may be left out."""
        return bool(self.n or self.where or self.ids is not None)

    def shaping(self) -> dict[str, Any]:
        """Its part of a fingerprint: nothing, where all rows are asked."""
        found: dict[str, Any] = {}
        if self.n:
            found |= {"sample.n": self.n, "sample.seed": self.seed, "sample.by": list(self.by)}
        if self.ids is not None:
            found["sample.ids"] = sorted(set(self.ids))
        if self.where:
            found["sample.where"] = self.where
        return found

    def facts(self) -> dict[str, Any] | None:
        """As a run's manifest keeps it; None where all rows are asked."""
        return {**self._asdict(), "by": list(self.by)} if self else None

    def words(self) -> str:
        """For people."""
        drawn = f"a sample of {self.n:,} row{'s' * (self.n != 1)} (seed {self.seed})" if self.n else "only rows"
        parts = [f"with shares by {', '.join(self.by)}"] if self.n and self.by else []
        parts += [f"with one of {len(set(self.ids)):,} ids"] if self.ids is not None else []
        parts += [f"where {self.where}"] if self.where else []
        return f"{drawn} {', '.join(parts)}".strip()


def sample_of(sample: SampleSpec | None) -> RowChoice:
    """The choice of rows that a spec makes."""
    return RowChoice() if sample is None else RowChoice(n=sample.n, seed=sample.seed, by=tuple(sample.by))


def choose(database: "DuckDBPyConnection", choice: RowChoice, by: Sequence[str]) -> None:
    """Make the table `chosen` of row numbers: of the rows in `d` that have a pair in `pairs`. by: stored names.

    Raises DataError for ids that no row has.
    """
    wanted = ["d.row_number IN (SELECT row_number FROM pairs)"]
    if choice.where:
        wanted.append(f"coalesce(CAST(({choice.where}\n) AS BOOLEAN), false)")
    if choice.ids is not None:
        database.execute("CREATE TABLE named (row_id VARCHAR)")
        with database.appender("named") as appender:
            appender.append_rows([(each,) for each in dict.fromkeys(choice.ids)])
        _check_ids(database, choice)
        wanted.append("d.row_id IN (SELECT row_id FROM named)")
    strata = ", ".join(f"d.{identifier(name)}" for name in by) or "1"
    chance = f"sha256(concat_ws(chr(10), 'sample', {literal(str(choice.seed))}, d.row_id))"
    ranked = f"row_number() OVER (PARTITION BY {strata} ORDER BY {chance}, d.row_number) - 0.5"
    # each row's place in its own stratum, as a share of it: the lowest shares take from every stratum alike
    database.execute(
        f"CREATE TABLE chosen AS SELECT row_number FROM (SELECT d.row_number, {chance} AS chance, "
        f"({ranked}) / count(*) OVER (PARTITION BY {strata}) AS share FROM d WHERE {' AND '.join(wanted)}) "
        f"ORDER BY share, chance, row_number" + (f" LIMIT {choice.n:d}" if choice.n else "")
    )


def _check_ids(database: "DuckDBPyConnection", choice: RowChoice) -> None:
    unknown = [
        row_id
        for (row_id,) in database.execute(
            "SELECT row_id FROM named WHERE row_id NOT IN (SELECT row_id FROM d WHERE row_id IS NOT NULL)"
        ).fetchall()
    ]
    if not unknown:
        return
    shown = ", ".join(map(repr, unknown[:_SHOWN])) + (", …" if len(unknown) > _SHOWN else "")
    cause = f"{len(unknown):,} of these ids have no row in the table: {shown}"
    raise DataError([Fault(choice.source, cause, "write one id per line, as the id column has it")])
