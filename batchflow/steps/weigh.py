"""Weigh request lines: as files are written, and again where their weights were not kept. Free to repeat."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from batchflow.cost.tally import Group, Tally, by_shard
from batchflow.cost.weighing import Scale, Weight
from batchflow.journal.state import ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.lines import BODY, TAIL
from batchflow.plan.model import Plan
from batchflow.plan.shards import condition_of, custom_id_of, readable, row_of, shard_name


def add_line(tally: Tally, scale: Scale, request: Mapping[str, Any], line: bytes, shard: int) -> None:
    """Add a request line of ours to the weights of its file; request: the same, read."""
    weight = _weight(scale, request, line)
    condition = condition_of(request["custom_id"])
    tally.add(weight, shard=shard, condition=condition, model=_model(request))


def _weight(scale: Scale, request: Mapping[str, Any], line: bytes) -> Weight:
    return scale.weigh(request["body"], len(line) - line.index(BODY) - len(BODY) - len(TAIL))


def _model(request: Mapping[str, Any]) -> str:
    return str(request["body"].get("model", ""))


def weigh_file(
    folder: RunFolder, plan: Plan, round_: int, shard: int, only: Collection[str] | None = None
) -> tuple[Group, ...]:
    """What the lines of a request file weigh. only: those with these custom_ids."""
    tally, scale = Tally(), Scale(plan.endpoint, exact=not plan.simulated)
    path = folder.shard(shard_name(round_, shard))
    with readable(path), path.open("rb") as handle:
        for line in handle:
            if only is None or custom_id_of(line) in only:
                add_line(tally, scale, json.loads(line), line, shard)
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
                request = json.loads(line)
                found[name] = (_model(request), _weight(scale, request, line))
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
