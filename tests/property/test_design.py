"""For any table and design: what is planned is what is built; rows keep their conditions; exact balance is exact."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.engine.planning import plan_run
from batchflow.engine.run import view
from batchflow.files import scratch_folder, sha256_of
from batchflow.journal.events import Event
from batchflow.journal.journal import Journal
from batchflow.plan.shards import shard_ids
from batchflow.plan.study import compile_study
from batchflow.sources import settling
from batchflow.sources.maps import count_conditions
from batchflow.spec.load import load_spec
from batchflow.steps import build as steps_build
from batchflow.steps.collect import read_shard
from batchflow.steps.load import Loader
from batchflow.steps.summary import account_of, reused
from tests.unit.journal.histories import batch, intent, receipt, uploaded

SLOW = settings(max_examples=12, deadline=None)
WORDS = st.sampled_from(["a", "b", "ä b", "x,y", 'q"', "0", "007", "lang" * 30, "\u2028"])


@st.composite
def designs(draw: st.DrawFn) -> dict[str, Any]:
    factors: dict[str, Any] = {}
    if draw(st.booleans()):
        factors["temperature"] = draw(st.lists(st.sampled_from([0, 1, 0.5, None]), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        factors["model"] = draw(st.lists(st.sampled_from(["m-1", "m-2", "m-3"]), min_size=1, max_size=3, unique=True))
    factors["frame"] = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    between = draw(st.booleans())
    return {
        "factors": factors,
        "replicates": draw(st.integers(1, 3)),
        "assign": "between" if between else "within",
        "balance": draw(st.sampled_from(["hash", "exact"])) if between else "hash",
        "where": draw(st.sampled_from([[], ["word <> 'a'"], ["frame <> 'a' OR word = 'b'"]])),
    }


def build(folder: Path, rows: dict[str, str], design: dict[str, Any], *, fresh: bool = True, **keys: Any) -> Any:
    lines = [f'{name},"{word}"' for name, word in rows.items()]
    (folder / "rows.csv").write_text("\n".join(["id,word", *lines]) + "\n", encoding="utf-8")
    spec = {
        "version": 1, "name": "d", "data": {"source": "rows.csv", "id": "id"},
        "prompt": {"user": "{{word}} {{frame}}"}, "parameters": {"model": "m-0"}, "design": design, "provider": "local",
        "limits": {"requests_per_batch": 7}, **keys,
    }  # fmt: skip
    (folder / "experiment.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), encoding="utf-8")
    return plan_run(compile_study(load_spec(folder / "experiment.yaml")), fresh=fresh).run


def asked(run: Any) -> dict[str, list[tuple[str, str, str]]]:
    """custom_id -> what is asked, for every line of the request files."""
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for path in sorted(run.folder.requests.glob("*.jsonl")):
        models = set()
        for line in path.read_bytes().split(b"\n")[:-1]:
            request = json.loads(line)
            body = request["body"]
            models.add(body["model"])
            row = request["custom_id"].partition("-")[0]
            key = (body["messages"][0]["content"], str(body.get("temperature", "-")), body["model"])
            found[str(int(row))].append(key)
        assert len(models) == 1, "several models in one file"
    return found


ROWS = st.lists(WORDS.map(lambda word: word.replace('"', "'")), min_size=1, max_size=9)


def load(run: Any, database: Path) -> None:
    """Every shard as if it had been sent and answered, then loaded."""
    journal, _ = Journal.take_over(run.folder.journal)
    for shard in run.state.shards(1):
        place, name = (1, shard.number), run.folder.response(shard.name, "output")
        body = {"model": "m", "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
        answered = [{"custom_id": one, "response": {"status_code": 200, "body": body}}
                    for one in shard_ids(run.folder.shard(shard.name))]  # fmt: skip
        name.write_text("".join(json.dumps(line) + "\n" for line in answered))
        batch_id = f"b{shard.number}"
        journal.append([uploaded(place), intent(place), receipt(place, batch_id=batch_id), batch(place, batch_id)])
        account = read_shard(run.folder, 1, shard.number, [name.name]).run().account
        file = {"name": name.name, "lines": len(answered), "lost": False, "sha256": sha256_of(name)}
        payload = {"batch_id": batch_id, "files": [file], "account": account.to_json()}
        journal.append([Event("collected", payload, round=1, shard=shard.number)])
    journal.close()
    Loader(run.folder, run.plan, database).load(view(run.folder).state)


@SLOW
@given(ROWS, designs(), st.sampled_from(["separate", "share"]))
def test_planned_is_built_is_sent_is_loaded(words: list[str], design: dict[str, Any], duplicates: str) -> None:
    rows = {f"r{number}": word for number, word in enumerate(words, 1)}
    expected = 0
    frames, word_of = design["factors"]["frame"], list(rows.values())
    others = len(design["factors"].get("temperature", [0])) * len(design["factors"].get("model", [0]))
    for word in word_of:
        kept = [frame for frame in frames if _holds(design["where"], word, frame)]
        cells = len(kept) * others
        expected += (min(1, cells) if design["assign"] == "between" else cells) * design["replicates"]
    with scratch_folder() as folder:
        if not expected:
            return
        run = build(folder, rows, design, duplicates=duplicates)
        lines = asked(run)
        sent = expected if duplicates == "separate" else run.plan.distinct * design["replicates"]
        assert run.plan.requests == expected
        assert sum(map(len, lines.values())) == sum(shard.lines for shard in run.state.shards()) == sent
        assert sum(shard.requests for shard in run.state.shards()) == expected
        sizes = {number: count.requests for number, count in count_conditions(run.folder.first_maps()).items()}
        assert sum(sizes.values()) == expected
        load(run, folder / "results.duckdb")
        with duckdb.connect(str(folder / "results.duckdb")) as database:
            loaded = database.execute("SELECT count(*), count(*) FILTER (outcome = 'answered') FROM results").fetchall()
            found = database.execute("SELECT condition_number, count(*) FROM requests GROUP BY 1").fetchall()
        assert loaded == [(expected, expected)]
        assert dict(found) == sizes


def _holds(where: list[str], word: str, frame: str) -> bool:
    if not where:
        return True
    return word != "a" if "frame" not in where[0] else frame != "a" or word == "b"


@SLOW
@given(ROWS, ROWS, designs(), st.randoms())
def test_rows_keep_what_they_are_asked_when_others_come_and_all_are_shuffled(
    words: list[str], more: list[str], design: dict[str, Any], chance: Any
) -> None:
    design = design | {"balance": "hash"}
    first = {f"r{number}": word for number, word in enumerate(words, 1)}
    items = [*first.items(), *((f"n{number}", word) for number, word in enumerate(more, 1))]
    chance.shuffle(items)
    with scratch_folder() as one, scratch_folder() as two:
        if not any(_holds(design["where"], word, frame) for word in words for frame in design["factors"]["frame"]):
            return
        before, after = asked(build(one, first, design)), asked(build(two, dict(items), design))
        place = {name: str(number) for number, (name, _) in enumerate(items, 1)}
        for number, name in enumerate(first, 1):
            assert Counter(before.get(str(number), [])) == Counter(after.get(place[name], []))


@SLOW
@given(st.lists(st.sampled_from("xyz"), min_size=1, max_size=30), st.integers(2, 4), st.integers(0, 3))
def test_exact_balance_within_strata_and_over_all(strata: list[str], levels: int, seed: int) -> None:
    rows = {f"r{number}": word for number, word in enumerate(strata, 1)}
    design = {
        "factors": {"frame": [f"f{number}" for number in range(levels)]},
        "assign": "between", "balance": "exact", "strata": ["word"], "seed": seed,
    }  # fmt: skip
    with scratch_folder() as folder:
        lines = asked(build(folder, rows, design))
    said = [(key[0].split(" ")[0], key[0].split(" ")[1]) for keys in lines.values() for key in keys]
    assert len(said) == len(rows)
    frames = design["factors"]["frame"]  # type: ignore[index]
    for group in [said, *([each for each in said if each[0] == word] for word in set(strata))]:
        counts = [sum(frame == each[1] for each in group) for frame in frames]
        assert max(counts) - min(counts) <= 1, counts


@SLOW
@given(st.lists(WORDS.map(lambda word: word.replace('"', "'")), min_size=1, max_size=12), st.randoms())
def test_what_is_taken_over_is_whole_in_however_many_files_and_in_whatever_order(words: list[str], chance: Any) -> None:
    rows = {f"r{number}": f"{word} {number}" for number, word in enumerate(words)}
    shuffled = list(rows.items())
    chance.shuffle(shuffled)
    design = {"factors": {"frame": ["a", "b"]}}
    with (
        scratch_folder() as folder,
        patch.object(settling, "TAKEN_SHARD", 3),
        patch.object(steps_build, "TAKEN_SHARD", 3),
    ):
        load(build(folder, rows, design), folder / "results.duckdb")
        run = build(folder, {**dict(shuffled), "new": "more"}, design, fresh=False)
        assert [shard.requests for shard in run.state.shards(1)] == [2]
        assert reused(run.state) == 2 * len(rows)
        assert account_of(run.state).final == {"answered": 2 * len(rows)}
        assert account_of(run.state).owed == {"unsent": 2}
        load(run, folder / "results.duckdb")
        with duckdb.connect(str(folder / "results.duckdb")) as database:
            found = database.execute("SELECT row_id, count(*) FILTER (outcome = 'answered') FROM results GROUP BY 1")
            assert dict(found.fetchall()) == dict.fromkeys([*rows, "new"], 2)
