"""How a batch and its files look to a client where faults want them seen otherwise than they are."""

from datetime import UTC, datetime
from typing import Any

from batchflow import clock
from batchflow.server.faults import Faults
from batchflow.server.store import Store, StoredBatch
from batchflow.server.wire import batch_object


def shown(faults: Faults, batch: StoredBatch) -> dict[str, Any]:
    """The batch as its faults want it seen."""
    seen = batch_object(batch)
    now = clock.unix()
    for rule in faults.on_batch("status", batch.number):
        if batch.status in ("validating", "in_progress") and now < batch.created + rule["seconds"]:
            seen["status"] = rule["value"]
    for rule in faults.on_batch("result_file", batch.number):
        _give_file(seen, f"{rule['which']}_file_id", rule["as"])
    for rule in faults.on_batch("late_output", batch.number):
        if now < ended_at(batch) + rule["seconds"]:
            hidden = ("output", "error") if rule["which"] == "both" else (rule["which"],)
            seen |= dict.fromkeys((f"{name}_file_id" for name in hidden), None)
    for rule in faults.on_batch("dialect", batch.number):
        for how in rule.list_of("how"):
            seen = _in_dialect(seen, how)
    for rule in faults.on_batch("reply_field", batch.number):
        if rule["absent"]:
            seen.pop(rule["name"], None)
        else:
            seen[rule["name"]] = rule["value"]
    return seen


def gone(faults: Faults, store: Store, identity: str) -> bool:
    """Whether a fault has taken this file away."""
    if not faults.any_of("file_gone"):
        return False
    for batch in store.batches_of_file(identity):
        for rule in faults.on_batch("file_gone", batch.number):
            since = batch.created if rule["which"] == "input" else ended_at(batch)
            if getattr(batch, f"{rule['which']}_file_id") == identity and clock.unix() >= since + rule["seconds"]:
                return True
    return False


def ended_at(batch: StoredBatch) -> float:
    """When the batch ended; 0 while it is open."""
    return batch.completed_at or batch.expired_at or batch.cancelled_at or batch.failed_at or 0.0


def _give_file(seen: dict[str, Any], name: str, form: str | None) -> None:
    match form:
        case None | "null":
            seen[name] = None
        case "empty_string":
            seen[name] = ""
        case "absent":
            seen.pop(name, None)


def _in_dialect(seen: dict[str, Any], how: str) -> dict[str, Any]:
    """The object as another server that speaks this protocol would write it."""
    moments = [name for name in seen if name.endswith("_at")]
    match how:
        case "uppercase_status":
            seen["status"] = seen["status"].upper()
        case "unset_omitted":
            seen = {name: value for name, value in seen.items() if value is not None}
        case "no_timestamps":
            seen |= dict.fromkeys((name for name in moments if name != "created_at"), None)
        case "rfc3339_dates":
            seen |= {name: _date(seen[name]) for name in moments}
        case "counts_null":
            seen["request_counts"] = None
        case "counts_absent":
            seen.pop("request_counts", None)
        case "counts_zero":
            seen["request_counts"] = {"total": 0, "completed": 0, "failed": 0}
        case "window_1d":
            seen["completion_window"] = "1d"
    return seen


def _date(second: Any) -> Any:
    if not isinstance(second, int):
        return second
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
