"""What users read: requests beside their data and their final answers, for one run, for the current runs, for all."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from batchflow.sinks.connection import Store
from batchflow.sinks.layout import data_columns, data_table, mark, runs_with_data
from batchflow.sources.columns import RESULTS_RESERVED, resolve
from batchflow.sources.database import identifier, literal

INPUT_ORDER: Final = "row_number, condition, replicate"
_HEAD: Final = (
    "r.experiment", "q.run_id", "r.simulated", "q.row_number", "q.row_id", "q.custom_id", "q.condition", "q.replicate",
)  # fmt: skip
_TAIL: Final = (
    "r.model", "coalesce(a.outcome, q.owed) AS outcome", "a.content", "a.refusal", "a.finish_reason",
    "a.model_answered", "a.prompt_tokens", "a.cached_tokens", "a.completion_tokens", "a.reasoning_tokens",
    "a.total_tokens", "a.cost_usd",
)  # fmt: skip
# A request that is not owed has its final answer in the newest round that asked it; only owed ones are asked again.
FINAL_ANSWER: Final = (
    "LEFT JOIN responses a ON a.run_id = q.run_id AND a.custom_id = q.custom_id "
    "AND a.round = CASE WHEN q.owed IS NULL THEN q.last_round END"
)
_REQUESTS: Final = f"FROM requests q JOIN runs r ON r.run_id = q.run_id {FINAL_ANSWER}"


def create(store: Store) -> None:
    """Make both views anew for the runs that are there; part of the caller's transaction."""
    _replace(store, "results", _current(store), "one row per request of the current run of each experiment")
    every = f"SELECT {', '.join((*_HEAD, *_TAIL))} {_REQUESTS}"
    order = f"ORDER BY r.experiment, r.created_at, q.run_id, {INPUT_ORDER}"
    _replace(store, "results_all", f"{every} {order}", "one row per request of every run")


def result_names(stored: Sequence[str]) -> list[str]:
    """The names in `results` of data columns that are stored under these names."""
    return resolve(stored, RESULTS_RESERVED)


class Part(NamedTuple):
    """Consecutive rows of a run: first and last row number, least and greatest custom_id among their requests."""

    first: int
    last: int
    least: str
    greatest: str


def select_run(store: Store, run_id: str, part: Part | None = None) -> str:
    """The results of a run, or of a part of it, in input order."""
    return f"{_select(run_id, _named(store, run_id), None, part)} ORDER BY {INPUT_ORDER}"


def current_runs(store: Store) -> list[str]:
    """One run of each experiment: what a model said goes before what was simulated, then complete before incomplete,
    then the newest.
    """
    rows = store.rows(
        "SELECT run_id FROM runs QUALIFY row_number() OVER (PARTITION BY experiment ORDER BY simulated, "
        "state = 'complete' DESC, created_at DESC, length(run_id) DESC, run_id DESC) = 1 ORDER BY experiment"
    )
    return [run_id for (run_id,) in rows]


def _current(store: Store) -> str:
    present = runs_with_data(store)
    named = {run_id: _named(store, run_id) for run_id in current_runs(store) if run_id in present}
    if not named:
        return f"SELECT {', '.join((*_HEAD, *_TAIL))} {_REQUESTS} WHERE false"
    columns = _united(name for pairs in named.values() for name in pairs)
    selects = [_select(run_id, pairs, columns) for run_id, pairs in named.items()]
    return f"SELECT * FROM ({' UNION ALL '.join(selects)}) ORDER BY experiment, {INPUT_ORDER}"


def _named(store: Store, run_id: str) -> dict[str, str]:
    """Name in `results` -> stored name."""
    stored = data_columns(store, run_id)
    return dict(zip(result_names(stored), stored, strict=True))


def _united(names: Iterable[str]) -> list[str]:
    """Every name once, as it is first spelt; case does not tell columns apart."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.lower(), name)
    return list(first.values())


def _select(run_id: str, named: dict[str, str], columns: Sequence[str] | None, part: Part | None = None) -> str:
    """columns: the data columns to show, those the run does not have as NULL; without it the run's own.

    The bounds of a part stand at each table, so that only what lies between them is read.
    """
    own = {name.lower(): stored for name, stored in named.items()}
    data = [
        (f"d.{identifier(own[name.lower()])}" if name.lower() in own else "CAST(NULL AS VARCHAR)")
        + f" AS {identifier(name)}"
        for name in (named if columns is None else columns)
    ]
    run = literal(run_id)
    ids = rows = ""
    if part is not None:
        ids = f" AND a.custom_id BETWEEN {literal(part.least)} AND {literal(part.greatest)}"
        rows = f"row_number BETWEEN {part.first:d} AND {part.last:d}"
    return (
        f"SELECT {', '.join((*_HEAD, *data, *_TAIL))} {_REQUESTS} AND a.run_id = {run}{ids} "
        f"LEFT JOIN {data_table(run_id)} d ON d.row_number = q.row_number{rows and f' AND d.{rows}'} "
        f"WHERE q.run_id = {run}{rows and f' AND q.{rows}'}"
    )


def _replace(store: Store, name: str, select: str, meaning: str) -> None:
    store.connection.execute(f"CREATE OR REPLACE VIEW {name} AS {select}")
    store.connection.execute(mark("VIEW", name, meaning))
