"""Cutting into request files keeps every line, its order and both limits; a plan comes back from its manifest."""

import hashlib
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchflow.plan.folder import RunFolder
from batchflow.plan.lines import Lines
from batchflow.plan.model import Plan, SourceFacts, read_plan
from batchflow.plan.project import again_of, name_run
from batchflow.plan.shards import Place, ShardCutter, shard_name
from batchflow.sources.columns import Column

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

BYTES = 30
LINES = st.lists(st.binary(max_size=BYTES - 1).map(lambda some: some.replace(b"\n", b"x") + b"\n"), max_size=40)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def fresh(folder: RunFolder) -> RunFolder:
    folder.requests.mkdir(exist_ok=True)
    for path in folder.requests.iterdir():
        path.unlink()
    return folder


@quick
@given(LINES, st.integers(1, 7), st.integers(BYTES, 3 * BYTES), st.integers(1, 12))
@example([b"x" * 29 + b"\n"] * 3, 2, 30, 1)
@example([b"\n"] * 8, 7, 90, 1)
def test_shards_keep_order_count_bytes_and_both_limits(
    folder: RunFolder, lines: list[bytes], requests: int, bytes_: int, round_: int
) -> None:
    fresh(folder)
    with ShardCutter(folder, round_, requests=requests, bytes_=bytes_) as cutter:
        places = [cutter.add(line) for line in lines]
        shards = cutter.close()
    contents = [folder.shard(shard_name(round_, shard.number)).read_bytes() for shard in shards]
    assert b"".join(contents) == b"".join(lines)
    named = [f"{shard_name(round_, shard.number)}.jsonl" for shard in shards]
    assert sorted(path.name for path in folder.requests.iterdir()) == named
    assert [shard.number for shard in shards] == list(range(1, len(shards) + 1))
    assert sum(shard.requests for shard in shards) == len(lines)
    for shard, content in zip(shards, contents, strict=True):
        assert 0 < len(content) == shard.bytes <= bytes_
        assert 0 < content.count(b"\n") == shard.requests <= requests
        assert hashlib.sha256(content).hexdigest() == shard.sha256
    for line, place in zip(lines, places, strict=True):
        assert contents[place.shard - 1].split(b"\n")[place.line - 1] + b"\n" == line


BODIES = st.lists(st.tuples(st.binary(max_size=20), st.sampled_from("ab"), st.integers(1, 30_000)), max_size=40)


@quick
@given(BODIES, st.integers(1, 7), st.integers(120, 300), st.booleans())
def test_many_lines_go_where_each_would(
    folder: RunFolder, bodies: list[tuple[bytes, str, int]], requests: int, bytes_: int, brings: bool
) -> None:
    found = []
    for together in (True, False):
        fresh(folder)
        spans: list[Place] = []
        with ShardCutter(folder, 1, requests=requests, bytes_=bytes_) as cutter:
            for group, same in groupby(enumerate(bodies), key=lambda each: each[1][1]):
                numbered = list(same)
                names = [f"{number:07d}".encode() for number, _ in numbered]
                lines = Lines.of('/v1/e\u0301"', names, [body for _, (body, *_) in numbered])
                inputs = [brought for _, (*_, brought) in numbered] if brings else [1] * len(names)
                if together:
                    for span in cutter.add_all(lines, group=group, inputs=inputs if brings else ()):
                        spans += [Place(span.shard, span.line + more) for more in range(span.lines)]
                else:
                    for place, each in enumerate(inputs):
                        line = lines.joined(place, place + 1)
                        assert len(line) == lines.sizes[place]
                        spans.append(cutter.add(line, group=group, inputs=each))
            found.append((spans, cutter.close()))
    assert found[0] == found[1]


@quick
@given(LINES, st.integers(1, 7), st.integers(BYTES, 3 * BYTES))
def test_no_fewer_files_would_do(folder: RunFolder, lines: list[bytes], requests: int, bytes_: int) -> None:
    """In order, a file is closed only when the next line does not fit."""
    fresh(folder)
    with ShardCutter(folder, 1, requests=requests, bytes_=bytes_) as cutter:
        places = [cutter.add(line) for line in lines]
        shards = cutter.close()
    for line, place in zip(lines, places, strict=True):
        if place.line == 1 and place.shard > 1:
            before = shards[place.shard - 2]
            assert before.requests == requests or before.bytes + len(line) > bytes_


def test_a_build_that_fails_leaves_no_half_file(folder: RunFolder) -> None:
    fresh(folder)

    def fail() -> None:
        with ShardCutter(folder, 1, requests=2, bytes_=100) as cutter:
            assert [cutter.add(b"a\n") for _ in range(3)] == [Place(1, 1), Place(1, 2), Place(2, 1)]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in folder.requests.iterdir()] == ["r1-00001.jsonl"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
TEXTS = (
    "run", "experiment", "created_at", "fingerprint", "scope", "provider", "host", "endpoint", "model",
    "template_sha256", "database", "description", "git_commit",
)  # fmt: skip
PLANS = st.builds(
    Plan,
    **dict.fromkeys(TEXTS, TEXT),
    simulated=st.booleans(),
    raw=st.booleans(),
    requests=st.integers(0),
    distinct=st.integers(0),
    identity_version=st.integers(1, 3),
    source=st.builds(SourceFacts, *[TEXT] * 4, st.integers(0), TEXT, st.booleans()),
    columns=st.lists(st.builds(Column, TEXT, TEXT, TEXT), max_size=3).map(tuple),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
)


@quick
@given(PLANS)
def test_a_plan_comes_back_from_its_manifest(folder: RunFolder, plan: Any) -> None:
    folder.manifest.write_bytes(plan.to_bytes())
    assert read_plan(folder.manifest) == plan


NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,12}", fullmatch=True)
PRINTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@given(NAMES, PRINTS, st.integers(1, 99))
@settings(max_examples=60, deadline=None)
@example("x-12345678", "9" * 64, 1)
@example("x-12345678-2", "1" * 64, 3)
def test_the_name_of_a_run_says_which_one_it_is(experiment: str, fingerprint: str, again: int) -> None:
    name = name_run(experiment, fingerprint, again)
    assert again_of(name) == again
    assert name.startswith(f"{experiment}-{fingerprint[:8]}")


def test_inputs_count_together_and_groups_never_mix(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.requests.mkdir()
    with ShardCutter(folder, 1, requests=10, bytes_=1000) as cutter:
        inputs = [(b"a\n", "x", 30_000), (b"b\n", "x", 20_000), (b"c\n", "y", 1), (b"d\n", "x", 1), (b"e\n", "y", 2)]
        places = [cutter.add(line, group=group, inputs=count) for line, group, count in inputs]
        shards = cutter.close()
    assert places == [Place(1, 1), Place(1, 2), Place(2, 1), Place(3, 1), Place(2, 2)]
    assert [(shard.number, shard.lines) for shard in shards] == [(1, 2), (2, 2), (3, 1)]
