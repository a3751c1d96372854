"""`batchflow validate`: everything that can be known without writing or sending."""

import json
from typing import Any

from batchflow.cli import render
from batchflow.cli.options import Json, ProviderOption, SpecArgument
from batchflow.engine.finding import spec_path


def validate(spec: SpecArgument, *, provider: ProviderOption = None, as_json: Json = False) -> None:
    """Check all that would be sent; write and send nothing.

    All: the spec, the data, the template and every rendered request.
    """
    from batchflow.engine.other_runs import workshop
    from batchflow.engine.planning import check_only
    from batchflow.plan.study import compile_study
    from batchflow.spec.load import load_spec

    path = spec_path(spec)
    with workshop() as place:
        study = compile_study(load_spec(path), provider, place)
        requests = check_only(study)
    notes = list(study.notes())
    for line in notes:
        render.note(f"note: {line}")
    shown = render.plural(requests, "request")
    render.note(f"{path} is valid: {shown} for {study.model} at {study.target.scope}; nothing was sent.")
    if as_json:
        columns = [{"name": c.name, "results": c.results} for c in study.columns.data]
        render.emit(
            "validate",
            {
                "spec": str(path),
                "valid": True,
                "requests": requests,
                "model": study.model,
                "scope": study.target.scope,
                "columns": columns,
                "answer": _answer(study.columns.answers),
                "notes": notes,
            },
        )


def _answer(plan: Any) -> dict[str, Any] | None:
    """What becomes of answers, where they are typed."""
    from batchflow.plan.answer_types import duckdb_type

    if plan is None:
        return None
    columns = [{"name": c.name, "results": c.results, "type": duckdb_type(c.kind)} for c in plan.columns]
    return {"columns": columns, "schema": json.loads(plan.schema or "null"), "extract": dict(plan.extract)}
