"""Every number that a person sees before paying is explained in the README: those of `preview`, of REVIEW.md, and of
the question that `run` asks.
"""

import re
from collections.abc import Callable

import pytest

from tests.crash.harness import Study
from tests.docs.pages import page

Make = Callable[..., Study]


@pytest.fixture
def study(make_study: Make) -> Study:
    """A study after its pilot, with a design, replicates, a cap and prices."""
    found = make_study(rows=40, per_shard=100)
    found.change(
        parameters={"model": "gpt-4o-mini", "max_tokens": 50},
        design={"factors": {"temperature": [0, 1]}, "replicates": 2},
    )
    assert found.run("run", "experiment.yaml", "--yes", "--sample", "8").status == 0
    return found


def table(head: str) -> list[list[str]]:
    """The cells of the README's table that begins so."""
    _, _, rest = page("README.md").partition(f"\n{head}")
    assert rest, head
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def any_number(text: str) -> str:
    return re.sub(r"\$?\d([\d,.]*\d)?", "#", text)


def unexplained(text: str, cells: list[str]) -> str:
    """What is left of a text with numbers where none of the phrases that cells quote explains them."""
    quoted = [any_number(phrase) for cell in cells for phrase in re.findall(r"`([^`]+)`", cell)]
    text = any_number(text)
    for phrase in sorted(quoted, key=len, reverse=True):
        text = text.replace(phrase, "") if "#" in phrase else text
    return text if "#" in text else ""


def test_each_number_of_the_question(study: Study) -> None:
    asked = study.run("run", "experiment.yaml")
    assert asked.status == 2
    (line,) = [line for line in asked.stderr.splitlines() if line.startswith("Send ")]
    assert " Judged by " in line
    assert " are taken over " in line
    explained = [row[0] for row in table("| in `plan` and the questions |")]
    assert unexplained(line.replace("gpt-4o-mini", "").replace("127.0.0.1", ""), explained) == ""


def test_each_number_of_the_page_for_review(study: Study) -> None:
    planned = study.run("plan", "experiment.yaml", "--json").json()
    text = (study.folder / planned["review"]).read_text(encoding="utf-8")
    assert "| **cost, expected** |" in text
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")}
    told = [row[0] for row in table("| `REVIEW.md` says |")]
    told += [row[1] for row in table("| in `plan` and the questions |")]
    words = " ; ".join(told).replace("`", "").lower()
    labels = [
        label
        for name in (next(iter(sections)), "Sizes", "Cost")
        for label in re.findall(r"^\| ([^|]+) \|", sections[name], re.MULTILINE)
        if label.strip() and label != "---"
    ]
    assert len(labels) > 15
    for label in labels:
        wanted = label.replace("*", "").partition(":")[0].lower()
        if wanted not in {"what the study is about", "asks"}:  # no numbers
            assert wanted in words, label
    assert "| condition | rows | requests |" in sections["Design"]
    assert "design: rows, requests" in words


def test_each_number_of_a_preview(study: Study) -> None:
    shown = study.run("preview", "experiment.yaml", "-n", "4").stdout
    explained = [row[0] for row in table("| `preview` shows |")]
    headings = [line for line in shown.splitlines() if line.startswith("Row ")]
    assert len(headings) == 4
    for line in headings:
        assert "(asked 2 times" in line
        told = re.sub(r"id (\d+): temperature=[01]", r"id r-\1", line)
        assert unexplained(told, explained) == ""
