"""`batchflow validate`: everything that can be known without writing or sending."""

import json
from dataclasses import asdict
from typing import Any

from batchflow.cli import render
from batchflow.cli.choice import RowOptions
from batchflow.cli.options import IdsOption, Json, ProviderOption, SampleOption, SeedOption, SpecArgument, WhereOption


def validate(
    spec: SpecArgument,
    *,
    sample: SampleOption = None,
    seed: SeedOption = None,
    ids: IdsOption = None,
    where: WhereOption = None,
    provider: ProviderOption = None,
    as_json: Json = False,
) -> None:
    """Check all that would be sent; write and send nothing.

    All: the spec, the data, the template and every rendered request.
    """
    from batchflow.cli.bar import bar
    from batchflow.engine.studies import spec_path, workshop
    from batchflow.engine.validating import check_only
    from batchflow.plan.study import compile_study
    from batchflow.prompts.personal import warnings
    from batchflow.spec.load import load_spec

    path = spec_path(spec)
    loaded = load_spec(path)
    with workshop() as place:
        study = compile_study(loaded, provider, place, RowOptions(sample, seed, ids, where).choice(loaded))
        with bar("checking what would be sent, row by row") as watch:
            requests, personal = check_only(study, watch)
    notes = [*study.notes(), *warnings(personal)]
    for line in notes:
        render.note(f"note: {line}")
    shown = render.plural(requests, "request")
    asked = study.target.host + render.simulated(really=study.target.simulated)
    render.note(f"{path} is valid: {shown} for {study.model} at {asked}; nothing was sent.")
    if as_json:
        render.emit("validate", {"spec": str(path), **_described(study, requests, notes, personal)})


def _described(study: Any, requests: int, notes: list[str], personal: Any) -> dict[str, Any]:
    """What would be sent, for --json."""
    return {
        "valid": True,
        "requests": requests,
        "model": study.model,
        "scope": study.target.scope,
        "columns": [
            {"name": c.name, "results": c.results, "sent": c.name in study.design.columns} for c in study.columns.data
        ],
        "answer": _answer(study.columns.answers),
        "notes": notes,
        "personal": [asdict(each) for each in personal],
    }


def _answer(plan: Any) -> dict[str, Any] | None:
    """What becomes of answers, where they are typed."""
    from batchflow.plan.answer_types import duckdb_type

    if plan is None:
        return None
    columns = [{"name": c.name, "results": c.results, "type": duckdb_type(c.kind)} for c in plan.columns]
    return {"columns": columns, "schema": json.loads(plan.schema or "null"), "extract": dict(plan.extract)}
