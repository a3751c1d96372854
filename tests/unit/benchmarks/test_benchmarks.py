"""The benchmarks measure what they say: the table, the made-up answers, one path at a tiny size, report and plot."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import answers, kept, personas, rivals
from benchmarks.lab import Figures, Lab
from benchmarks.measuring import Program, Usage, interleaved
from benchmarks.paths import CASES, Case, Measured
from benchmarks.plot import svg
from benchmarks.report import Point, Result, page, slope
from benchmarks.studies import VARIANTS, responses, run_folder, shards, write_study
from tests.docs.conftest import python

FIGURES = Figures(Usage(6.0, 7.0, 300.0), Usage(2.0, 2.0, 20.0), Usage(1.0, 1.0, 90.0), Usage(1.0, 1.0, 10.0))


@pytest.fixture
def program_of(tmp_path: Path) -> Callable[..., None]:
    """batchflow, as a user would start it in this folder."""

    def started(*words: str, ends: tuple[int, ...] = (0,)) -> None:
        ended = python(tmp_path, "-m", "batchflow", *words)
        assert ended.returncode in ends, ended.stderr

    return started


def test_the_table_is_the_same_every_time_and_3_percent_of_it_are_nasty(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        personas.write_table(tmp_path / name, 25_000)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    with (tmp_path / "one.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["ID"]) for row in rows] == list(range(1, 25_001))
    assert [row["Description"] for row in rows] == [personas.persona(number) for number in range(1, 25_001)]
    assert sum(map(personas.nasty, range(1, 25_001))) == 0.03 * 25_000
    odd = "".join(row["Description"] for row in rows)
    assert all(mark in odd for mark in ('"', "\\", "\n", "\r", "ö", "🙂", "\x1b", "\u2028"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_made_up_answers_are_those_of_a_run(variant: str, tmp_path: Path, program_of: Callable[..., None]) -> None:
    write_study(tmp_path, variant, 150, per_batch=40 if variant == "plain" else 1_000)
    program_of("plan", "experiment.yaml")
    answers.finish(tmp_path, objects=variant in {"typed", "object"}, bad=variant == "plain")
    assert (
        len(responses(tmp_path)) == len(shards(tmp_path)) == (4 if variant == "plain" else (variant == "factors") + 1)
    )
    program_of("load", "--rebuild", ".")
    program_of("run", "experiment.yaml", "--no-wait")
    events = [json.loads(line) for line in (run_folder(tmp_path) / "journal.jsonl").read_bytes().splitlines()]
    accounts = [event["payload"]["account"] for event in events if event["kind"] == "collected"]
    asked = 1_500 if variant == "factors" else 150
    assert sum(account["final"]["answered"] for account in accounts) == asked
    assert sum(account["unreadable"] for account in accounts) == (4 if variant == "plain" else 0)


def test_refusals_and_errors_are_planted() -> None:
    names = [f"{number:07}-1-1-0123abcd" for number in range(1, 2001)]
    output, errors, counts = answers.result_lines(names, objects=False)
    assert counts == {"answered": 1996, "refused": 2, "error": 2}
    found = [json.loads(line)["custom_id"] for line in (*output, *errors)]
    assert sorted(found) == names


def test_what_the_deck_loses(tmp_path: Path) -> None:
    write_study(tmp_path, "plain", 1_000)
    for name in rivals.RIVALS:
        rivals.RIVALS[name](str(tmp_path / "personas.csv"), str(tmp_path / "prompt.json"), str(tmp_path / name))
    kept = {name: [json.loads(line) for line in (tmp_path / name).open("rb")] for name in rivals.RIVALS}
    assert len(kept["sdk_loop"]) == 1_000
    assert 970 <= len(kept["deck"]) < 1_000


def test_programs_take_turns(tmp_path: Path) -> None:
    def told(name: str) -> Program:
        words = ("import sys; open('turns', 'a').write(sys.argv[1])", name)
        return Program(("python3", "-c", *words), tmp_path)

    found = interleaved({"a": told("a"), "b": told("b")}, 3)
    assert (tmp_path / "turns").read_text() == "ababab"
    assert all(usage.cpu > 0 and usage.wall > 0 and usage.memory > 1 for usage in found.values())


def test_a_program_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        interleaved({"a": Program(("python3", "-c", "raise SystemExit('no such thing')"), tmp_path)}, 1)


def test_a_path_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--quick", "--only", "fold", "--rows", "80", "--rounds", "1"]) == 0
    assert "fold" in capsys.readouterr().out


def test_a_gross_regression_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    slow = Case("slow", "slow", "limit", 1, 1, 10, 4.9, lambda *_: Measured(FIGURES))
    monkeypatch.setattr(program, "CASES", (slow,))
    assert program.main(["--quick"]) == 1
    assert "5.0 times its limit (at most 4.9 here)" in capsys.readouterr().out


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SystemExit):
        program.main(["--only", "nothing"])


def test_ratios_with_and_without_start_up() -> None:
    assert (FIGURES.ratio, FIGURES.net) == (3.0, 5.0)
    assert Figures(FIGURES.ours, FIGURES.limit).net == 3.0


@pytest.mark.parametrize(("power", "factor"), [(1.0, 3.0), (0.5, 1.0), (2.0, 0.1)])
def test_the_slope_is_the_exponent(power: float, factor: float) -> None:
    points = [Point(rows, factor * rows**power, 1.0) for rows in (10, 100, 1_000, 10_000)]
    assert slope(points) == pytest.approx(power)


def test_report_and_plot_say_what_was_measured() -> None:
    growth = {"build": [Point(1_000, 1.0, 90.0), Point(10_000, 10.0, 91.0)], "load": [Point(1_000, 2.0, 80.0)] * 2}
    growth["load"][1] = Point(10_000, 4.0, 80.0)
    cases = {case.name: case for case in CASES}
    results = [
        Result(cases[name], 10_000, Measured(FIGURES, ("a note",)), 5) for name in ("build", "load-typed", "fold")
    ]
    text = page(results, growth, ["10 rows: 1 s"], 100)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row[6:11] for row in rows] == [
        ["**3.00**", "5.00", "3", "2.2", "reached"],
        ["**3.00**", "5.00", "1.5", "1.2", "**missed**"],
        ["**3.00**", "5.00", "", "", "reported"],
    ]
    assert "slope **1.00**" in text
    assert "- 10 rows: 1 s" in text
    drawn = svg(growth)
    assert drawn.count("<polyline") == 2
    assert drawn.count("<circle") == 4


def test_one_path_is_measured_again_and_the_others_are_kept(tmp_path: Path) -> None:
    measured = kept.Kept(growth={"build": [Point(10, 1.0, 2.0)]}, whole=["10 rows: 1 s"])
    cases = {case.name: case for case in CASES}
    for name, rows in (("fold", 5), ("build", 7)):
        measured.add(Result(cases[name], rows, Measured(FIGURES, ("a note",)), 3))
    measured.paths["gone"] = measured.paths["fold"]
    kept.write(tmp_path, measured)
    assert program.main(["--only", "fold", "--rows", "80", "--rounds", "1", "--report", str(tmp_path)]) == 0
    again = kept.read(tmp_path)
    assert again.growth == measured.growth
    assert again.whole == measured.whole
    assert [(found.case.name, found.rows, found.rounds) for found in again.results()] == [
        ("build", 7, 3),
        ("fold", 0, 1),
    ]
    assert again.paths["build"] == measured.paths["build"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| build, plain slots (`plan`) |" in text
    assert "- 10 rows: 1 s" in text
    assert "- build: one size (10 rows: 1.00 s, 2 MB)" in text


def test_a_study_is_planned_and_answered_once(tmp_path: Path) -> None:
    lab = Lab(tmp_path, 1)
    folder = lab.answered("plain", 40)
    stamps = [path.stat().st_mtime_ns for path in (*shards(folder), *responses(folder))]
    assert len(stamps) == 40
    assert lab.answered("plain", 40) == folder
    assert [path.stat().st_mtime_ns for path in (*shards(folder), *responses(folder))] == stamps
