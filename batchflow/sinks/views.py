"""What users read: requests beside their data and their final answers, for one run, for the current runs, for all."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from batchflow.sinks.connection import Store
from batchflow.sinks.layout import ANSWERS, DATA, FACTORS, KEYS, columns_of, mark, run_table, runs_with
from batchflow.sources.columns import RESULTS_RESERVED, free_name, result_names
from batchflow.sources.database import identifier, literal

INPUT_ORDER: Final = "q.row_number, q.condition_number, q.replicate"
_NUMBER: Final = identifier("number of a condition")  # for sorting; what no column of the data is called
_HEAD: Final = (
    "r.experiment", "q.run_id", "r.simulated", "q.row_number", "q.row_id", "q.custom_id", "q.condition", "q.replicate",
)  # fmt: skip
MODEL: Final = "model"  # a factor of this name is no column of its own
_MODEL: Final = ("r.model",)
_ANSWER: Final = ("coalesce(a.outcome, q.owed) AS outcome", "a.content")
_TAIL: Final = (
    "a.refusal", "a.finish_reason", "a.model_answered",
    # one answer may serve several requests; it was paid for once
    *(
        f"CASE WHEN q.asked_as IS NULL THEN a.{name} END AS {name}"
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")
    ),
    "CASE WHEN q.asked_as IS NULL THEN a.cost_usd ELSE 0 END AS cost_usd",
)  # fmt: skip
# A request that is not owed has its final answer in the newest round that asked it; only owed ones are asked again.
FINAL_ANSWER: Final = (
    "LEFT JOIN responses a ON a.run_id = q.run_id AND a.custom_id = coalesce(q.asked_as, q.custom_id) "
    "AND a.round = CASE WHEN q.owed IS NULL THEN q.last_round END"
)
REQUESTS: Final = f"FROM requests q JOIN runs r ON r.run_id = q.run_id {FINAL_ANSWER}"


def create(store: Store) -> None:
    """Make both views anew for the runs that are there; part of the caller's transaction."""
    _replace(store, "results", _current(store), "one row per request of the current run of each experiment")
    every = f"SELECT {', '.join((*_HEAD, *_MODEL, *_ANSWER, *_TAIL))} {REQUESTS}"
    order = f"ORDER BY r.experiment, r.created_at, q.run_id, {INPUT_ORDER}"
    _replace(store, "results_all", f"{every} {order}", "one row per request of every run")


class Part(NamedTuple):
    """Consecutive rows of a run: first and last row number, least and greatest custom_id among their requests."""

    first: int
    last: int
    least: str
    greatest: str


def select_run(store: Store, run_id: str) -> str:
    """The results of a run in input order."""
    return select_part(shape_of(store, run_id), None)


def select_part(shape: "Shape", part: Part | None) -> str:
    """The same of a part of a run."""
    return f"{_select(shape, shape.columns, part)} ORDER BY {INPUT_ORDER}"


def current_runs(store: Store) -> list[str]:
    """One run of each experiment: what a model said goes before what was simulated, then complete before incomplete,
    then one of all rows before a pilot, then the newest.
    """
    rows = store.rows(
        "SELECT run_id FROM runs QUALIFY row_number() OVER (PARTITION BY experiment ORDER BY simulated, "
        "state = 'complete' DESC, pilot, created_at DESC, length(run_id) DESC, run_id DESC) = 1 ORDER BY experiment"
    )
    return [run_id for (run_id,) in rows]


def _current(store: Store) -> str:
    present = runs_with(store, DATA)
    shapes = [shape_of(store, run_id) for run_id in current_runs(store) if run_id in present]
    if not shapes:
        return f"SELECT {', '.join((*_HEAD, *_MODEL, *_ANSWER, *_TAIL))} {REQUESTS} WHERE false"
    shapes = _told_apart(shapes)
    places = {schema: _united(column for shape in shapes for column in shape.columns[schema]) for schema in KEYS}
    selects = [_select(shape, places, also=f", q.condition_number AS {_NUMBER}") for shape in shapes]
    order = f"experiment, row_number, {_NUMBER}, replicate"
    return f"SELECT * EXCLUDE ({_NUMBER}) FROM ({' UNION ALL '.join(selects)}) ORDER BY {order}"


class Shown(NamedTuple):
    """A column of `results` that not every run has: its name there, its type, and what gives it."""

    name: str
    type: str
    sql: str


class Shape(NamedTuple):
    """What `results` shows of one run: its own columns, by the schema that holds them."""

    run_id: str
    experiment: str
    columns: Mapping[str, Sequence[Shown]]
    model: bool  # whether it varies


def shape_of(store: Store, run_id: str) -> Shape:
    """What the tables have of a run."""
    stored = {schema: columns_of(store, schema, run_id) for schema in KEYS}
    factors = [column for column in stored[FACTORS] if column.name.lower() != MODEL]
    names = [[column.name for column in columns] for columns in (stored[DATA], factors, stored[ANSWERS])]
    data, answers = result_names(*names)
    kinds = (
        (DATA, "d", stored[DATA], data),
        (FACTORS, "f", factors, names[1]),
        (ANSWERS, "t", stored[ANSWERS], answers),
    )
    columns = {
        schema: [
            Shown(name, column.type, f"{alias}.{identifier(column.name)}")
            for name, column in zip(shown, found, strict=True)
        ]
        for schema, alias, found, shown in kinds
    }
    experiment = store.rows("SELECT experiment FROM runs WHERE run_id = ?", [run_id])[0][0]
    return Shape(run_id, experiment, columns, len(factors) < len(stored[FACTORS]))


def _told_apart(shapes: Sequence[Shape]) -> list[Shape]:
    """Columns of the same name and another meaning (type, or kind) in two experiments are named after them as well:
    nothing is widened so that both fit.
    """
    meanings: dict[str, set[tuple[str, str]]] = {}
    for shape in shapes:
        for schema, columns in shape.columns.items():
            for column in columns:
                meanings.setdefault(column.name.lower(), set()).add((schema, column.type))
    taken = RESULTS_RESERVED | meanings.keys()

    def told_apart(shape: Shape, column: Shown) -> Shown:
        if len(meanings[column.name.lower()]) == 1:
            return column
        return column._replace(name=free_name(f"{column.name}_{shape.experiment}", taken))

    return [
        shape._replace(
            columns={
                schema: [told_apart(shape, column) for column in columns] for schema, columns in shape.columns.items()
            }
        )
        for shape in shapes
    ]


def _united(columns: Iterable[Shown]) -> list[Shown]:
    """Every column once, as it is first spelt; case does not tell columns apart."""
    first: dict[str, Shown] = {}
    for column in columns:
        first.setdefault(column.name.lower(), column)
    return list(first.values())


def _select(shape: Shape, places: Mapping[str, Sequence[Shown]], part: Part | None = None, *, also: str = "") -> str:
    """places: the columns to show, those that the run does not have as NULL. also: further columns, for sorting.

    The bounds of a part stand at each table, so that only what lies between them is read.
    """
    shown = {
        schema: [_cell({each.name.lower(): each for each in shape.columns[schema]}, column) for column in columns]
        for schema, columns in places.items()
    }
    model = ("coalesce(f.model, r.model) AS model",) if shape.model else _MODEL
    run = literal(shape.run_id)
    ids = rows = ""
    if part is not None:
        ids = f" AND a.custom_id BETWEEN {literal(part.least)} AND {literal(part.greatest)}"
        rows = f"row_number BETWEEN {part.first:d} AND {part.last:d}"
    joins = f"LEFT JOIN {run_table(DATA, shape.run_id)} d ON d.row_number = q.row_number{rows and f' AND d.{rows}'} "
    if shape.columns[FACTORS] or shape.model:
        joins += f"LEFT JOIN {run_table(FACTORS, shape.run_id)} f ON f.condition_number = q.condition_number "
    if shape.columns[ANSWERS]:
        joins += (
            f"LEFT JOIN {run_table(ANSWERS, shape.run_id)} t ON t.custom_id = a.custom_id AND t.round = a.round"
            f"{ids.replace(' a.', ' t.')} "
        )
    columns = (*_HEAD, *shown[DATA], *shown[FACTORS], *model, *_ANSWER, *shown[ANSWERS], *_TAIL)
    return (
        f"SELECT {', '.join(columns)}{also} {REQUESTS} AND a.run_id = {run}{ids} {joins}"
        f"WHERE q.run_id = {run}{rows and f' AND q.{rows}'}"
    )


def _cell(own: Mapping[str, Shown], column: Shown) -> str:
    found = own.get(column.name.lower())
    return f"{found.sql if found else f'CAST(NULL AS {column.type})'} AS {identifier(column.name)}"


def _replace(store: Store, name: str, select: str, meaning: str) -> None:
    store.connection.execute(f"CREATE OR REPLACE VIEW {name} AS {select}")
    store.connection.execute(mark("VIEW", name, meaning))
