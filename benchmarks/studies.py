"""The studies that are measured: the deck's own template over a table of any size, and its variants."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.personas import write_table

ROOT: Final = Path(__file__).parents[1]
DECK: Final = ROOT / "projects" / "image-appeal"
PER_BATCH: Final = 50_000
FIELDS: Final = {"why": "text", "choice": ["kawaii", "cubs", "futuristic"], "score": "1..7"}

# what a variant adds to the plain study's spec
VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {},
    "logic": {},
    "factors": {"design": {"factors": {"temperature": [0, 1]}, "replicates": 5}},
    "raw": {"output": {"database": "results.duckdb", "raw": True}},
    "object": {"parameters": {"response_format": {"type": "json_object"}}},
    "typed": {"answer": {"fields": FIELDS}},
}
CONDITIONS: Final = {"factors": 10}  # requests per row, where they are more than one
_LOGIC: Final = (
    "{% if Age | int >= 65 %}You are retired. {% endif %}"
    "You {{ 'went' if College == 'Yes' else 'did not go' }} to college. "
)


def spec(variant: str, *, per_batch: int = PER_BATCH) -> dict[str, Any]:
    return {
        "version": 1,
        "name": f"bench-{variant}",
        "data": {"source": "personas.csv", "id": "ID"},
        "template": "prompt.json",
        "provider": "local",
        "polling": {"interval": "0.2s"},
        "retry": {"max_rounds": 1},
        "limits": {"requests_per_batch": per_batch},
        "output": {"database": "results.duckdb"},
        **VARIANTS[variant],
    }


def template(variant: str) -> dict[str, Any]:
    """The deck's prompt; answers that are objects have no format of their own in it."""
    body: dict[str, Any] = json.loads((DECK / "prompt.json").read_bytes())
    question = body["messages"][1]["content"][0]
    if variant == "logic":
        question["text"] = _LOGIC + question["text"]
    if variant in {"object", "typed"}:
        del body["response_format"]
        question["text"] += " Answer with a JSON object."
    return body


def write_study(folder: Path, variant: str, rows: int, *, per_batch: int = PER_BATCH) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(json.dumps(spec(variant, per_batch=per_batch)))  # JSON is YAML
    (folder / "prompt.json").write_text(json.dumps(template(variant), indent=2))
    write_table(folder / "personas.csv", rows)


def run_folder(study: Path) -> Path:
    """The folder of a study's one run."""
    (found,) = (path.parent for path in study.glob("runs/*/manifest.json"))
    return found


def shards(study: Path) -> list[Path]:
    return sorted((run_folder(study) / "requests").glob("*.jsonl"))


def responses(study: Path) -> list[Path]:
    return sorted((run_folder(study) / "responses").glob("*.jsonl"))
