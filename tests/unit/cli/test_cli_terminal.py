"""On a terminal: progress, questions, Ctrl-C, and nothing that the terminal would obey."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchflow.engine.runner import GRACE
from tests.crash.harness import Study
from tests.unit.cli.golden import QUIET
from tests.unit.cli.terminal import Terminal
from tests.unit.cli.test_cli_errors import write_study
from tests.zygote import Zygote

Make = Callable[..., Study]
EVIL = "a \x1b]0;evil\x07 persona \x9b31m of \u202eturned\u2028 text"
OBEYED = re.compile("[\x07\x7f-\x9f\u202e\u2028]|\x1b[^\\[]")
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7])[0-9;]*m")
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"


def settings(study: Study) -> dict[str, str]:
    return {"OPENAI_BASE_URL": study.server.base_url, "OPENAI_API_KEY": "sk-test"}


def test_no_color(tmp_path: Path) -> None:
    write_study(tmp_path)
    with Terminal(tmp_path, "run", "experiment.yaml", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert not COLOUR.search(terminal.shown)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    """A study whose persona would command the terminal; the simulated answer repeats it."""
    study = tmp_path_factory.mktemp("evil")
    write_study(study)
    (study / "rows.csv").write_text(f'id,topic\n1,"{EVIL}"\n', encoding="utf-8")
    ended = zygote.run(study, ["run", "experiment.yaml"], QUIET | {"FORCE_COLOR": "1", "TERM": "xterm"})
    assert (ended.status, ended.stdout) == (0, "")
    assert not OBEYED.search(ended.stderr)
    assert not set(ended.stderr) & {"\x1b", "\r"}  # no progress where there is no terminal
    return study


@pytest.mark.parametrize(
    "words",
    [
        "run experiment.yaml",
        "results",
        "results --format csv",
        "results --format json",
        "results --format jsonl",
        "results --safe-csv",
        "results --json",
        "show",
        "show --json",
        "validate bad.yaml",
    ],
)
def test_answers_never_command_the_terminal(words: str, evil: Path) -> None:
    command, *rest = words.split()
    if command == "show":
        rest.append("0000001-1-1-" + next((evil / "runs").glob("small-*")).name.rpartition("-")[2])
    (evil / "bad.yaml").write_text((evil / "experiment.yaml").read_text().replace("topic }}", "tpoic }} \x9b31m"))
    with Terminal(evil, command, *rest) as terminal:
        status = terminal.end()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.shown.decode("utf-8"))  # what rich does with its own line
    assert status == (3 if command == "validate" else 0)
    assert not OBEYED.search(shown)
    assert "x9b" in shown or "u009b" in shown or command == "validate"  # it is there, and harmless


def test_a_file_gets_the_answers_as_they_are(evil: Path, zygote: Zygote) -> None:
    ended = zygote.run(evil, ["results", "--format", "csv"], QUIET)
    assert "\x1b]0;evil\x07" in ended.stdout
    record = zygote.run(evil, ["results", "--json"], QUIET)
    assert not OBEYED.search(record.stdout)
    assert record.json()["rows"][0]["topic"] == EVIL


def test_formulas_are_told_to_whoever_is_there(tmp_path: Path, zygote: Zygote) -> None:
    write_study(tmp_path)
    (tmp_path / "rows.csv").write_text("id,topic\n1,=1+1\n2,-5\n", encoding="utf-8")
    assert zygote.run(tmp_path, ["run", "experiment.yaml"], QUIET).status == 0
    told = "note: 1 cell looks like a formula, which a spreadsheet would calculate: with --safe-csv it shows the text"
    for options in (["--format", "csv"], ["--output", "out.csv"]):
        with Terminal(tmp_path, "results", *options) as terminal:
            assert terminal.end() == 0
        assert told in terminal.text()
        assert "formula" not in zygote.run(tmp_path, ["results", *options], QUIET).stderr  # nobody reads it
    for options in (["--safe-csv"], ["--output", "out.json"]):
        with Terminal(tmp_path, "results", *options) as terminal:
            assert terminal.end() == 0
        assert "formula" not in terminal.text()
    assert ",'=1+1," in zygote.run(tmp_path, ["results", "--safe-csv"], QUIET).stdout


def test_parquet_is_nothing_for_a_terminal(evil: Path) -> None:
    with Terminal(evil, "results", "--format", "parquet") as terminal:
        assert terminal.end() == 2
    assert "Parquet is nothing that a terminal can show" in terminal.text()
    assert "PAR1" not in terminal.text()


def test_not_agreed_sends_nothing(make_study: Make) -> None:
    study = make_study()
    for typed in ("n\n", "\n", "\x04", "maybe\n"):
        with Terminal(study.folder, "run", "experiment.yaml", **settings(study)) as terminal:
            terminal.wait_for("Go on? [y/N]")
            assert "Send 12 requests for gpt-4o to 127.0.0.1:" in terminal.text()
            terminal.enter(typed)
            assert terminal.end() == 2, typed
        assert "nothing was sent" in terminal.text()
    assert study.server.audit()["calls"] == {}


def test_agreed_goes_on_and_shows_progress(make_study: Make) -> None:
    study = make_study()
    with Terminal(study.folder, "run", "experiment.yaml", **settings(study)) as terminal:
        terminal.wait_for("Go on? [y/N]")
        terminal.enter("y\n")
        assert terminal.end() == 0
    study.check_account()
    assert HIDE in terminal.shown
    assert terminal.shown.rindex(SHOW) > terminal.shown.rindex(HIDE)  # the cursor is back
    assert COLOUR.search(terminal.shown)
    assert "round 1, shard " in terminal.text()
    assert "Sent 12 requests in 4 batches" in terminal.text()
    assert "All 12 requests answered." in terminal.text()
    with Terminal(study.folder, "run", "experiment.yaml", **settings(study)) as terminal:
        assert terminal.end() == 0  # nothing to agree to
    assert "Go on?" not in terminal.text()


def test_ctrl_c_at_the_question(make_study: Make) -> None:
    study = make_study()
    with Terminal(study.folder, "run", "experiment.yaml", **settings(study)) as terminal:
        terminal.wait_for("Go on? [y/N]")
        terminal.interrupt()
        assert terminal.end() == 130
    assert "Traceback" not in terminal.text()
    assert study.server.audit()["calls"] == {}


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a server that takes every call and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def test_ctrl_c_twice_leaves_at_once(silence: str, tmp_path: Path) -> None:
    write_study(tmp_path)
    words = ("run", "experiment.yaml", "--provider", "openai", "--yes")
    with Terminal(tmp_path, *words, OPENAI_BASE_URL=silence, OPENAI_API_KEY="sk-test") as terminal:
        terminal.wait_for("sending")
        terminal.interrupt()
        terminal.wait_for("finishing the calls in flight")
        terminal.interrupt()
        assert terminal.end(within=GRACE / 2) == 130
    assert "Traceback" not in terminal.text()
    assert terminal.shown.rindex(SHOW) > terminal.shown.rindex(HIDE)
    journal = next(tmp_path.glob("runs/*/journal.jsonl")).read_text().splitlines()
    assert [json.loads(line)["kind"] for line in journal] == ["journal", "built", "writer"]


def test_resuming_does_not_say_sent(make_study: Make) -> None:
    study = make_study(delay=1.0)
    assert study.run("run", "experiment.yaml", "--yes", "--no-wait").status == 5
    ended = study.run("run", "experiment.yaml")
    assert ended.status == 0
    assert "Waiting for 12 requests in 4 batches" in ended.stderr
    assert "Sent" not in ended.stderr


def test_watching_status_until_ctrl_c(evil: Path) -> None:
    with Terminal(evil, "status", "--watch") as terminal:
        terminal.wait_for("1 answered")
        terminal.interrupt()
        assert terminal.end() == 130
    assert "Traceback" not in terminal.text()
