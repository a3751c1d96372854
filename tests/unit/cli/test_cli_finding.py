"""Which run a command means: copies and renamed folders, renamed studies, another database, another provider."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.harness import Study
from tests.unit.cli.golden import QUIET
from tests.unit.cli.test_cli_errors import run_folder, write_study
from tests.zygote import Zygote

Make = Callable[..., Study]


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    study = tmp_path_factory.mktemp("finding") / "study"
    write_study(study)
    ended = zygote.run(study, ["run", "experiment.yaml"], QUIET)
    assert ended.status == 0, ended.stderr
    return study


@pytest.fixture
def study(complete: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(complete, tmp_path / "study"))


@pytest.mark.parametrize("suffix", ["-2", "-backup"])
def test_a_stale_copy_of_a_finished_run_buys_nothing(suffix: str, make_study: Make) -> None:
    study = make_study()
    assert study.run("run", "experiment.yaml", "--until", "upload", "--yes").status == 5
    run = study.run_folder
    stale = run.with_name(run.name + suffix)
    shutil.copytree(run, study.folder / "stale")
    assert study.run().status == 0
    (study.folder / "stale").rename(stale)
    again = study.run()
    assert (again.status, again.json()["up_to_date"], again.json()["run"]) == (0, True, run.name)
    assert f"{stale.name} holds a copy of the run {run.name} and is left out" in again.stderr
    refused = study.run("run", f"runs/{stale.name}", "--yes")
    assert refused.status == 2
    assert f"{stale.name} holds the run {run.name} under another name" in refused.stderr
    study.check_account()


@pytest.mark.parametrize("words", ["status", "results", "load", "load --rebuild", "run"])
def test_commands_refuse_a_copy(words: str, study: Path, zygote: Zygote) -> None:
    run = run_folder(study)
    shutil.copytree(run, run.with_name("copy"))
    command, *rest = words.split()
    for name in ("runs/copy", "runs/copy/") if command == "run" else ("runs/copy", "copy"):
        ended = zygote.run(study, [command, name, *rest], QUIET)
        assert ended.status == 2
        assert f"copy holds the run {run.name} under another name" in ended.stderr
        assert ended.stdout == ""


def test_a_copy_is_listed_as_what_it_is_and_its_requests_once(study: Path, zygote: Zygote) -> None:
    run = run_folder(study)
    shutil.copytree(run, run.with_name(f"{run.name}-2"))
    ended = zygote.run(study, ["runs", "--json"], QUIET)
    states = {entry["run"]: entry["state"] for entry in ended.json()["runs"]}
    assert states == {run.name: "complete", f"{run.name}-2": "misnamed"}
    told = zygote.run(study, ["runs"], QUIET).stderr
    assert f"{run.name}-2 is left out: it holds the run {run.name} under another name" in told
    shown = zygote.run(study, ["show", f"0000001-1-1-{run.name.rpartition('-')[2]}"], QUIET)
    assert (shown.status, shown.stderr) == (0, "")
    assert "holds a copy of" in zygote.run(study, ["plan", "experiment.yaml"], QUIET).stderr


@pytest.mark.parametrize("command", ["run", "plan", "status"])
def test_a_renamed_run_is_not_bought_again(command: str, study: Path, zygote: Zygote) -> None:
    run = run_folder(study)
    run.rename(run.with_name("old"))
    ended = zygote.run(study, [command, "experiment.yaml"], QUIET)
    assert ended.status == 2
    assert f"name the folder {run.name} again" in ended.stderr
    assert not (study / "runs" / run.name).exists()
    run.with_name("old").rename(run)
    assert zygote.run(study, ["run", "experiment.yaml", "--json"], QUIET).json()["up_to_date"]


def change(study: Path, old: str, new: str) -> None:
    spec = study / "experiment.yaml"
    text = spec.read_text()
    assert old in text
    spec.write_text(text.replace(old, new))


def test_a_renamed_study_keeps_its_run_everywhere(study: Path, zygote: Zygote) -> None:
    run = run_folder(study).name
    change(study, "name: small", "name: other")
    assert zygote.run(study, ["run", "experiment.yaml", "--json"], QUIET).json()["up_to_date"]
    described = zygote.run(study, ["status", "--json"], QUIET).json()
    assert (described["run"], described["spec_differs"]) == (run, True)
    for words in (["results", "--json"], ["load", "--json"]):
        ended = zygote.run(study, words, QUIET)
        assert (ended.status, ended.json()["run"]) == (0, run), words


def test_the_run_of_todays_spec_is_meant_not_the_newest(study: Path, zygote: Zygote) -> None:
    """An edit is tried, and taken back: by `run` nothing is left to do, and the others show the same run."""
    first, spec = run_folder(study).name, (study / "experiment.yaml").read_text()
    change(study, "Say something", "Say nothing")
    second = zygote.run(study, ["run", "experiment.yaml", "--json"], QUIET).json()["run"]
    assert zygote.run(study, ["status", "--json"], QUIET).json()["run"] == second != first
    for text, differs in ((spec, False), (spec.replace("interval: 0.1s", "interval: 0.2s"), True)):
        (study / "experiment.yaml").write_text(text)
        assert zygote.run(study, ["run", "experiment.yaml", "--json"], QUIET).json()["run"] == first
        described = zygote.run(study, ["status", "--json"], QUIET).json()
        assert (described["run"], described["spec_differs"]) == (first, differs)
    change(study, "Say something", "Say everything")
    described = zygote.run(study, ["status", "--json"], QUIET).json()
    assert (described["run"], described["spec_differs"]) == (second, True)


def test_another_study_beside_it_has_no_run(study: Path, zygote: Zygote) -> None:
    text = (study / "experiment.yaml").read_text()
    (study / "second.yaml").write_text(text.replace("name: small", "name: second").replace("Say", "Sing"))
    ended = zygote.run(study, ["results", "second.yaml"], QUIET)
    assert ended.status == 2
    assert "this study has no run yet" in ended.stderr


def test_another_database(study: Path, zygote: Zygote) -> None:
    (study / "experiment.yaml").write_text(
        (study / "experiment.yaml").read_text() + "output: {database: other.duckdb}\n"
    )
    ended = zygote.run(study, ["results", "experiment.yaml"], QUIET)
    assert ended.status == 3
    assert "there is no results database other.duckdb" in ended.stderr
    assert "has its answers, 2 of 2" in ended.stderr
    assert "hint: batchflow load experiment.yaml makes it" in ended.stderr
    described = zygote.run(study, ["status", "--json"], QUIET).json()
    loaded = zygote.run(study, ["load", "experiment.yaml", "--json"], QUIET)
    assert loaded.status == 0
    assert described["database"] == loaded.json()["database"] == "other.duckdb"
    assert len(zygote.run(study, ["results", "--json"], QUIET).json()["rows"]) == 2


def test_results_of_a_run_that_has_none(tmp_path: Path, zygote: Zygote) -> None:
    write_study(tmp_path)
    assert zygote.run(tmp_path, ["plan", "experiment.yaml"], QUIET).status == 0
    ended = zygote.run(tmp_path, ["results"], QUIET)
    assert ended.status == 3
    assert "has no answers yet" in ended.stderr
    assert f"go on with batchflow run runs/{run_folder(tmp_path).name}" in ended.stderr


def next_command(told: str) -> list[str]:
    line = next(line for line in told.splitlines() if line.startswith("Next: "))
    return line.removeprefix("Next: batchflow ").partition("    or ")[0].split()


def test_the_next_command_shows_the_run_that_was_reported(make_study: Make) -> None:
    """The same spec asked somebody else: a rehearsal is what the spec means only until its own provider was asked."""
    study = make_study(rows=2)
    here = study.run("run", "experiment.yaml", "--provider", "local")
    rehearsal = study.run_folder
    assert next_command(here.stderr) == ["results", "experiment.yaml"]
    assert study.run("status", "--json").json()["run"] == rehearsal.name
    there = study.run("run", "experiment.yaml", "--yes")
    assert next_command(there.stderr) == ["results", "experiment.yaml"]
    run = study.run("status", "--json").json()["run"]
    assert run != rehearsal.name
    shutil.rmtree(rehearsal)
    here = study.run("run", "experiment.yaml", "--provider", "local")  # it is the newest now, and not what is meant
    assert next_command(here.stderr) == ["results", f"runs/{rehearsal.name}"]
    assert study.run(*next_command(here.stderr), "--json").json()["run"] == rehearsal.name
    for words in (("status", "--json"), ("results", "--json"), ("retry", "experiment.yaml", "--yes", "--json")):
        assert study.run(*words).json()["run"] == run, words


def test_the_next_command_goes_on_with_the_same_provider(make_study: Make) -> None:
    study = make_study(rows=2, delay=2.0)
    (study.folder / "experiment.yaml").write_text(
        (study.folder / "experiment.yaml").read_text().replace("name: openai", "name: local")
    )
    ended = study.run("run", "experiment.yaml", "--provider", "openai", "--yes", "--no-wait")
    assert ended.status == 5
    words = next_command(ended.stderr)
    assert words == ["run", f"runs/{study.run_folder.name}"]
    assert study.run(*words).status == 0
    study.check_account()


def test_results_of_a_study_whose_newest_run_has_no_answers_are_those_of_the_current_one(
    study: Path, zygote: Zygote
) -> None:
    before = run_folder(study).name
    spec = study / "experiment.yaml"
    spec.write_text(spec.read_text().replace("gpt-4o", "gpt-4o-mini"))
    assert zygote.run(study, ["plan", "experiment.yaml"], QUIET).status == 0
    ended = zygote.run(study, ["results"], QUIET)
    assert (ended.status, before in ended.stdout) == (0, True)
    assert f"has no answers yet; these are those of {before}" in ended.stderr
    planned = next(path.parent.name for path in study.glob("runs/*/manifest.json") if path.parent.name != before)
    named = zygote.run(study, ["results", planned], QUIET)
    assert (named.status, named.stdout) == (3, "")
    assert f"does not hold the run {planned}" in named.stderr


def test_what_was_only_taken_over_is_in_no_table_before_it_is_run(study: Path, zygote: Zygote) -> None:
    before = run_folder(study).name
    with (study / "rows.csv").open("a") as table:
        table.write("3,rivers\n")
    planned = zygote.run(study, ["plan", "experiment.yaml"], QUIET)
    assert "1 new, 2 taken over" in planned.stdout
    assert "Next: batchflow run" in planned.stderr
    ended = zygote.run(study, ["results"], QUIET)
    assert (ended.status, before in ended.stdout) == (0, True)
    assert f"was not run yet; these are those of {before}" in ended.stderr


def test_results_of_a_run_that_is_not_in_the_view_say_so(study: Path, zygote: Zygote) -> None:
    before = run_folder(study).name
    spec = study / "experiment.yaml"
    spec.write_text(spec.read_text().replace("gpt-4o", "gpt-4o-mini"))
    assert zygote.run(study, ["run", "experiment.yaml"], QUIET).status == 0
    ended = zygote.run(study, ["results", before], QUIET)
    assert (ended.status, before in ended.stdout) == (0, True)
    assert "shows another run" in ended.stderr
    assert "shows another run" not in zygote.run(study, ["results"], QUIET).stderr


def test_results_of_an_unfinished_run_say_what_is_owed(make_study: Make) -> None:
    study = make_study(in_flight=1, delay=0.5)
    assert study.run(failpoint="load.after-commit:2").status == -9
    ended = study.run("results", "experiment.yaml", "--output", "all.csv")
    assert ended.status == 0, ended.stderr
    assert "of 12 requests answered" in ended.stderr
    assert "still owed; `batchflow run" in ended.stderr
    assert (study.folder / "all.csv").read_text().count("\n") == 13


@pytest.mark.parametrize("words", [("2",), ("2", "experiment.yaml")])
def test_show_takes_a_row_id(words: tuple[str, ...], study: Path, zygote: Zygote) -> None:
    ended = zygote.run(study, ["show", *words], QUIET)
    assert ended.status == 0, ended.stderr
    assert ended.stdout.startswith("0000002-1-1-")


def test_show_of_a_study_asks_for_the_row(study: Path, zygote: Zygote) -> None:
    ended = zygote.run(study.parent, ["show", "study"], QUIET)
    assert (ended.status, ended.stdout) == (2, "")
    assert "study is a study or a run; which of its requests is to be shown?" in ended.stderr
    assert "batchflow show ROW_ID study" in ended.stderr


def test_a_run_that_is_near_is_named_as_one_writes_it(study: Path, zygote: Zygote) -> None:
    run = run_folder(study).name
    shown = zygote.run(study, ["show", "2", run], QUIET).stdout
    custom_id = shown.partition(" ")[0]
    assert f"of runs/{run}/requests" in shown
    assert f"of runs/{run}/requests" in zygote.run(study, ["show", custom_id], QUIET).stdout
    inside = zygote.run(study / "runs", ["show", "2", run], QUIET).stdout
    assert f"of {study.resolve()}/runs/{run}/requests" in inside


def test_show_looks_near_where_no_study_is_called_as_usual(study: Path, zygote: Zygote) -> None:
    (study / "experiment.yaml").rename(study / "study.yaml")
    for folder in (study, study.parent):
        ended = zygote.run(folder, ["show", "2"], QUIET)
        assert (ended.status, ended.stderr) == (0, "")
        assert ended.stdout.startswith("0000002-1-1-")
    first = run_folder(study).name
    (study / "rows.csv").write_text("id,topic\n1,bears\n")
    assert zygote.run(study, ["plan", "study.yaml"], QUIET).status == 0
    ended = zygote.run(study, ["show", "2"], QUIET)
    assert f"note: of 2 runs near this folder this is {first}; another one is named second" in ended.stderr
    assert ended.stdout.startswith("0000002-1-1-")
    nowhere = zygote.run(study, ["show", "3"], QUIET)
    assert (nowhere.status, "none of the 2 runs near this folder has a row with the id 3" in nowhere.stderr) == (
        2,
        True,
    )


def test_results_are_not_written_over_what_a_study_needs(study: Path, zygote: Zygote) -> None:
    spec = study / "experiment.yaml"
    spec.rename(study / "study.yaml")
    (study / "link.csv").symlink_to("rows.csv")
    shutil.copyfile(study / "results.duckdb", study / "others.duckdb")
    kept = {path: path.read_bytes() for path in study.rglob("[!.]*") if path.is_file()}
    inside = run_folder(study).relative_to(study) / "requests" / "r1-00001.jsonl"
    for named in ("study.yaml", f"runs/{run_folder(study).name}"):
        for output in ("study.yaml", "rows.csv", "link.csv", "results.duckdb", "others.duckdb", str(inside)):
            ended = zygote.run(study, ["results", named, "--format", "csv", "--output", output], QUIET)
            assert (ended.status, "hint: name another file" in ended.stderr) == (2, True), output
    assert {path: path.read_bytes() for path in study.rglob("[!.]*") if path.is_file()} == kept
    for _ in range(2):  # its own file may be written anew
        assert zygote.run(study, ["results", "study.yaml", "--output", "out.csv"], QUIET).status == 0


@pytest.mark.parametrize(
    ("data", "needed"),
    [
        ("source: '{folder}/p[1]-*.csv'", "p[1]-1.csv"),
        ("source: '~/p[1]-1.csv'", "p[1]-1.csv"),
        ("query: \"SELECT * FROM 'p[1]-1.csv'\"", "p[1]-1.csv"),
        ("source: rows.csv", "parts/body.json"),
    ],
)
def test_what_a_study_needs_is_known_wherever_it_lies(data: str, needed: str, tmp_path: Path, zygote: Zygote) -> None:
    write_study(tmp_path)
    (tmp_path / "p[1]-1.csv").write_bytes((tmp_path / "rows.csv").read_bytes())
    (tmp_path / "parts").mkdir()
    body = '{"model": "m", "messages": [{"role": "user", "content": "{{topic}}"}]}'
    (tmp_path / "parts/body.json").write_text(body)
    (tmp_path / "body.json").write_text("{}")
    text = (tmp_path / "experiment.yaml").read_text().replace("source: rows.csv", data.format(folder=tmp_path))
    text = text.replace('prompt: {user: "Say something about {{ topic }}"}', "template: parts/body.json")
    (tmp_path / "experiment.yaml").write_text(text)
    env = QUIET | {"HOME": str(tmp_path)}
    ended = zygote.run(tmp_path, ["run", "experiment.yaml"], env)
    assert ended.status == 0, ended.stderr
    refused = zygote.run(tmp_path, ["results", "--format", "csv", "--output", needed], env)
    assert (refused.status, "a file that this study is made of" in refused.stderr) == (2, True), refused.stderr
    assert zygote.run(tmp_path, ["results", "--format", "csv", "--output", "body.json"], env).status == 0


def test_results_say_that_the_table_was_changed(study: Path, zygote: Zygote) -> None:
    table, note = study / "rows.csv", "note: the table rows.csv was changed since this run was planned"
    content = table.read_bytes()
    table.write_bytes(content)  # touched
    assert note not in zygote.run(study, ["results"], QUIET).stderr
    table.write_bytes(content.replace(b"bears", b"boars"))
    assert note in zygote.run(study, ["results"], QUIET).stderr
    assert note not in zygote.run(study, ["results", f"runs/{run_folder(study).name}"], QUIET).stderr
    table.unlink()
    assert zygote.run(study, ["results"], QUIET).status == 0
