"""Carrying out a case of the fault matrix, and its line in docs/reference/faults.md."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.harness import Study
from tests.faults.cases import Case
from tests.zygote import Ended, Zygote

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "faults.md"
BEGIN, END = "<!-- the matrix: written by `make faults` -->", "<!-- end of the matrix -->"
HEAD = "| fault | final state | rows lost | billed twice | what the user was told |\n| --- | --- | --- | --- | --- |\n"
_ROUTINE = ("Send ", "Sent ", "Next:", "Results:")


@dataclass(frozen=True)
class Verdict:
    """One line of the matrix."""

    name: str
    state: str
    lost: int
    twice: int
    told: str

    def row(self) -> str:
        return f"| {self.name} | {self.state} | {self.lost} | {self.twice} | {self.told} |\n"


def carry_out(case: Case, folder: Path, zygote: Zygote) -> Verdict:
    """Run the study until it ends well or the case's number of runs is used up; the account of it."""
    options: dict[str, Any] = {"per_shard": 6, **case.study}
    with Study.make(folder / "study", zygote, faults=case.faults, **options) as study:
        endings: list[Ended] = []
        while len(endings) < case.runs and not (endings and endings[-1].status == 0):
            endings.append(study.run(kill_after=case.interrupt, signal="SIGTERM"))
        status = study.run("status", "--json").json()
        executions = study.server.audit(detail=True)["executions"]
        verdict = Verdict(
            case.name,
            _state(status, endings),
            _lost(study, status, executions, ended=endings[-1].status in {0, 4}),
            sum(times - 1 for times in executions["by_custom_id"]["more_than_once"].values()),
            _told(endings),
        )
    assert verdict.lost == 0, verdict
    assert verdict.twice <= case.provider_lost, verdict
    return verdict


def _state(status: dict[str, Any], endings: list[Ended]) -> str:
    """The state, its counts, and how many commands it took."""
    said = {"in_progress": "in progress"}.get(status["state"], status["state"])
    outcomes = ", ".join(f"{count} {name}" for name, count in status["outcomes"].items()).replace("_", " ")
    commands = f", {len(endings)} commands" if len(endings) > 1 else ""
    return f"{said}{commands}: {outcomes} (exit {endings[-1].status})"


def _lost(study: Study, status: dict[str, Any], executions: dict[str, Any], *, ended: bool) -> int:
    """Requests of which nothing is known; and, of a run that ended, executed ones that are neither answered, nor have
    another final outcome, nor are named as owed.
    """
    counts: dict[str, int] = status["requests"]
    known = counts["answered"] + counts["failed"] + counts["owed"]
    if not ended:
        return abs(study.rows - known)
    ((listed,),) = study.query("SELECT count(DISTINCT row_id) FROM results")
    executed = len(executions["by_custom_id"]["all"])
    return max(abs(study.rows - known), study.rows - int(listed), executed - known)


def _told(endings: list[Ended]) -> str:
    """What the first command said about the fault: its first three different words, or the error that ended it."""
    lines = [_plain(line) for line in endings[0].stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error[")]
    summary = next((place for place, line in enumerate(lines) if line.startswith("crash-…: ")), len(lines))
    noted = [line for line in lines[:summary] if not line.startswith((*_ROUTINE, "error[", "hint:"))]
    ended = errors or [line.removeprefix("crash-…: ") for line in lines[summary : summary + 1]]
    words = ended if errors and "[interrupted]" not in errors[0] else [*dict.fromkeys(noted)][:3] or ended
    return "<br>".join(html.escape(word, quote=False).replace("|", "\\|") for word in words)


def _plain(line: str) -> str:
    """Without what differs from run to run: ids, times, which of the two files it was."""
    line = re.sub(r"\bcrash-[0-9a-f]{8}\b", "crash-…", line)
    # one of fifty ids of files has no digit
    line = re.sub(r"\b(batch_|file-|batch |file )(?:\w{22}\b|(?=\w*\d)\w{12,})", r"\1…", line)
    line = re.sub(r"\br(\d)-\d{5}\b", r"r\1-…", line)
    line = re.sub(r"\b\d+ of the \d+ bytes", "… of the … bytes", line)
    line = re.sub(r"(received|expected|Limit:) \d+", r"\1 …", line)
    line = re.sub(r"\b\d+\.\d+ s\b", "… s", line)
    return " ".join(line.split())


def table(verdicts: Iterable[Verdict]) -> str:
    return HEAD + "".join(verdict.row() for verdict in verdicts)


def committed() -> dict[str, str]:
    """The lines of the page, by fault."""
    text = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    return {line.split(" | ")[0].removeprefix("| "): line + "\n" for line in text.strip().splitlines()[2:]}


def rewrite(verdicts: Iterable[Verdict]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{table(verdicts)}\n{END}{rest.split(END)[1]}", encoding="utf-8")
