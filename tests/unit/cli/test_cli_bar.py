"""Work that takes a while is shown on a terminal; what is quick, and what nobody watches, is not."""

import io
import sys
from pathlib import Path
from typing import cast

import pytest

from batchflow.cli import bar
from batchflow.engine.planning import plan_run
from batchflow.engine.validating import check_only
from batchflow.plan.study import compile_study
from batchflow.spec.load import load_spec


class Screen(io.TextIOWrapper):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def shown(self) -> str:
        return cast("io.BytesIO", self.buffer).getvalue().decode()


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("quick", [True, False])
def test_what_takes_a_while_is_shown_where_somebody_looks(
    terminal: bool, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(terminal=terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(bar, "QUIET", 60.0 if quick else 0.0)
    with bar.bar("building \x1b[31mrows") as told:
        told(3, 4)
        while terminal and not quick and "75%" not in screen.shown():
            told(3, 4)
    assert ("building" in screen.shown()) == (terminal and not quick)
    assert "\x1b[31mrows" not in screen.shown()


def test_building_and_checking_tell_every_row(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,word\n" + "".join(f"{number},w\n" for number in range(5_000)))
    (tmp_path / "experiment.yaml").write_text(
        "version: 1\nname: d\ndata: {source: rows.csv, id: id}\nprompt: {user: 'Say {{word}}'}\n"
        "parameters: {model: m}\nprovider: local\n"
    )
    study = compile_study(load_spec(tmp_path / "experiment.yaml"))
    told: list[tuple[int, int]] = []

    def watch(done: int, rows: int) -> None:
        told.append((done, rows))

    check_only(study, watch)
    plan_run(study, watch=watch)
    assert told == 2 * [(2_000, 5_000), (4_000, 5_000), (5_000, 5_000)]
