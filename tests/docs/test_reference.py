"""The reference is whole: error codes, JSON fields, kinds of events, files of a run, help texts."""

import importlib
import json
import pkgutil
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import batchflow
from batchflow.cli.program import program
from batchflow.errors import BatchflowError
from batchflow.journal.events import JOURNAL_VERSION, OPTIONAL, PAYLOADS, decode
from tests.contract.fake_http import FakeHttp, serving
from tests.deck.test_pdf2text import write_pdf
from tests.docs.conftest import Ran
from tests.docs.pages import COMMANDS, ROOT, UPDATE, code, marked, page, rows, section
from tests.server_process import ServerProcess
from tests.zygote import Zygote

STUDY = "projects/image-appeal/experiment.yaml"
TEMPLATE, DATA = "projects/image-appeal/prompt.json", "projects/image-appeal/personas.csv"


def tree(kind: type[BatchflowError]) -> Iterator[type[BatchflowError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def test_every_error_is_explained() -> None:
    for module in pkgutil.walk_packages(batchflow.__path__, "batchflow."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    explained = [
        (code(row[0])[0], int(row[1]), code(row[2])[0]) for row in rows(page("docs/reference/errors.md"), "code")
    ]
    assert all(len(row) == 5 and all(row) for row in rows(page("docs/reference/errors.md"), "code"))
    found = [(kind.code, int(kind.exit_status), kind.__name__) for kind in tree(BatchflowError)]
    assert sorted(explained) == sorted(found)
    assert len({kind for kind, _, _ in found}) == len(found)


def test_every_kind_of_event_is_explained() -> None:
    text = page("docs/reference/journal.md")
    explained = {code(row[0])[0]: frozenset(code(row[2])) for row in rows(text, "kind")}
    assert explained == {kind: PAYLOADS[kind] | OPTIONAL.get(kind, frozenset()) for kind in PAYLOADS}
    assert f"format version {JOURNAL_VERSION}" in text


def test_the_journal_line_that_is_shown_is_a_real_one() -> None:
    shown = re.search(r"^```json\n(.+)\n```$", page("docs/reference/journal.md"), re.MULTILINE)
    assert shown is not None
    assert decode(shown[1].encode()).kind == "receipt"
    members = [code(row[0])[0] for row in rows(page("docs/reference/journal.md"), "member")]
    assert members == list(json.loads(shown[1]))


TAKEN_OVER = {"requests/r0-00001.jsonl", "responses/r0-taken.jsonl"}  # of a run that takes something over


def test_every_file_of_a_run_is_explained(ran: Ran) -> None:
    (folder,) = (ran.folder / "projects/image-appeal/runs").glob("image-appeal-*")
    explained = [code(row[0])[0] for row in rows(page("docs/reference/run-folder.md"), "name")]
    folders = tuple(name for name in explained if name.endswith("/"))
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert not {name for name in found if name not in explained and not name.startswith(folders)}
    stale = {name for name in explained if not name.endswith("/")} - found
    assert stale == {"responses/r1-00001.error.jsonl", *TAKEN_OVER}


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The fields of an object: a.b for members, a[].b for members of a list's entries."""
    if isinstance(value, dict):
        for name, member in value.items():
            below = f"{prefix}.{name}" if prefix else name
            inner = list(paths(member, below))
            yield from inner or [below]
    elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        for entry in value:
            yield from paths(entry, f"{prefix}[]")


def explains(pattern: str, field: str) -> bool:
    """`a.*` explains everything below `a`, and an `a` that is empty; `a[].b` explains an `a` without entries."""
    if pattern.endswith(".*"):
        return field == pattern[:-2].removesuffix("[]") or field.startswith(pattern[:-1])
    return field == pattern or pattern.startswith(f"{field}[]")


def walk_the_deck(folder: Path, zygote: Zygote) -> dict[str, list[dict[str, Any]]]:
    """The objects of the deck's commands, in the order of the slides."""
    found: dict[str, list[dict[str, Any]]] = {}

    def tell(address: str, command: str, *words: str) -> dict[str, Any]:
        env = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "sk-test"}
        value = zygote.run(folder, [*command.split(), *words, "--json"], env).json()
        assert value["schema"] == f"batchflow.{command.replace(' ', '-')}/1", value
        found.setdefault(command, []).append(value)
        return value

    with ServerProcess(folder / "store") as server:
        ask = partial(tell, server.base_url)
        ask("make-batch-file", TEMPLATE, DATA)
        file_id = ask("upload-batch-file", "batch-requests.jsonl")["uploaded"]["id"]
        batch_id = ask("start-batch", file_id, "--yes")["batch"]["id"]
        while not ask("show-batch", batch_id)["batch"]["ended"]:
            time.sleep(0.05)
        for command in ("get-batch-results", "cancel-batch"):
            ask(command, batch_id)
        for command in ("list-batches", "list-files", "utils config"):
            ask(command)
        ask("delete-file", file_id, "--yes")
        for name in ("batch-requests.jsonl", "batch-responses.jsonl"):
            ask("utils display", name)
    with serving([fake := FakeHttp()]):
        tell(fake.base_url, "utils chat-complete", "batch-requests.jsonl", "--yes")
    (folder / "late.jsonl").write_text('{"custom_id": "id_0", "error": {"code": "batch_expired"}}\n')
    tell("", "utils rest", "batch-requests.jsonl", "late.jsonl")
    (folder / "papers").mkdir()
    write_pdf(folder / "papers" / "one.pdf", "about bears")
    tell("", "utils pdf2text", "papers")
    return found


@pytest.fixture(scope="module")
def emitted(ran: Ran, zygote: Zygote) -> dict[str, list[dict[str, Any]]]:
    """The objects that the commands print about a local study, by command."""
    one = next((ran.folder / "projects/image-appeal/runs").glob("image-appeal-*")).name.rpartition("-")[2]
    calls = [
        ("init", "init", "other"),
        ("validate", "validate", STUDY),
        ("preview", "preview", STUDY),
        ("plan", "plan", STUDY),
        ("plan", "plan", "other"),
        ("run", "run", STUDY),
        ("status", "status", STUDY),
        ("runs", "runs", "projects/image-appeal"),
        ("results", "results", STUDY),
        ("results", "results", STUDY, "--format", "csv", "--output", "all.csv"),
        ("show", "show", f"0000001-1-1-{one}"),
        ("load", "load", STUDY),
        ("cancel", "cancel", STUDY),
        ("retry", "retry", STUDY),
        ("error", "run", "nothing.yaml"),
        ("error", "run"),
    ]
    found = walk_the_deck(ran.folder, zygote)
    for command, *arguments in calls:
        value = zygote.run(ran.folder, [*arguments, "--json"]).json()
        assert value["schema"] == f"batchflow.{command}/1"
        found.setdefault(command, []).append(value)
    planned = found["plan"][-1]["run"]
    unsent = zygote.run(ran.folder, ["show", f"0000001-1-1-{planned.rpartition('-')[2]}", "other", "--json"])
    found["show"].append(unsent.json())
    with (ran.folder / "other" / "experiment.yaml").open("a") as spec:
        spec.write("\ndesign: {factors: {temperature: [0, 1]}, replicates: 2}\n")
    zygote.run(ran.folder, ["run", "other"])
    (ran.folder / "other" / "answers.csv").open("a").write("r-99,1,new\n")
    found["plan"].append(zygote.run(ran.folder, ["plan", "other", "--json"]).json())
    found["show"].append(zygote.run(ran.folder, ["show", "r-01", "other", "--json"]).json())
    found["forget"] = [zygote.run(ran.folder, ["forget", "other", "--yes", "--json"]).json()]
    return found


# `serve` prints its address alone; what `serve audit` prints is held to its page in tests/server/test_server_audit.py
OBJECTS = [name for name in COMMANDS if name not in {"schema", "serve", "serve audit"}]


@pytest.mark.parametrize("command", [*OBJECTS, "error"])
def test_every_field_of_an_object_is_explained(command: str, emitted: dict[str, list[dict[str, Any]]]) -> None:
    explained = [code(row[0])[0] for row in rows(section(page("docs/reference/json.md"), f"## {command}"), "field")]
    assert len(set(explained)) == len(explained)
    fields = {field for value in emitted[command] for field in paths(value)}
    unexplained = {field for field in fields if not any(explains(pattern, field) for pattern in explained)}
    assert not unexplained
    stale = {pattern for pattern in explained if not any(explains(pattern, field) for field in fields)}
    assert not stale


def help_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    parts = [
        "# The command line\n\nGenerated from `--help`; `BATCHFLOW_UPDATE_GOLDEN=1 pytest tests/docs` writes it anew.\n"
    ]
    for name in ["", *COMMANDS]:
        program()([*name.split(), "--help"], prog_name="batchflow", standalone_mode=False)
        shown = "\n".join(line.rstrip() for line in capsys.readouterr().out.strip().splitlines())
        parts.append(f"## {f'batchflow {name}'.strip()}\n\n```text\n{shown}\n```\n")
    return "\n".join(parts)


def test_the_help_texts_are_the_programs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    actual = help_page(capsys, monkeypatch)
    path = ROOT / "docs" / "reference" / "cli.md"
    if UPDATE:
        path.write_text(actual, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == actual


def test_the_markers_of_the_readme_stand_for_one_block_each() -> None:
    for marker in ("ci: run", "ci: test", "shown: run", "shown: query", "shown: table"):
        assert marked(page("README.md"), marker) or UPDATE


def test_no_page_names_a_path_of_a_machine() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        assert not re.search(r"(?<![\w.])/(home|tmp|work|root|usr)/", path.read_text(encoding="utf-8")), path
