"""The table of a run's conditions: number, text, and a typed column for each factor."""

from batchflow.plan.model import Plan
from batchflow.sinks.connection import Store
from batchflow.sinks.layout import FACTORS, mark, run_table
from batchflow.sources.database import identifier


def create(store: Store, plan: Plan) -> None:
    """Make and fill it; a run in which nothing varies has none. Part of the caller's transaction."""
    if not plan.conditions:
        return
    table = run_table(FACTORS, plan.run)
    columns = "".join(f", {identifier(name)} {type_}" for name, type_ in plan.factors.items())
    store.connection.execute(f"CREATE TABLE {table} (condition_number INTEGER, condition VARCHAR{columns})")
    store.connection.execute(mark("TABLE", table, f"the conditions of {plan.experiment}"))
    with store.connection.appender(table) as appender:
        appender.append_rows([(each.number, each.text, *each.cells) for each in plan.conditions])
