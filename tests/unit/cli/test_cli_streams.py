"""Pipes that close, disks that are full, streams that are not there, and errors that nobody expected."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.golden import QUIET
from tests.unit.cli.test_cli_errors import SPEC, write_study
from tests.zygote import Zygote

PROGRAM = [sys.executable, "-m", "batchflow"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    """A study whose results are more than a pipe holds."""
    study = tmp_path_factory.mktemp("wide")
    write_study(study)
    (study / "rows.csv").write_text("id,topic\n" + "".join(f"{n},{'long words ' * 100}\n" for n in range(200)))
    ended = zygote.run(study, ["run", "experiment.yaml"], QUIET)
    assert ended.status == 0, ended.stderr
    return study


@pytest.mark.parametrize("words", [("results", "--format", "csv"), ("results", "--json")])
def test_a_reader_that_has_seen_enough(words: tuple[str, ...], wide: Path) -> None:
    with subprocess.Popen([*PROGRAM, *words], cwd=wide, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read().decode()
        assert process.wait(30) == 0
    assert told in {"", "These answers are SIMULATED.\n"}


def test_watching_ends_with_its_reader(wide: Path) -> None:
    with subprocess.Popen([*PROGRAM, "status", "--watch"], cwd=wide, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
    assert first.startswith(b"Run small-")  # no clearing of a screen that is none


def test_words_that_nobody_reads_do_not_end_a_run(tmp_path: Path) -> None:
    write_study(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*PROGRAM, "run", "experiment.yaml", "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=writing,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["state"] == "complete"


def test_closed_streams_do_not_lend_their_numbers(tmp_path: Path) -> None:
    """Else a stray word on stderr would be written into the journal."""
    write_study(tmp_path)
    shell = f"exec '{sys.executable}' -m batchflow run experiment.yaml <&- >&- 2>&-"
    ended = subprocess.run(["/bin/sh", "-c", shell], cwd=tmp_path, check=False)
    assert ended.returncode == 0
    journal = next(tmp_path.glob("runs/*/journal.jsonl")).read_text()
    assert all(json.loads(line) for line in journal.splitlines())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [("results",), ("results", "--json"), ("results", "--format", "csv"), ("schema",)])
def test_a_full_disk_is_said(words: tuple[str, ...], wide: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*PROGRAM, *words], cwd=wide, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 3
    assert ended.stderr.startswith("error[environment]: No space left on device")


def test_results_into_a_file(wide: Path, zygote: Zygote, tmp_path: Path) -> None:
    target = tmp_path / "größe 'x'.csv"
    ended = zygote.run(wide, ["results", "--format", "csv", "--output", str(target), "--json"], QUIET)
    assert ended.status == 0
    assert ended.json()["output"] == str(target)
    direct = zygote.run(wide, ["results", "--format", "csv"], QUIET)
    assert target.read_text(encoding="utf-8") == direct.stdout
    assert len(direct.stdout.splitlines()) == 201


def test_a_device_is_no_file_to_write_into(wide: Path, zygote: Zygote) -> None:
    """A file is renamed into place: /dev/stdout would be replaced by it."""
    ended = zygote.run(wide, ["results", "--format", "csv", "--output", "/dev/null"], QUIET)
    assert ended.status == 2
    assert not Path("/dev/null").is_file()


BUG = (
    "import sys\n"
    "import batchflow.cli.app as app\n"
    "from batchflow.cli.options import Json\n"
    "made = app.program()\n"
    "@made.command()\n"
    "def boom(as_json: Json = False) -> None:\n"
    "    raise RuntimeError('the key is sk-0123456789abcdef \\x1b]0;evil\\x07')\n"
    "app.program = lambda first: made\n"
    "sys.argv = ['batchflow', 'boom', *sys.argv[1:]]\n"
    "app.main()\n"
)


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug_is_told_without_a_traceback(debug: str, tmp_path: Path) -> None:
    env = {**os.environ, "BATCHFLOW_DEBUG": debug}
    command = [sys.executable, "-c", BUG, "--json"]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ("Traceback" in ended.stderr) == bool(debug)
    assert "this is a bug of batchflow" in ended.stderr
    error = json.loads(ended.stdout)
    assert (error["schema"], error["code"], error["exit"]) == ("batchflow.error/1", "internal-error", 1)
    for text in (ended.stderr, ended.stdout):
        assert "sk-0123456789abcdef" not in text
        assert "\x1b" not in text


def test_a_path_with_blanks_and_quotes_can_be_pasted(zygote: Zygote, tmp_path: Path) -> None:
    study = tmp_path / "Stüdie mit 'Größe' & $x"
    write_study(study)
    ended = zygote.run(tmp_path, ["plan", str(study)], QUIET)
    assert ended.status == 0, ended.stderr
    command = ended.stderr.rpartition("Next: ")[2].replace(
        "batchflow run", f"'{sys.executable}' -m batchflow status", 1
    )
    pasted = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert pasted.returncode == 0, pasted.stderr
    assert pasted.stdout.startswith("Run small-")


def test_a_run_is_found_by_its_id_from_around(zygote: Zygote, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_study(tmp_path / name)
    (tmp_path / "two" / "experiment.yaml").write_text(SPEC.replace("name: small", "name: other"))
    for name in ("one", "two"):
        assert zygote.run(tmp_path / name, ["plan", "."], QUIET).status == 0
    run = next((tmp_path / "one" / "runs").glob("small-*")).name
    for place in (tmp_path, tmp_path / "one", tmp_path / "one" / "runs"):
        ended = zygote.run(place, ["status", run, "--json"], QUIET)
        assert ended.json()["run"] == run, place
    assert "planned, nothing was sent yet" in zygote.run(tmp_path, ["status", run], QUIET).stdout


def test_the_same_name_in_two_places_is_told(zygote: Zygote, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_study(tmp_path / name)
        assert zygote.run(tmp_path / name, ["plan", "."], QUIET).status == 0
    run = next((tmp_path / "one" / "runs").glob("small-*")).name
    ended = zygote.run(tmp_path, ["status", run], QUIET)
    assert ended.status == 2
    assert f"one/runs/{run}\n" in ended.stderr
    assert f"two/runs/{run}\n" in ended.stderr


def test_stopping_after_start_says_what_was_sent(zygote: Zygote, tmp_path: Path) -> None:
    write_study(tmp_path)
    ended = zygote.run(tmp_path, ["run", "experiment.yaml", "--until", "start"], QUIET)
    assert ended.status == 5
    assert "Sent 2 requests in 1 batch" in ended.stderr
