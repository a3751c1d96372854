"""Weigh request lines where their weights were not kept. Free to repeat."""

import json
from collections.abc import Callable, Collection
from typing import Any

from batchflow.cost.tally import Group, Tally, by_shard
from batchflow.cost.weighing import Scale, Weight
from batchflow.journal.state import ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.lines import body_of
from batchflow.plan.model import Plan
from batchflow.plan.shards import condition_of, custom_id_of, readable, row_of, shard_name


def _weighed(scale: Scale, line: bytes) -> tuple[str, Weight]:
    """The model that a request line of ours asks, and its weight."""
    body = body_of(line)
    request: dict[str, Any] = json.loads(body)
    return str(request.get("model", "")), scale.weigh(request, len(body))


def weigh_file(
    folder: RunFolder, plan: Plan, round_: int, shard: int, only: Collection[str] | None = None
) -> tuple[Group, ...]:
    """What the lines of a request file weigh. only: those with these custom_ids."""
    tally, scale = Tally(), Scale(plan.endpoint, exact=not plan.simulated)
    path = folder.shard(shard_name(round_, shard))
    with readable(path), path.open("rb") as handle:
        for line in handle:
            if only is None or custom_id_of(line) in only:
                model, weight = _weighed(scale, line)
                tally.add(weight, shard=shard, condition=condition_of(custom_id_of(line)), model=model)
    return tally.groups()


def weigh_rows(
    folder: RunFolder, plan: Plan, shard: str, chosen: Callable[[int], bool]
) -> dict[str, tuple[str, Weight]]:
    """By custom_id the model and the weight of the lines of a request file that ask the chosen rows."""
    scale = Scale(plan.endpoint, exact=not plan.simulated)
    found: dict[str, tuple[str, Weight]] = {}
    path = folder.shard(shard)
    with readable(path), path.open("rb") as handle:
        for line in handle:
            if chosen(row_of(name := custom_id_of(line))):
                found[name] = _weighed(scale, line)
    return found


class Weights:
    """The weights of a run's request files: from its manifest those of round 1, else by weighing them, each once."""

    def __init__(self, folder: RunFolder, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        kept = by_shard(plan.weights or ())
        self._known = {(1, shard): groups for shard, groups in kept.items()}

    def of(self, shard: ShardState) -> tuple[Group, ...]:
        key = (shard.round, shard.number)
        if key not in self._known:
            self._known[key] = weigh_file(self._folder, self._plan, *key)
        return self._known[key]
