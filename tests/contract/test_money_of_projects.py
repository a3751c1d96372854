"""Every project of `projects/`, through the real program: what `plan` says that requests weigh is what they weigh by
the server's own usage, and what a run has cost is what its rows have.
"""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.server_process import ServerProcess
from tests.zygote import Zygote

PROJECTS = Path(__file__).parents[2] / "projects"
NAMES = sorted(path.name for path in PROJECTS.iterdir() if path.is_dir() and path.name[0] not in "._")
TOLERANCE = 0.02
LEFT_BEHIND = shutil.ignore_patterns("runs", "results.duckdb*", ".batchflow")


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(PROJECTS / name, folder / name, ignore=LEFT_BEHIND))


def row(folder: Path, sql: str) -> tuple[Any, ...]:
    with duckdb.connect(str(folder / "results.duckdb"), read_only=True) as database:
        (found,) = database.execute(sql).fetchall()
    return tuple(found)


USAGE = "SELECT sum(prompt_tokens), sum(completion_tokens), sum(cost_usd) FROM responses"


def test_every_folder_is_a_project() -> None:
    assert NAMES
    assert [name for name in NAMES if not (PROJECTS / name / "experiment.yaml").is_file()] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_knows_the_usage_of_the_local_provider(name: str, tmp_path: Path, zygote: Zygote) -> None:
    folder = copied(name, tmp_path)
    planned = zygote.run(folder, ["plan", ".", "--json"]).json()
    told, record = planned["cost"], zygote.run(folder, ["run", ".", "--json"]).json()
    prompt, completion, cost = row(folder, USAGE)
    assert record["requests"]["answered"] == told["requests"] == planned["requests"] > 0
    assert abs(told["input_tokens"] - prompt) <= TOLERANCE * prompt
    assert told["input_bound"] >= prompt
    assert told["output_bound"] is None or told["output_bound"] >= completion
    assert (record["cost_usd"], cost, told["bound_usd"]) == (0, 0, 0)
    usage = record["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (prompt, completion)
    assert (usage["batches_prompt_tokens"], usage["batches_completion_tokens"]) == (prompt, completion)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_costs_is_what_its_rows_cost(name: str, tmp_path: Path, zygote: Zygote) -> None:
    """Asked as if the server were OpenAI's, so that there are prices; answers are capped, so that there is a bound."""
    folder = copied(name, tmp_path)
    path = folder / "experiment.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["parameters"] = {**spec.get("parameters", {}), "max_tokens": 4_000}
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    with ServerProcess(tmp_path / "store") as server:
        env = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-test"}
        told = zygote.run(folder, ["plan", ".", "--provider", "openai", "--json"], env).json()["cost"]
        ended = zygote.run(folder, ["run", ".", "--provider", "openai", "--yes", "--json"], env)
        assert ended.status == 0, ended.stderr
        billed = server.audit()["billed"]
    record = ended.json()
    prompt, completion, cost = row(folder, USAGE)
    assert billed["requests"] == told["requests"]
    assert told["input_bound"] >= prompt
    assert told["output_bound"] >= completion
    assert 0 < record["cost_usd"] <= told["bound_usd"] <= told["single_usd"]
    assert cost == pytest.approx(record["cost_usd"])
    assert row(folder, "SELECT sum(cost_usd) FROM results") == (pytest.approx(cost),)
    assert row(folder, "SELECT cost_usd FROM runs") == (pytest.approx(cost),)
    assert record["usage"]["unpriced"] == 0
