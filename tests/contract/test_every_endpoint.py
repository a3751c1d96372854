"""A study at every endpoint that the local provider answers, from the YAML file to the table of results."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.zygote import Ended, Zygote

ROWS = 'id,text\n007,I love tea\n008,I will kill the bug\n009,"one, two"\n'
SPEC = """\
version: 1
name: study
data: {{source: rows.csv, id: id}}
endpoint: {endpoint}
{more}
provider: local
polling: {{interval: 0.1s}}
"""


class Asked:
    """A study of three rows that was run."""

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        self.folder, self._zygote = folder, zygote
        (folder / "rows.csv").write_text(ROWS, encoding="utf-8")

    def write(self, endpoint: str, more: str) -> None:
        (self.folder / "experiment.yaml").write_text(SPEC.format(endpoint=endpoint, more=more), encoding="utf-8")

    def do(self, *arguments: str) -> Ended:
        return self._zygote.run(self.folder, arguments)

    def run(self, status: int = 0) -> dict[str, Any]:
        ended = self.do("run", "experiment.yaml", "--json")
        assert ended.status == status, ended.stderr
        return ended.json()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "results.duckdb"), read_only=True) as con:
            return con.execute(sql).fetchall()

    def bodies(self) -> list[dict[str, Any]]:
        (path,) = self.folder.glob("runs/*/requests/*.jsonl")
        return [json.loads(line)["body"] for line in path.read_bytes().splitlines()]

    def rebuilt(self, sql: str) -> None:
        """The tables come from the run's folder alone."""
        before = self.query(sql)
        for path in self.folder.iterdir():
            if path.is_file() and path.name != "experiment.yaml":
                path.unlink()
        (run,) = self.folder.glob("runs/*/")
        assert self.do("load", "--rebuild", str(run)).status == 0
        assert self.query(sql) == before


@pytest.fixture
def asked(tmp_path: Path, zygote: Zygote) -> Asked:
    return Asked(tmp_path, zygote)


def test_responses(asked: Asked) -> None:
    asked.write("/v1/responses", 'prompt: {system: "You are a nurse.", user: "{{text}}?"}\nparameters: {model: gpt-5}')
    assert asked.run()["requests"]["answered"] == 3
    assert asked.bodies()[0] == {"instructions": "You are a nurse.", "input": "I love tea?", "model": "gpt-5"}
    sql = (
        "SELECT row_id, outcome, content, finish_reason, prompt_tokens + completion_tokens = "
        "total_tokens, reasoning_tokens > 0 FROM results"
    )
    rows = asked.query(sql)
    assert [row[0] for row in rows] == ["007", "008", "009"]
    assert {(*row[1:2], *row[3:]) for row in rows} == {("answered", "completed", True, True)}
    assert all("nurse" in row[2] for row in rows)
    asked.rebuilt(sql)


def test_responses_that_are_cut(asked: Asked) -> None:
    more = 'prompt: {user: "{{text}}"}\nparameters: {model: m, max_output_tokens: 5, reasoning: {effort: none}}'
    asked.write("/v1/responses", more)
    assert asked.run(4)["outcomes"] == {"truncated": 3}
    assert asked.query("SELECT DISTINCT finish_reason, content IS NOT NULL FROM results") == [
        ("max_output_tokens", True)
    ]


def test_embeddings(asked: Asked) -> None:
    asked.write("/v1/embeddings", 'prompt: {user: "{{text}}"}\nparameters: {model: m, dimensions: 8}')
    assert asked.run()["requests"]["answered"] == 3
    assert asked.bodies()[0] == {"input": "I love tea", "model": "m", "dimensions": 8}
    sql = "SELECT row_id, content, typeof(embedding), round(list_inner_product(embedding, embedding), 3) "
    sql += "FROM results"
    assert asked.query(sql) == [(row_id, None, "FLOAT[8]", 1.0) for row_id in ("007", "008", "009")]
    told = asked.do("results", "experiment.yaml", "--format", "csv").stdout.splitlines()
    assert (told[0].split(",").count("embedding"), len(told)) == (1, 4)
    ended = asked.do("run", "experiment.yaml")
    assert "row_id  outcome   embedding" in ended.stderr + ended.stdout
    (answer,) = asked.folder.glob("runs/*/responses/*.output.jsonl")
    sent = [json.loads(line)["response"]["body"]["data"][0]["embedding"] for line in answer.read_text().splitlines()]
    kept = asked.query("SELECT embedding FROM results")
    assert sorted(row for (row,) in kept) == [pytest.approx(vector, abs=1e-7) for vector in sorted(sent)]
    asked.rebuilt(sql)


def test_embeddings_as_base64_are_the_same_numbers(asked: Asked) -> None:
    found = []
    for encoding in ("float", "base64"):
        more = f'prompt: {{user: "{{{{text}}}}"}}\nparameters: {{model: m, dimensions: 4, encoding_format: {encoding}}}'
        asked.write("/v1/embeddings", more)
        assert asked.run()["requests"]["answered"] == 3
        found.append(asked.query("SELECT embedding FROM results"))
    assert found[0] == found[1]


def test_several_vectors_per_request(asked: Asked) -> None:
    more = 'template: {input: ["{{text}}", "tea"]}\nparameters: {model: m, dimensions: 4}'
    asked.write("/v1/embeddings", more)
    assert asked.run()["requests"]["answered"] == 3
    rows = asked.query("SELECT content FROM results")
    assert [[len(vector) for vector in json.loads(content)] for (content,) in rows] == [[4, 4]] * 3
    assert ("embedding",) not in asked.query("SELECT column_name FROM (DESCRIBE results)")


def test_models_whose_vectors_differ_in_size(asked: Asked) -> None:
    more = (
        'prompt: {user: "{{text}}"}\n'
        "design: {factors: {dimensions: [4, 8]}}\nparameters: {model: m}\nlimits: {requests_per_batch: 2}"
    )
    asked.write("/v1/embeddings", more)
    assert asked.run()["requests"]["answered"] == 6
    sql = "SELECT typeof(embedding), dimensions, len(embedding) FROM results"
    assert asked.query(sql) == [("FLOAT[]", size, size) for size in (4, 8)] * 3
    asked.rebuilt(sql)


def test_a_column_called_embedding(asked: Asked) -> None:
    (asked.folder / "rows.csv").write_text("id,embedding\n1,tea\n", encoding="utf-8")
    asked.write("/v1/embeddings", 'prompt: {user: "{{embedding}}"}\nparameters: {model: m, dimensions: 4}')
    ended = asked.do("validate", "experiment.yaml")
    assert "'embedding' is called 'data_embedding'" in ended.stderr
    assert "the vector is called 'answer_embedding'" in ended.stderr
    asked.run()
    assert asked.query("SELECT data_embedding, len(answer_embedding) FROM results") == [("tea", 4)]


def test_moderations(asked: Asked) -> None:
    asked.write("/v1/moderations", 'prompt: {user: "{{text}}"}\nparameters: {model: omni-moderation-latest}')
    assert asked.run()["requests"]["answered"] == 3
    assert asked.bodies()[1] == {"input": "I will kill the bug", "model": "omni-moderation-latest"}
    sql = "SELECT row_id, CAST(content AS JSON) -> '$[0].flagged' FROM results"
    assert asked.query(sql) == [("007", "false"), ("008", "true"), ("009", "false")]
    asked.rebuilt(sql)


def test_completions(asked: Asked) -> None:
    asked.write("/v1/completions", 'prompt: {user: "{{text}}"}\nparameters: {model: m, max_tokens: 200}')
    assert asked.run()["requests"]["answered"] == 3
    assert asked.bodies()[2] == {"prompt": "one, two", "model": "m", "max_tokens": 200}
    assert all(len(content) > 20 for (content,) in asked.query("SELECT content FROM results"))


def test_a_template_of_yaml_with_inserts(asked: Asked) -> None:
    for name in ("one", "two"):
        (asked.folder / name).mkdir()
    (asked.folder / "one" / "book.csv").write_text("code,label\n1,Tea\n2,Bugs\n", encoding="utf-8")
    (asked.folder / "two" / "book.csv").write_text("word\nok\n", encoding="utf-8")
    (asked.folder / "one" / "experiment.yaml").write_text(
        'model: gpt-4o\nmessages:\n  - role: user\n    content: "{{ book }}\\n{{ text }}\\n{{ other[0].word }}"\n',
        encoding="utf-8",
    )
    asked.write(
        "/v1/chat/completions",
        "template: one/experiment.yaml\ncontext: {book: one/book.csv, other: two/book.csv}",
    )
    assert asked.run()["requests"]["answered"] == 3
    content = asked.bodies()[0]["messages"][0]["content"]
    assert content == "| code | label |\n| --- | --- |\n| 1 | Tea |\n| 2 | Bugs |\nI love tea\nok"
    (kept,) = asked.folder.glob("runs/*/spec")
    assert {path.name for path in kept.iterdir()} == {
        "experiment.yaml",
        "experiment-2.yaml",
        "book.csv",
        "book-2.csv",
    }
    assert (kept / "book-2.csv").read_bytes() == (asked.folder / "two" / "book.csv").read_bytes()
    assert asked.run()["up_to_date"] is True
    assert json.loads(asked.do("status", "experiment.yaml", "--json").stdout)["spec_differs"] is False
    (asked.folder / "two" / "book.csv").write_text("word\nno\n", encoding="utf-8")
    assert json.loads(asked.do("status", "experiment.yaml", "--json").stdout)["spec_differs"] is True
    (asked.folder / "one" / "book.csv").write_text("code,label\n1,Coffee\n", encoding="utf-8")
    assert asked.run()["up_to_date"] is False
    assert len(list(asked.folder.glob("runs/*/manifest.json"))) == 2


@pytest.mark.parametrize("endpoint", ["/v1/images/generations", "/v1/images/edits", "/v1/videos"])
def test_what_the_local_provider_cannot_answer_is_planned_for_others(asked: Asked, endpoint: str) -> None:
    asked.write(endpoint, 'prompt: {user: "{{text}}"}\nparameters: {model: m}')
    ended = asked.do("run", "experiment.yaml")
    assert ended.status == 3
    assert f"the local provider does not answer {endpoint}" in ended.stderr
    spec = asked.folder / "experiment.yaml"
    spec.write_text(spec.read_text().replace("provider: local", "provider: openai"))
    assert asked.do("plan", "experiment.yaml").status == 0
    assert asked.bodies()[0] == {"prompt": "I love tea", "model": "m"}
