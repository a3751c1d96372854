"""A run that is found without reading its spec is the one that reading it would find."""

from collections.abc import Callable
from pathlib import Path

import pytest

from batchflow.engine import finding
from batchflow.engine.finding import Target, find_run
from batchflow.plan.project import Project
from tests.unit.cli.golden import QUIET
from tests.zygote import Zygote

SPEC = """\
version: 1
name: study
data: {source: rows.csv, id: id}
template: prompt.json
provider: local
"""
TEMPLATE = '{"model": "m", "messages": [{"role": "user", "content": "{{id}}"}]}'


@pytest.fixture
def project(tmp_path: Path, zygote: Zygote) -> Callable[..., Path]:
    """A study's folder after some plans: of its spec as it stands, with more options."""

    def planned(*options: list[str], spec: str = SPEC) -> Path:
        (tmp_path / "experiment.yaml").write_text(spec)
        (tmp_path / "rows.csv").write_text("id\n1\n2\n3\n")
        (tmp_path / "prompt.json").write_text(TEMPLATE)
        for more in options or ([],):
            ended = zygote.run(tmp_path, ["plan", "experiment.yaml", *more], QUIET)
            assert ended.status == 0, ended.stderr
        return tmp_path

    return planned


def read(spec: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """What is found by reading the spec."""
    with monkeypatch.context() as patched:
        patched.setattr(finding, "_untouched", lambda *_: None)
        return find_run(str(spec))


def seen(spec: Path) -> bool:
    """Whether the way that reads no spec has an answer."""
    return finding._untouched(spec, Project(spec.parent).newest_first()) is not None


def test_of_a_study_that_nobody_touched(project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = project() / "experiment.yaml"
    assert seen(spec)
    assert find_run(str(spec)) == read(spec, monkeypatch)
    assert not find_run(str(spec)).differs


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("experiment.yaml", SPEC + "# a word\n"),
        ("experiment.yaml", SPEC + "output: {delete_remote: true}\n"),
        ("prompt.json", TEMPLATE.replace('"m"', '"n"')),
    ],
)
def test_of_a_study_that_was_touched(
    file: str, content: str, project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project()
    (folder / file).write_text(content)
    assert not seen(folder / "experiment.yaml")
    found = find_run(str(folder / "experiment.yaml"))
    assert found == read(folder / "experiment.yaml", monkeypatch)
    assert found.differs


@pytest.mark.parametrize("written", ["prompts/prompt.json", '"prompts\\u002fprompt.json"'])
def test_a_file_elsewhere_is_not_the_one_beside_the_spec(
    written: str, project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "prompt.json").write_text(TEMPLATE)
    folder = project(spec=SPEC.replace("prompt.json", written))
    assert (folder / "prompt.json").read_text() == TEMPLATE
    (folder / "prompts" / "prompt.json").write_text(TEMPLATE.replace('"m"', '"n"'))
    assert not seen(folder / "experiment.yaml")
    found = find_run(str(folder / "experiment.yaml"))
    assert found == read(folder / "experiment.yaml", monkeypatch)
    assert found.differs


def test_of_several_runs_the_spec_is_read_where_it_decides(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = project([], ["--sample", "2"]) / "experiment.yaml"
    plans = [plan.sample for _, plan in Project(spec.parent).newest_first()]
    assert find_run(str(spec)) == read(spec, monkeypatch)
    assert seen(spec) == (len(plans) == 1)


def test_who_is_asked_decides_between_runs(project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asking = SPEC.replace("provider: local", "provider: openai")
    spec = project([], ["--provider", "local"], spec=asking) / "experiment.yaml"
    scopes = {plan.scope for _, plan in Project(spec.parent).newest_first()}
    found = find_run(str(spec))
    assert found == read(spec, monkeypatch)
    assert seen(spec) == (len(scopes) == 1)
    assert found.project.folder.samefile(spec.parent)
