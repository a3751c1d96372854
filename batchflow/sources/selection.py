"""Which conditions are possible for which rows: the SQL conditions of a design, and exactly balanced assignment, both
decided by DuckDB over the stored rows, out of memory where there are many.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from batchflow import files
from batchflow.sources.choice import RowChoice, choose
from batchflow.sources.database import identifier, literal, parquet, private_connection, said

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NUMBER: Final = identifier("number of a condition")  # what no column and no factor is called
MOST_JUDGED: Final = 10_000  # conditions; more would be felt
# a name beside a number, where no cast stands before the sign
_COMPARED: Final = r'(?<![\w":])("(?:[^"]|"")+"|[^\W\d]\w*)\s*([<>]=?)\s*(-?[0-9]+(\.[0-9]+)?)'


class BadCondition(ValueError):
    """An SQL condition that cannot be used, in DuckDB's words. position: of the condition among all."""

    def __init__(self, position: int, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.position, self.cause, self.remedy = position, cause, remedy


class Rules(NamedTuple):
    """What decides. columns: the stored names of the data's columns. factors: name -> type. conditions: number -> its
    cells in the order of the factors. where must all be true, of exclude none. strata is given for exact balance only.
    choice_by: the stored names of the columns that a sample is drawn by.
    """

    columns: Sequence[str]
    factors: Mapping[str, str]
    conditions: Mapping[int, Sequence[Any]]
    where: Sequence[str] = ()
    exclude: Sequence[str] = ()
    strata: Sequence[str] | None = None
    seed: int = 0
    choice: RowChoice = RowChoice()
    choice_by: Sequence[str] = ()

    @property
    def plain(self) -> bool:
        """Whether every condition is possible for every row, and nothing has to be balanced or chosen."""
        return not self.where and not self.exclude and self.strata is None and not self.choice

    def sql(self) -> str:
        """All conditions as one."""
        kept = [f"coalesce(CAST(({text}\n) AS BOOLEAN), false)" for text in self.where]
        left_out = [f"NOT coalesce(CAST(({text}\n) AS BOOLEAN), false)" for text in self.exclude]
        return " AND ".join([*kept, *left_out]) or "true"


def check(rules: Rules) -> list[str]:
    """Raises BadCondition for the first condition that can be true of no table: syntax, unknown names, chance.

    Returns the conditions of `exclude` that leave everything in, whatever the rows: about factors alone, and true of no
    combination of their levels.
    """
    import duckdb  # noqa: PLC0415 - heavy; only what has conditions pays for it

    from batchflow.sources import sql  # noqa: PLC0415 - as above

    with private_connection() as database:
        columns = "".join(f", {identifier(name)} VARCHAR" for name in rules.columns)
        database.execute(f"CREATE TABLE d (row_number BIGINT, row_id VARCHAR{columns})")
        _fill_conditions(database, rules)
        _close(database)
        for position, (text, tables) in enumerate(_conditions(rules)):
            try:
                sql.check_condition(database, text)
                database.execute(f"SELECT 1 FROM {tables} WHERE CAST(({text}\n) AS BOOLEAN)").fetchall()
            except sql.Unfit as problem:
                raise BadCondition(position, problem.cause, problem.remedy) from None
            except duckdb.Error as error:
                remedy = f"correct the condition; {_names(rules, tables)}"
                raise BadCondition(position, *in_words(error, text, remedy)) from error
        return _idle(database, rules)


def _conditions(rules: Rules) -> list[tuple[str, str]]:
    """Every SQL condition with the tables whose names it may use; that of the choice of rows comes last."""
    design = [(text, "d, c") for text in (*rules.where, *rules.exclude)]
    return [*design, (rules.choice.where, "d")] if rules.choice.where else design


def _names(rules: Rules, tables: str) -> str:
    """What a condition over these tables may name."""
    if tables == "d":
        return f"the names are those of columns: {', '.join(rules.columns)}"
    return f"the names are those of columns and factors: {', '.join([*rules.columns, *rules.factors])}"


def _idle(database: "DuckDBPyConnection", rules: Rules) -> list[str]:
    import duckdb  # noqa: PLC0415 - heavy; only what has conditions pays for it

    found = []
    for text in rules.exclude if 0 < len(rules.conditions) <= MOST_JUDGED else ():
        with suppress(duckdb.Error):  # a column, or a cast that fails for a level, which is said elsewhere
            if not database.execute(f"SELECT 1 FROM c WHERE CAST(({text}\n) AS BOOLEAN) LIMIT 1").fetchall():
                found.append(text)
    return found


def _fill_conditions(database: "DuckDBPyConnection", rules: Rules) -> None:
    """The table of conditions."""
    factors = "".join(f", {identifier(name)} {type_}" for name, type_ in rules.factors.items())
    database.execute(f"CREATE TABLE c ({_NUMBER} INTEGER{factors})")
    with database.appender("c") as appender:
        appender.append_rows([(number, *cells) for number, cells in rules.conditions.items()])


def _close(database: "DuckDBPyConnection") -> None:
    """Nothing of the user's reaches a file from here on."""
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def in_words(error: Exception, text: str, otherwise: str) -> tuple[str, str]:
    """Cause and remedy of DuckDB's error about SQL of the user's. otherwise: the remedy of those that do not come from
    cells being text.
    """
    cause = said(error)
    if "VARCHAR" not in cause or "explicit" not in cause:
        return cause, otherwise
    found = list(re.finditer(_COMPARED, text))
    if len(found) != 1:
        return cause, "cells are text: make numbers of them, e.g. age::int > 30"
    name, sign, number, decimals = found[0].groups()
    return cause, f"cells are text: write {name}::{'double' if decimals else 'int'} {sign} {number}"


class Selection:
    """The possible pairs of row and condition, in order. Open for one pass over the rows."""

    def __init__(self, rows: Path, rules: Rules) -> None:
        self._rows, self._rules, self._stack = rows, rules, ExitStack()

    def __enter__(self) -> Self:
        """Raises BadCondition where a condition fails for some row."""
        import duckdb  # noqa: PLC0415 - heavy; only what has conditions pays for it

        with self._stack:
            scratch = self._stack.enter_context(files.scratch_folder())
            self._database = self._stack.enter_context(private_connection(scratch, str(scratch / "pairs.duckdb")))
            self._prepare()
            try:
                self._decide()
            except duckdb.Error as error:
                cause, remedy = in_words(error, "", "cells are text: guard casts with try_cast(…)")
                raise BadCondition(self._failing(), cause, remedy) from error
            self._stack = self._stack.pop_all()
        return self

    def _prepare(self) -> None:
        rules, database = self._rules, self._database
        names = "".join(f", {identifier(name)}" for name in rules.columns)
        database.execute(f"CREATE TABLE d AS SELECT row_number, row_id{names} FROM {parquet(self._rows)}")
        _fill_conditions(database, rules)
        _close(database)

    def _decide(self) -> None:
        rules = self._rules
        pairs = f"SELECT d.row_number, d.row_id, c.{_NUMBER} AS number FROM d, c WHERE {rules.sql()}"
        if rules.strata is None:
            query = f"SELECT row_number, number FROM ({pairs}) ORDER BY row_number, number"
        else:
            strata = "".join(f"d.{identifier(name)}, " for name in rules.strata)
            # one rank over all strata, one after the other: balanced within each, and over all
            chance = f"sha256(concat_ws(chr(10), {literal(str(rules.seed))}, d.row_id))"
            query = (
                "SELECT row_number, numbers[1 + rank % len(numbers)] AS number FROM (SELECT d.row_number, p.numbers, "
                f"row_number() OVER (PARTITION BY p.numbers ORDER BY {strata}{chance}, d.row_number) - 1 AS rank "
                f"FROM d JOIN (SELECT row_number, list(number ORDER BY number) AS numbers FROM ({pairs}) "
                "GROUP BY row_number) p ON p.row_number = d.row_number) ORDER BY row_number"
            )
        self._database.execute(f"CREATE TABLE pairs AS {query}")
        if rules.choice:
            # after the assignment: whoever is left has the condition that the whole study gives
            choose(self._database, rules.choice, rules.choice_by)
            self._database.execute("DELETE FROM pairs WHERE row_number NOT IN (SELECT row_number FROM chosen)")

    def _failing(self) -> int:
        """The position of the condition that fails for some row."""
        import duckdb  # noqa: PLC0415 - as above

        for position, (text, tables) in enumerate(_conditions(self._rules)):
            try:
                self._database.execute(f"SELECT count(*) FROM {tables} WHERE CAST(({text}\n) AS BOOLEAN)").fetchall()
            except duckdb.Error:
                return position
        return 0

    def possible(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Row number and condition number of every pair, for the rows from `first` to `last`."""
        query = "SELECT row_number, number FROM pairs WHERE row_number BETWEEN ? AND ? ORDER BY row_number, number"
        yield from self._database.execute(query, [first, last]).fetchall()

    def __exit__(self, *error: object) -> None:
        self._stack.close()
