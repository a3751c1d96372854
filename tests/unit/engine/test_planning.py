"""A study becomes one run: found by its hash, of the same bytes every time, alone where it sends what others sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchflow.engine.planning import Planned, plan_run
from batchflow.engine.run import RunView, view
from batchflow.engine.validating import check_only
from batchflow.errors import RunBusy, SetupError
from batchflow.identity import request_key, sha256_hex
from batchflow.journal.events import Event
from batchflow.journal.journal import Journal
from batchflow.plan.folder import RunFolder
from batchflow.plan.shards import shard_ids, shard_name
from batchflow.plan.study import Study, compile_study
from batchflow.sources.maps import lookup
from batchflow.spec.load import load_spec
from batchflow.steps.rounds import Limits, build_next
from tests.unit.journal.histories import batch, intent, receipt, uploaded

SPEC = """\
version: 1
name: study
data: {source: people.csv, id: ID}
prompt: {system: "You are {{Who}}.", user: "Which?"}
parameters: {model: gpt-4o, temperature: 0.0}
limits: {requests_per_batch: 2}
provider: local
"""
PEOPLE = "ID,Who\n1,a cook\n2,a \u2028 pilot\n3,a cook\n4,\n5,a cook\n".replace("4,\n", '4,""\n')
ONE = (1, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "experiment.yaml").write_text(SPEC)
    (tmp_path / "people.csv").write_text(PEOPLE)
    return tmp_path


def study(folder: Path, old: str = "", new: str = "", provider: str | None = None) -> Study:
    path = folder / "experiment.yaml"
    path.write_text(path.read_text().replace(old, new))
    return compile_study(load_spec(path), provider)


def runs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs").iterdir() if not path.name.startswith("."))


def requests(folder: RunFolder) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.requests.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)


def record(folder: RunFolder, *events: Event) -> None:
    journal, _ = Journal.take_over(folder.journal)
    journal.append(events)
    journal.close()


def send(planned: Planned, events: int = 3) -> None:
    record(planned.run.folder, *[uploaded(ONE), intent(ONE), receipt(ONE)][:events])


def test_a_run_holds_everything_that_will_be_sent(folder: Path) -> None:
    planned = plan_run(study(folder))
    run = planned.run
    assert planned.new
    assert (run.plan.requests, run.plan.distinct, run.plan.scope) == (5, 3, "local/localhost/simulate/v1/seed0")
    assert [(shard.requests, shard.name) for shard in run.state.shards()] == [
        (2, "r1-00001"), (2, "r1-00002"), (1, "r1-00003"),
    ]  # fmt: skip
    sent = list(requests(run.folder))
    assert [one["body"]["messages"][0]["content"] for one in sent] == [
        "You are a cook.", "You are a \u2028 pilot.", "You are a cook.", "You are .", "You are a cook.",
    ]  # fmt: skip
    assert {(one["method"], one["url"], one["body"]["model"]) for one in sent} == {
        ("POST", run.plan.endpoint, "gpt-4o")
    }
    assert [one["custom_id"] for one in sent] == [f"000000{n}-1-1-{run.plan.fingerprint[:8]}" for n in range(1, 6)]
    for shard in run.state.shards():
        content = run.folder.shard(shard.name).read_bytes()
        assert (len(content), sha256_hex(content)) == (shard.bytes, shard.sha256)
        assert "\u2028".encode() not in content
        assert b'"temperature":0.0' in content
    assert (run.folder.spec / "experiment.yaml").read_text() == SPEC


def test_the_map_knows_row_draw_key_and_place_of_each_request(folder: Path) -> None:
    run = plan_run(study(folder)).run
    places = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]
    mapped = [lookup(run.folder.map(1), shard=shard, lines=[line])[0] for shard, line in places]
    assert [(one.row_number, one.row_id, one.draw) for one in mapped] == [
        (1, "1", 1), (2, "2", 1), (3, "3", 2), (4, "4", 1), (5, "5", 3),
    ]  # fmt: skip
    for one, (shard, line) in zip(mapped, places, strict=True):
        sent = run.folder.shard(f"r1-{shard:05d}").read_bytes().split(b"\n")[line - 1]
        body = sent[sent.index(b'"body":') + 7 : -1]
        assert one.request_key == request_key(run.plan.scope, run.plan.endpoint, sha256_hex(body), one.draw)
        assert ids_of(run, 1, shard)[line - 1] == one.custom_id


def ids_of(run: RunView, round_: int, shard: int) -> list[str]:
    return list(shard_ids(run.folder.shard(shard_name(round_, shard))))


def test_building_twice_gives_the_same_bytes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    for name in ("experiment.yaml", "people.csv"):
        (other / name).write_bytes((folder / name).read_bytes())
    first, second = plan_run(study(folder)).run, plan_run(study(other)).run
    assert first.plan.run == second.plan.run
    for path in sorted(first.folder.requests.iterdir()):
        assert path.read_bytes() == (second.folder.requests / path.name).read_bytes()


def test_an_unchanged_study_finds_its_run(folder: Path) -> None:
    first = plan_run(study(folder))
    again = plan_run(study(folder, "name: study\n", "name: study\ndescription: With more words\n"))
    assert (again.new, again.run.folder) == (False, first.run.folder)
    assert len(runs(folder)) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("temperature: 0.0", "temperature: 0"),
        ("You are", "You're"),
        ("provider: local", "provider: {name: local, seed: 3}"),
    ],
)
def test_a_change_that_shapes_requests_makes_another_run_and_the_unsent_one_goes(
    folder: Path, old: str, new: str
) -> None:
    first = plan_run(study(folder))
    second = plan_run(study(folder, old, new))
    assert second.new
    assert runs(folder) == [second.run.plan.run]
    assert second.run.plan.fingerprint != first.run.plan.fingerprint


def test_a_changed_row_makes_another_run(folder: Path) -> None:
    first = plan_run(study(folder))
    send(first, 1)
    (folder / "people.csv").write_text(PEOPLE.replace("pilot", "baker"))
    second = plan_run(study(folder))
    assert second.new
    assert len(runs(folder)) == 2, "a run of which something was sent stays"


def test_the_same_rows_written_otherwise_are_the_same_run(folder: Path) -> None:
    first = plan_run(study(folder))
    (folder / "people.csv").write_bytes(b"\xef\xbb\xbf" + PEOPLE.replace("\n", "\r\n").encode())
    again = plan_run(study(folder))
    assert (again.new, again.run.folder) == (False, first.run.folder)


def test_fresh_makes_another_run_only_beside_one_that_was_sent(folder: Path) -> None:
    first = plan_run(study(folder))
    assert plan_run(study(folder), fresh=True).run.folder == first.run.folder
    send(first)
    second = plan_run(study(folder), fresh=True)
    assert second.run.plan.run == f"{first.run.plan.run}-2"
    assert second.run.plan.fingerprint == first.run.plan.fingerprint
    assert "in flight" in " ".join(second.notes)
    with pytest.raises(RunBusy):
        plan_run(study(folder), hold=True)
    assert plan_run(study(folder)).run.folder == second.run.folder, "a plain run goes on with the newest"


def test_requests_in_flight_elsewhere_stop_a_run_that_would_send_them(folder: Path) -> None:
    first = plan_run(study(folder))
    send(first)
    changed = study(folder, "limits: {requests_per_batch: 2}", "limits: {requests_per_batch: 3}")
    held = plan_run(changed, hold=True)
    assert held.run.folder == first.run.folder, "limits shape no request"
    assert held.lock is not None
    held.lock.release()
    (folder / "people.csv").write_text(PEOPLE + "6,a judge\n")
    with pytest.raises(RunBusy, match="2 requests of this study are in flight") as caught:
        plan_run(study(folder), hold=True)
    assert "--fresh" in caught.value.hint
    other = plan_run(study(folder, "seed", "seed", "openai"), hold=True)
    assert other.lock is not None
    other.lock.release()


def test_looking_at_what_is_in_flight_elsewhere_is_free(folder: Path) -> None:
    first = plan_run(study(folder))
    send(first)
    (folder / "people.csv").write_text(PEOPLE + "6,a judge\n")
    for _ in range(2):
        assert f"in flight in the run {first.run.plan.run}: `run` would stop" in " ".join(plan_run(study(folder)).notes)


def test_reuse_none_says_that_it_comes_too_late(folder: Path) -> None:
    first = plan_run(study(folder))
    spec = folder / "experiment.yaml"
    spec.write_text(spec.read_text() + "reuse: none\n")
    again = plan_run(study(folder))
    assert (again.run.plan.reuse, again.notes) == ("none", ()), "nothing was sent: it is planned anew"
    spec.write_text(spec.read_text().replace("reuse: none\n", ""))
    first = plan_run(study(folder))
    send(first)
    spec.write_text(spec.read_text() + "reuse: none\n")
    again = plan_run(study(folder))
    assert again.run.folder == first.run.folder
    assert "`reuse: none` changes nothing" in " ".join(again.notes)


def test_a_run_that_is_being_advanced_is_busy(folder: Path) -> None:
    held = plan_run(study(folder), hold=True)
    assert held.lock is not None
    with pytest.raises(RunBusy, match="another process is advancing"):
        plan_run(study(folder), hold=True)
    assert not plan_run(study(folder)).new, "looking is free"
    held.lock.release()


def test_a_foreign_folder_in_the_place_of_a_run_is_left_alone(folder: Path) -> None:
    first = plan_run(study(folder)).run.folder
    first.manifest.unlink()
    with pytest.raises(SetupError, match="is not a run of this study"):
        plan_run(study(folder))
    assert first.journal.exists()
    assert runs(folder) == [first.run], "nothing half built is left"


def test_checking_writes_nothing(folder: Path) -> None:
    assert check_only(study(folder)) == (5, ())
    assert not (folder / "runs").exists()


def test_a_later_round_asks_exactly_what_is_owed_with_the_same_bytes(folder: Path) -> None:
    run = plan_run(study(folder)).run
    for number in (1, 2, 3):
        place = (1, number)
        ids = ids_of(run, 1, number)
        name = run.folder.response(f"r1-{number:05d}", "output")
        body = {"choices": [{"message": {"content": "yes"}}]}
        lines = [{"custom_id": one, "response": {"status_code": 200, "body": body}} for one in ids[:1]]
        name.write_text("".join(json.dumps(line) + "\n" for line in lines))
        account: dict[str, Any] = {"doubled": 0, "unknown": 0, "unreadable": 0, "out_of_money": 0}
        account |= {"final": {"answered": 1}, "owed": {"missing": len(ids) - 1} if len(ids) > 1 else {}}
        payload = {"batch_id": f"b{number}", "files": [{"name": name.name}], "account": account}
        record(
            run.folder, uploaded(place), intent(place), receipt(place, batch_id=f"b{number}"),
            batch(place, f"b{number}"), Event("collected", payload, round=1, shard=number),
        )  # fmt: skip
    path = run.folder.shard("r1-00002")
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b"Which", b"What!"))
    with pytest.raises(SetupError, match=r"not the one that was built.*r1-00002"):
        build_next(run.folder, view(run.folder).state, Limits(10, 10_000))
    path.write_bytes(kept)
    built = build_next(run.folder, view(run.folder).state, Limits(10, 10_000))
    record(run.folder, built)
    state = view(run.folder).state
    assert (state.round, built.payload["requests"]) == (2, 2)
    first = {one["custom_id"]: one for one in requests(run.folder)}
    content = run.folder.shard("r2-00001").read_bytes()
    owed = [ids_of(run, 1, number)[1] for number in (1, 2)]
    assert [json.loads(line)["custom_id"] for line in content.splitlines()] == owed
    assert all(json.loads(line) == first[json.loads(line)["custom_id"]] for line in content.splitlines())
    for shard in ("r1-00001", "r1-00002"):
        assert run.folder.shard(shard).read_bytes().split(b"\n")[1] + b"\n" in content
    assert ids_of(run, 2, 1) == owed
    before, after = (lookup(run.folder.map(round_), custom_id=owed[1])[0] for round_ in (1, 2))
    assert (after.request_key, after.draw, after.row_id) == (before.request_key, before.draw, before.row_id)
    assert (after.shard, after.line) == (1, 2)
