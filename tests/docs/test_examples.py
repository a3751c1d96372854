"""The examples do what their pages say: pasted, copied by `init --example`; exact counts, types and cells."""

import csv
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from batchflow.cli.init import init
from batchflow.spec import examples
from tests.docs.conftest import environment
from tests.docs.pages import ROOT, blocks, check_shown, marked, page, rows
from tests.zygote import Zygote

NAMES = examples.example_names()
WITH_A_QUERY = {"open-coding": "agreement.sql", "vignettes": "cells.sql"}


@dataclass(frozen=True)
class Example:
    """An example as its page has it copied and run."""

    folder: Path
    printed: str  # by its query; empty where it has none

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "results.duckdb"), read_only=True) as database:
            return database.execute(sql).fetchall()


def paste(folder: Path, lines: str) -> str:
    """What a shell prints where `batchflow` and `python` are those of the tests."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    for name, words in {"batchflow": "-m batchflow", "python": ""}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (commands / name).chmod(0o755)
    env = environment() | {"PATH": f"{commands}:/usr/bin:/bin"}
    ended = subprocess.run(
        ["/bin/sh", "-e", "-c", lines], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Example]:
    """Pastes an example's page into a shell, once."""
    done: dict[str, Example] = {}

    def of(name: str) -> Example:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            text = page(f"projects/{name}/README.md")
            paste(folder, marked(text, "paste: run"))
            printed = paste(folder, marked(text, "paste: query")) if name in WITH_A_QUERY else ""
            done[name] = Example(folder / name, printed)
        return done[name]

    return of


def copied(name: str, folder: Path) -> Path:
    """A run example's folder for changes."""
    return Path(shutil.copytree(ROOT / "projects" / name, folder / name, ignore=shutil.ignore_patterns("runs", "*.d*")))


@pytest.mark.parametrize("name", NAMES)
def test_the_page_can_be_pasted(name: str, pasted: Callable[[str], Example]) -> None:
    assert pasted(name).query("SELECT DISTINCT outcome, simulated FROM results") == [("answered", True)]


@pytest.mark.parametrize("name", WITH_A_QUERY)
def test_the_page_shows_the_query_and_what_it_prints(name: str, pasted: Callable[[str], Example]) -> None:
    text = page(f"projects/{name}/README.md")
    query = WITH_A_QUERY[name]
    assert marked(text, f"file: {query}") == page(f"projects/{name}/{query}")
    check_shown("shown: table", pasted(name).printed.strip() + "\n", f"projects/{name}/README.md")
    before = text.partition("<!-- shown: table -->")[0].rpartition("```")[2]
    assert "SIMULATED" in before


@pytest.mark.parametrize("name", NAMES)
def test_the_page_names_every_file(name: str) -> None:
    listed = {row[0].strip("`") for row in rows(page(f"projects/{name}/README.md"), "file")}
    assert listed == set(examples.example_files(name)) - {"README.md"}


def test_every_code_is_in_the_codebook_and_can_be_given() -> None:
    with (ROOT / "projects/open-coding/codebook.csv").open(encoding="utf-8") as lines:
        codes = [row["code"] for row in csv.DictReader(lines)]
    spec = yaml.safe_load(page("projects/open-coding/experiment.yaml"))
    assert spec["answer"]["fields"]["code"] == codes
    with (ROOT / "projects/open-coding/answers.csv").open(encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    assert {row["gold"] for row in table} == {*codes, ""}
    assert (len(table), sum(bool(row["gold"]) for row in table)) == (60, 40)
    answers = [row["answer"] for row in table]
    assert "-" in answers
    assert max(map(len, answers)) > 800
    for damaged_easily in ('"', ",", "ü", "ß", "€", "'"):
        assert any(damaged_easily in answer for answer in answers)


def test_open_coding(pasted: Callable[[str], Example]) -> None:
    study = pasted("open-coding")
    types = {row[0]: row[1] for row in study.query("DESCRIBE results")}
    assert [types[name] for name in ("why", "code", "confidence")] == ["VARCHAR", "VARCHAR", "BIGINT"]
    table = study.query("SELECT respondent, answer, gold, code, confidence, why FROM results ORDER BY row_number")
    with (ROOT / "projects/open-coding/answers.csv").open(encoding="utf-8") as lines:
        given = [(row["respondent"], row["answer"], row["gold"] or None) for row in csv.DictReader(lines)]
    assert [row[:3] for row in table] == given
    assert {row[4] for row in table} <= {1, 2, 3, 4, 5}
    assert all(row[5] for row in table)
    shard = next(study.folder.glob("runs/*/requests/r1-00001.jsonl")).read_text(encoding="utf-8")
    assert "gold" not in shard


def kappa(pairs: list[tuple[Any, Any]]) -> float:
    """Cohen's kappa of pairs of judgements, as the books have it."""
    n = len(pairs)
    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    chance: float = sum(firsts[judged] * seconds[judged] for judged in firsts) / n**2
    agreed = sum(first == second for first, second in pairs) / n
    return float((agreed - chance) / (1 - chance))


def test_the_agreement_is_that_of_the_books(pasted: Callable[[str], Example]) -> None:
    study = pasted("open-coding")
    pairs = study.query("SELECT gold, code FROM results WHERE gold IS NOT NULL")
    found = {row[0]: row[1:] for row in study.query(page("projects/open-coding/agreement.sql"))}
    assert set(found) == {gold for gold, _ in pairs} | {code for _, code in pairs} | {"all codes"}
    for code, (n, by_hand, by_model, agreed, accuracy, found_kappa) in found.items():
        judged = pairs if code == "all codes" else [(gold == code, given == code) for gold, given in pairs]
        assert n == len(pairs) == 40
        assert accuracy == pytest.approx(sum(one == other for one, other in judged) / n, abs=0.0051)
        assert found_kappa == pytest.approx(kappa(judged), abs=0.0051)
        if code != "all codes":
            assert (by_hand, by_model) == tuple(sum(pair[side] for pair in judged) for side in (0, 1))
            assert agreed == sum(one and other for one, other in judged)


@pytest.mark.parametrize("rated", ["", "('b', 'b')", "('a', 'a'), ('b', 'a'), ('b', 'b'), (NULL, 'a'), ('', 'b')"])
def test_the_agreement_of_few_answers(rated: str) -> None:
    with duckdb.connect() as database:
        database.execute("CREATE TABLE results (gold VARCHAR, code VARCHAR, outcome VARCHAR DEFAULT 'answered')")
        if rated:
            database.execute(f"INSERT INTO results (gold, code) VALUES {rated}")  # noqa: S608
        found = database.execute(page("projects/open-coding/agreement.sql")).fetchall()
    match rated.count("("):
        case 0:
            assert found == []
        case 1:
            assert found == [("b", 1, 1, 1, 1, 1.0, None), ("all codes", 1, 1, 1, 1, 1.0, None)]
        case _:
            whole = ("all codes", 3, 3, 3, 2, 0.67, 0.4)
            assert found == [("a", 3, 1, 2, 1, 0.67, 0.4), ("b", 3, 2, 1, 1, 0.67, 0.4), whole]


def test_a_corrected_gold_code_buys_nothing(zygote: Zygote, tmp_path: Path) -> None:
    project = copied("open-coding", tmp_path)
    assert zygote.run(project, ["run", "experiment.yaml"]).status == 0
    table = project / "answers.csv"
    text = table.read_text(encoding="utf-8")
    assert text.count('so I took the store brand.",price') == 1
    table.write_text(text.replace('store brand.",price', 'store brand.",other'), encoding="utf-8")
    requests = zygote.run(project, ["run", "experiment.yaml", "--json"]).json()["requests"]
    assert (requests["answered"], requests["reused"]) == (60, 60)


def test_vignettes(pasted: Callable[[str], Example]) -> None:
    study = pasted("vignettes")
    types = {row[0]: row[1] for row in study.query("DESCRIBE results")}
    columns = ("reason", "increase", "replicate", "why", "fair", "would_buy")
    assert [types[name] for name in columns] == ["VARCHAR", "BIGINT", "INTEGER", "VARCHAR", "BIGINT", "BOOLEAN"]
    cells = study.query(
        "SELECT reason, increase, replicate, count(*), count(DISTINCT row_id) FROM results GROUP BY ALL"
    )
    assert sorted(cells) == [
        (reason, increase, replicate, 20, 20)
        for reason in ("costs", "demand") for increase in (5, 20, 50) for replicate in (1, 2)
    ]  # fmt: skip
    assert study.query("SELECT DISTINCT persona FROM results ORDER BY ALL") == [(f"p-{n:02}",) for n in range(1, 21)]
    assert study.query("SELECT bool_and(fair BETWEEN 1 AND 7), bool_and(why <> '') FROM results") == [(True, True)]
    shown = study.query(page("projects/vignettes/cells.sql"))
    assert [row[:5] for row in shown] == [
        (reason, increase, 40, 40, 20) for reason in ("costs", "demand") for increase in (5, 20, 50)
    ]
    means = study.query("SELECT avg(fair), avg(would_buy::INT) FROM results GROUP BY reason, increase ORDER BY ALL")
    # shown whole: a mean halfway between two shown ones would be rounded otherwise by the next version of DuckDB
    assert sorted((row[5], row[7]) for row in shown) == [pytest.approx(pair, abs=1e-9) for pair in means]


def test_more_replicates_and_people_are_asked_alone(zygote: Zygote, tmp_path: Path) -> None:
    project = copied("vignettes", tmp_path)
    assert zygote.run(project, ["run", "experiment.yaml"]).status == 0
    spec = project / "experiment.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("replicates: 2  ", "replicates: 3  "), encoding="utf-8")
    with (project / "personas.csv").open("a", encoding="utf-8") as people:
        people.write("p-21,40,city,Zoë Amsel is a 40 year old tailor who enjoys rain\n")
    requests = zygote.run(project, ["run", "experiment.yaml", "--json"]).json()["requests"]
    assert (requests["total"], requests["answered"], requests["reused"]) == (21 * 6 * 3, 21 * 6 * 3, 240)


def test_the_excluded_combination_that_the_page_shows(zygote: Zygote, tmp_path: Path) -> None:
    project = copied("vignettes", tmp_path)
    text = page("projects/vignettes/README.md")
    (line,) = [part for part in text.split("`") if part.startswith("exclude: ")]
    spec = project / "experiment.yaml"
    changed = spec.read_text(encoding="utf-8").replace("  assign: within ", f"  {line}\n  assign: between ")
    spec.write_text(changed, encoding="utf-8")
    planned = zygote.run(project, ["plan", "experiment.yaml", "--json"]).json()
    assert planned["requests"] == 20 * 2


@pytest.mark.parametrize("name", NAMES)
def test_init_copies_an_example(name: str, zygote: Zygote, tmp_path: Path) -> None:
    ended = zygote.run(tmp_path, ["init", "--example", name, "--json"])
    assert ended.status == 0
    told = ended.json()
    assert (told["folder"], told["example"], told["spec"]) == (name, name, f"{name}/experiment.yaml")
    found = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    assert found == {file: (ROOT / "projects" / name / file).read_bytes() for file in told["files"]}
    assert {"experiment.yaml", "README.md"} <= set(found)
    elsewhere = zygote.run(tmp_path, ["init", "--example", name, "deep/inside"])
    assert elsewhere.status == 0
    assert {path.name for path in (tmp_path / "deep/inside").iterdir()} == set(found)


def test_init_writes_nothing_where_something_is(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "vignettes").mkdir()
    (tmp_path / "vignettes" / "personas.csv").write_text("mine")
    ended = zygote.run(tmp_path, ["init", "--example", "vignettes"])
    assert ended.status == 2
    assert "personas.csv; nothing was written" in ended.stderr
    assert [path.read_text() for path in (tmp_path / "vignettes").iterdir()] == ["mine"]


def test_what_runs_leave_behind_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = copied("vignettes", tmp_path)
    wanted = examples.example_files("vignettes")
    for name in ("runs/v-1/journal.jsonl", ".batchflow/server/x.json", "runs/x.csv"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    for name in ("results.duckdb", "results.duckdb.wal", "other.duckdb", "batch-requests.jsonl", "query.py"):
        (project / name).write_text("x")
    monkeypatch.setattr(examples, "_PACKAGE", tmp_path / "package")
    (tmp_path / "projects").symlink_to(tmp_path, target_is_directory=True)
    assert examples.example_files("vignettes") == wanted


def test_an_installed_package_has_them_inside(tmp_path: Path) -> None:
    """The layout that pyproject.toml gives to a wheel; `.ci/run` builds one."""
    wheel = tomllib.loads(page("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["only-include"]) == {"batchflow", *wheel["sources"]}
    shutil.copytree(ROOT / "batchflow", tmp_path / "batchflow", ignore=shutil.ignore_patterns("__pycache__"))
    for source, target in wheel["sources"].items():
        shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("runs", "*.duckdb*"))
    ended = subprocess.run(
        [sys.executable, "-m", "batchflow", "init", "--example", "open-coding", "copy"],
        cwd=tmp_path, env=environment() | {"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "copy" / "codebook.csv").is_file()


def test_every_example_is_named_where_people_look() -> None:
    (option,) = init.__annotations__["example"].__metadata__
    assert [name for name in NAMES if name not in option.help] == []
    readme = page("README.md")
    (command,) = [block.text for block in blocks(readme) if "init --example" in block.text and block.language == "sh"]
    assert [row[0].split("`")[1] for row in rows(readme, "example")] == NAMES
    assert any(name in command for name in NAMES)
