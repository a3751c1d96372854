"""A run's manifest holds what its requests weigh, as the files would say again; it is no part of its identity."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchflow.cost.tally import Group
from batchflow.engine.planning import plan_run
from batchflow.engine.run import RunView
from batchflow.plan.model import read_plan
from batchflow.plan.study import compile_study
from batchflow.spec.load import load_spec
from batchflow.steps.weigh import Weights, weigh_file


def built(folder: Path, **more: Any) -> RunView:
    (folder / "rows.csv").write_text("id,word\n" + "".join(f"{number},{'w' * (number % 3)}x\n" for number in range(9)))
    spec = {
        "version": 1, "name": "d", "data": {"source": "rows.csv", "id": "id"}, "prompt": {"user": "Say {{word}}"},
        "parameters": {"model": "gpt-4o", "max_tokens": 7}, "provider": "local", **more,
    }  # fmt: skip
    (folder / "experiment.yaml").write_text(yaml.safe_dump(spec))
    return plan_run(compile_study(load_spec(folder / "experiment.yaml"))).run


def summed(groups: tuple[Group, ...] | None, name: str) -> int:
    return sum(getattr(group, name) for group in groups or ())


@pytest.mark.parametrize("provider", ["local", "openai"])
@pytest.mark.parametrize("duplicates", ["separate", "share"])
def test_the_manifest_says_what_the_files_weigh(provider: str, duplicates: str, tmp_path: Path) -> None:
    design = {"factors": {"temperature": [0, 1], "model": ["gpt-4o", "gpt-4.1"]}}
    run = built(
        tmp_path, provider=provider, duplicates=duplicates, design=design, limits={"requests_per_batch": 4}
    )  # fmt: skip
    weights = run.plan.weights
    asked = list(run.state.shards(1))
    assert (
        summed(weights, "requests") == sum(shard.lines for shard in asked) == (36 if duplicates == "separate" else 12)
    )
    assert summed(weights, "output") == 7 * summed(weights, "requests")
    assert {group.model for group in weights or ()} == {"gpt-4o", "gpt-4.1"}
    assert {group.condition for group in weights or ()} == {1, 2, 3, 4}
    assert (summed(weights, "exact") > 0) == (provider == "openai")
    for shard in asked:
        again = weigh_file(run.folder, run.plan, 1, shard.number)
        assert again == Weights(run.folder, run.plan).of(shard)


@pytest.mark.parametrize("provider", ["local", "openai"])
def test_a_slot_that_is_no_text_is_weighed_row_by_row(provider: str, tmp_path: Path) -> None:
    """Equal in length, not in what they weigh: low and high detail of an image, and caps of the answer."""
    (tmp_path / "rows.csv").write_text("id,detail,most\n1,low ,900\n2,high,100\n3,high,200\n")
    image = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAABLAAAASwCAIAAABkQySYAAAA"
    (tmp_path / "prompt.json").write_text(
        '{"model": "gpt-4o", "max_tokens": {{most}}, "messages": [{"role": "user", "content": [{"type": "image_url", '
        f'"image_url": {{"url": "{image}", "detail": "{{{{ detail | trim }}}}"}}}}]}}]}}'
    )
    spec = {
        "version": 1, "name": "d", "data": {"source": "rows.csv", "id": "id"}, "template": "prompt.json",
        "provider": provider,
    }  # fmt: skip
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(spec))
    run = plan_run(compile_study(load_spec(tmp_path / "experiment.yaml"))).run
    assert summed(run.plan.weights, "output") == 1200
    assert run.plan.weights == weigh_file(run.folder, run.plan, 1, 1)


def test_the_estimate_is_a_quarter_of_the_bytes_that_are_sent(tmp_path: Path) -> None:
    run = built(tmp_path)
    bodies = [json.loads(line)["body"] for line in run.folder.shard("r1-00001").read_bytes().splitlines()]
    sizes = [len(json.dumps(body, separators=(",", ":"), ensure_ascii=False)) for body in bodies]
    assert summed(run.plan.weights, "tokens") == sum(-(-size // 4) for size in sizes)


def test_a_manifest_of_a_version_that_did_not_weigh_is_weighed_when_it_is_needed(tmp_path: Path) -> None:
    run = built(tmp_path)
    kept = json.loads(run.folder.manifest.read_text())
    assert kept.pop("weights")
    run.folder.manifest.write_text(json.dumps(kept))
    older = read_plan(run.folder.manifest)
    assert older.weights is None
    (shard,) = run.state.shards(1)
    assert Weights(run.folder, older).of(shard) == run.plan.weights


def test_part_of_a_file_can_be_weighed(tmp_path: Path) -> None:
    run = built(tmp_path)
    names = [json.loads(line)["custom_id"] for line in run.folder.shard("r1-00001").read_bytes().splitlines()]
    assert summed(weigh_file(run.folder, run.plan, 1, 1, set(names[:2])), "requests") == 2
