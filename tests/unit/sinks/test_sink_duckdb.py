import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from batchflow.errors import DatabaseHeld, ExitStatus, SetupError, SinkError
from batchflow.sinks import layout
from batchflow.sinks.connection import check_name, open_for_writing
from batchflow.sinks.duckdb import ResponseRow, Rest, Sink
from batchflow.sinks.reader import open_reader
from tests.unit.sinks.made import Made, answer, batch, make, query

NOBODY: dict[str, str] = {}
ROOT = Path(__file__).parents[3]
RESULTS = (
    "experiment run_id simulated row_number row_id custom_id condition replicate {data} model outcome content refusal "
    "finish_reason model_answered prompt_tokens cached_tokens completion_tokens reasoning_tokens total_tokens cost_usd"
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "results.duckdb"


def load(database: Path, made: Made, *, rows: list[int] | None = None, state: str = "complete") -> None:
    """A run with one shard, loaded to its end."""
    numbers = list(range(1, made.plan.requests + 1)) if rows is None else rows
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        owed = {made.id(row): "missing" for row in range(1, made.plan.requests + 1) if row not in numbers}
        sink.load_shard(made.run, batch(), Rest(made.answers(numbers), owed))
        sink.set_run(made.row(state))
        sink.refresh()


def columns(database: Path, view: str) -> list[object]:
    return [row[0] for row in query(database, f"DESCRIBE {view}")]


def python(code: str, *values: object, **environment: str) -> subprocess.Popen[str]:
    """A program of somebody else's."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, values)], stdin=pipe, stdout=pipe, text=True, env=environment
    )


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_the_file_is_in_the_old_storage_format_and_stays_so(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    tags = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'results'"
    for _ in range(2):
        load(database, made)
        assert query(database, tags) == [("v1.2.0+",)]
    assert not list(tmp_path.glob(".*")), "nothing of the making is left"


def test_columns_of_the_views(tmp_path: Path, database: Path) -> None:
    with Sink.open(database) as sink:
        load_nothing = make(tmp_path, rows=[{"content": "c", "ID": "1", "id": "2", 'a"b': "q", "row_number": "7"}])
        sink.begin(load_nothing.plan, load_nothing.folder)
    data = 'data_content ID data_id a"b data_row_number'
    assert columns(database, "results") == RESULTS.format(data=data).split()
    assert columns(database, "results_all") == RESULTS.format(data="").split()
    assert [c.results for c in load_nothing.plan.columns] == data.split()
    assert query(database, 'SELECT data_content, ID, data_id, "a""b", data_row_number FROM results') == [
        ("c", "1", "2", "q", "7")
    ]
    assert columns(database, f'data."{load_nothing.run}"') == [
        "row_number", "row_id", "content", "ID", "data_id", 'a"b', "data_row_number",
    ]  # fmt: skip


def test_a_database_without_runs_has_valid_views(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    load(database, made)
    with Sink.open(database) as sink:
        sink.drop_run(made.run)
        sink.refresh()
    assert columns(database, "results") == RESULTS.format(data="").split()
    assert query(database, "SELECT * FROM results UNION ALL SELECT * FROM results_all") == []


def test_experiments_with_different_columns_stand_side_by_side(tmp_path: Path, database: Path) -> None:
    load(
        database,
        make(tmp_path, "b-3f9c2a71", experiment="b", rows=[{"Age": "1", "content": "x"}, {"Age": None, "content": ""}]),
    )
    load(database, make(tmp_path, "a.1-3f9c2a71", experiment="a.1", rows=[{"age": "30", "City": "Köln"}]), rows=[])
    assert columns(database, "results") == RESULTS.format(data="age City data_content").split()
    assert query(database, "SELECT experiment, row_number, Age, City, data_content, outcome, content FROM results") == [
        ("a.1", 1, "30", "Köln", None, "missing", None),
        ("b", 1, "1", None, "x", "answered", "answer 1"),
        ("b", 2, None, None, "", "answered", "answer 2"),
    ]
    assert query(database, "SELECT typeof(row_number), typeof(total_tokens), typeof(age) FROM results LIMIT 1") == [
        ("BIGINT", "BIGINT", "VARCHAR")
    ]


def test_a_refused_error_keeps_its_words_and_an_owed_one_shows_none(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    lines = [
        ResponseRow(made.id(1), "refused", 200, refusal="I cannot", model_answered="m"),
        ResponseRow(made.id(2), "error", 400, error_code="invalid_value", error_message="no"),
        ResponseRow(
            made.id(3), "error", 500, error_code="server_error", content="half", model_answered="m", total_tokens=9
        ),
    ]
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(lines, {made.id(3): "error"}))
    assert query(database, "SELECT outcome, refusal, content, model_answered, total_tokens FROM results") == [
        ("refused", "I cannot", None, "m", None), ("error", None, None, None, None), ("error", None, None, None, None),
    ]  # fmt: skip
    assert query(database, "SELECT http_status, error_code, content FROM responses ORDER BY custom_id") == [
        (200, None, None), (400, "invalid_value", None), (500, "server_error", "half"),
    ]  # fmt: skip


TEXTS = [
    "",
    "\0",
    "a\0b",
    "\u2028\u2029\x85\x0b",
    "\r\n\t\"',;",
    "\ud800 lone",
    "😀é",
    "NULL",
    "{{x}}",
    "'; DROP TABLE runs; --",
]


def test_any_text_is_kept(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path, rows=[{"A": "x"}] * len(TEXTS))
    lines = [answer(made.id(row), text)._replace(refusal=text) for row, text in enumerate(TEXTS, start=1)]
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(lines, NOBODY))
    kept = [text.encode("utf-8", "backslashreplace").decode() for text in TEXTS]
    assert query(database, "SELECT content, refusal FROM results") == [(text, text) for text in kept]


def test_a_very_long_answer_and_a_number_out_of_range(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    lines = [answer(made.id(1), "é" * 20_000_000), answer(made.id(2))._replace(http_status=10**30), answer(made.id(3))]
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(lines, NOBODY))
    assert query(database, "SELECT length(content), http_status FROM responses ORDER BY custom_id") == [
        (20_000_000, 200), (3, None), (3, 200),
    ]  # fmt: skip


def test_more_long_answers_than_the_memory_that_duckdb_has(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path, rows=[{"A": "x"}] * 400)
    load(database, made)
    long = ("lorem ipsum é" * 20_000)[:200_000]
    with Sink.open(database) as sink:
        sink.load_shard(
            made.run, batch(), Rest((answer(made.id(row), f"{row} {long}") for row in range(1, 401)), NOBODY)
        )
        sink.set_run(made.row())
        sink.refresh()
    with open_reader(database) as reader:
        at = reader.columns(made.run).index("content")
        assert [row[at].partition(" ")[::2] for row in reader.rows(made.run)] == [(str(n), long) for n in range(1, 401)]


BODIES = [
    '{"a":1,"b":"\\u00e9"}',
    '{"t":"x\\ud83dy","ok":"\\ud83d\\ude00"}',
    '{"n":NaN}',
    "no json",
    "",
    '"\\\\ud800"',
    '{"é":"\ud800"}',
]


def test_raw_bodies_are_json_whatever_came(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path, rows=[{"A": "x"}] * (len(BODIES) + 1))
    lines = [answer(made.id(row))._replace(body=body) for row, body in enumerate([*BODIES, None], start=1)]
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest(lines, NOBODY))
    bodies = query(database, "SELECT body FROM responses ORDER BY custom_id")
    assert bodies[0] == (BODIES[0],)
    assert json.loads(str(bodies[1][0])) == {"t": "x\\ud83dy", "ok": "😀"}
    assert [json.loads(str(body)) for (body,) in bodies[3:7]] == ["no json", "", "\\ud800", {"é": "\\ud800"}]
    assert bodies[7] == (None,)
    assert query(database, "SELECT typeof(body) FROM responses LIMIT 1") == [("JSON",)]


def test_another_program_holds_the_file(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    load(database, made)
    with python(HOLD, database) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DatabaseHeld) as caught:
            Sink.open(database)
        holder.communicate("")
    assert caught.value.exit_status == ExitStatus.UNFINISHED
    assert str(holder.pid) in caught.value.message
    assert str(database) in caught.value.message
    with Sink.open(database) as sink:
        assert sink.has(made.run, batches=["batch_a"])


def test_the_same_program_holds_the_file(database: Path) -> None:
    with Sink.open(database), pytest.raises(DatabaseHeld, match="this program itself"):
        Sink.open(database)


def test_what_is_no_database_says_the_way_out(tmp_path: Path, database: Path) -> None:
    load(database, make(tmp_path))
    whole = bytearray(database.read_bytes())
    whole[4100] ^= 0xFF
    for content in (b"experiment,outcome\n" * 1000, bytes(whole), bytes(whole[:5000])):
        database.write_bytes(content)
        with pytest.raises(SinkError, match="no DuckDB database, or a damaged one") as caught:
            Sink.open(database)
        assert "load --rebuild" in caught.value.hint
        assert database.read_bytes() == content
    database.unlink()
    database.mkdir()
    with pytest.raises(SinkError, match="no DuckDB database"):
        Sink.open(database)


DIE = """
import duckdb, os, signal, sys
con = duckdb.connect(sys.argv[1])
con.execute("CHECKPOINT; CREATE TABLE ghost (x INTEGER); INSERT INTO ghost VALUES (1)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("empty", [False, True])
def test_an_empty_file_and_the_log_of_a_lost_one_are_no_obstacle(tmp_path: Path, database: Path, empty: bool) -> None:
    with python(DIE, database) as child:
        child.communicate("")
    assert database.with_name("results.duckdb.wal").exists()
    database.unlink()
    if empty:
        database.touch()
    load(database, make(tmp_path))
    assert query(database, "SELECT count(*) FROM results") == [(3,)]
    assert query(database, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'ghost'") == [(0,)]


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((SetupError, OSError)):
        Sink.open(tmp_path / "file" / "results.duckdb")


@pytest.mark.parametrize("name", ["data.duckdb", "DATA.db", "data"])
def test_a_name_under_which_views_could_not_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="cannot be called"):
        Sink.open(tmp_path / name)
    check_name(tmp_path / "mydata.duckdb")


def test_odd_folders_and_names_work(tmp_path: Path) -> None:
    root = tmp_path / "my 'study' [v2] *x {a,b} k=v"
    made = make(root, "a.b-c-3f9c2a71", experiment="a.b-c")
    database = root / "out put" / "it's.duckdb"
    load(database, made)
    assert query(database, "SELECT Name, content FROM results LIMIT 1") == [("Ada", "answer 1")]
    moved = root / "moved elsewhere.duckdb"
    shutil.move(database, moved)
    assert query(moved, "SELECT count(*) FROM results") == [(3,)]


USERS = """
CREATE TABLE mine AS SELECT 42 AS x; CREATE VIEW my_view AS SELECT outcome FROM results; CREATE SCHEMA other;
CREATE TABLE other.runs AS SELECT 1 AS y; CREATE TABLE data.notes AS SELECT 'keep' AS z;
CREATE INDEX i ON requests (custom_id)
"""


def users_own(database: Path) -> list[object]:
    tables = ("mine", "other.runs", "data.notes")
    return [query(database, f"FROM {table}") for table in tables] + [len(query(database, "FROM my_view"))]


def test_another_layout_is_rebuilt_and_the_users_own_survives(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    other = make(tmp_path, "other-3f9c2a71", experiment="other")
    load(database, made)
    load(database, other)
    with duckdb.connect(str(database)) as con:
        con.execute(USERS)
        con.execute("ALTER TABLE responses ADD COLUMN mine INTEGER")
    with Sink.open(database) as sink:
        assert not sink.has(made.run, batches=["batch_a"])
        with pytest.raises(SinkError, match="another version of batchflow"):
            sink.set_run(made.row())
        assert sink.begin(made.plan, made.folder) is True
        assert sink.loaded(other.run) is None
        assert sink.begin(other.plan, other.folder) is False
        for run in (made, other):
            sink.load_shard(run.run, batch(), Rest(run.answers([1, 2, 3]), NOBODY))
            sink.set_run(run.row())
        sink.refresh()
    assert users_own(database) == [[(42,)], [(1,)], [("keep",)], 6]
    load(database, made)
    assert users_own(database)[0] == [(42,)]


def test_an_older_version_number_is_another_layout(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    load(database, made)
    with duckdb.connect(str(database)) as con:
        con.execute("COMMENT ON TABLE batches IS 'batchflow layout 0: x'")
    with Sink.open(database) as sink:
        assert layout.survey(sink._store) is layout.Layout.OTHER
        assert sink.begin(made.plan, made.folder) is True
        assert layout.survey(sink._store) is layout.Layout.CURRENT


@pytest.mark.parametrize("lost", ["VIEW results", "TABLE runs"])
def test_a_table_that_the_user_dropped_is_made_again(tmp_path: Path, database: Path, lost: str) -> None:
    made = make(tmp_path)
    load(database, made)
    with duckdb.connect(str(database)) as con:
        con.execute(f"DROP {lost}")
    with Sink.open(database) as sink:
        assert not sink.has(made.run, batches=["batch_a"])
    load(database, made)
    assert query(database, "SELECT count(*) FROM results") == [(3,)]


@pytest.mark.parametrize(
    "taken",
    ["TABLE runs AS SELECT 1 AS x", "VIEW Results AS SELECT 1 AS x", 'TABLE data."study-3f9c2a71" AS SELECT 1 AS x'],
)
def test_the_users_own_things_under_our_names_are_not_touched(tmp_path: Path, database: Path, taken: str) -> None:
    made = make(tmp_path)
    with duckdb.connect(str(database)) as con:
        con.execute(f"CREATE SCHEMA data; CREATE {taken}")
    with Sink.open(database) as sink, pytest.raises(SinkError, match="batchflow did not make"):
        sink.begin(made.plan, made.folder)
    name = taken.split(" AS ", maxsplit=1)[0].split(" ", 1)[1]
    assert query(database, f"FROM {name}") == [(1,)]
    assert query(database, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'requests'") == [(0,)]


def test_a_map_that_does_not_fit_its_manifest_is_refused_whole(tmp_path: Path, database: Path) -> None:
    made = make(tmp_path)
    other = make(tmp_path / "elsewhere", rows=[{"A": "x"}])
    shutil.copy(other.folder.map(1), made.folder.map(1))
    with Sink.open(database) as sink:
        with pytest.raises(SinkError, match="hold 1 requests, the run's manifest says 3"):
            sink.begin(made.plan, made.folder)
        assert layout.survey(sink._store) is layout.Layout.NONE


CRASH = """
import sys
from pathlib import Path
from batchflow.sinks.duckdb import Rest, Sink
from tests.unit.sinks.made import Made, batch, answer
from batchflow.plan.folder import RunFolder
database, run, text = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def answers():
    for row in range(1, 4001):
        yield answer(f"{row:07d}-1-1-3f9c2a71", text * 500)
with Sink.open(database) as sink:
    sink.load_shard(run, batch(), Rest(answers(), {}))
"""


@pytest.mark.parametrize(("window", "text"), [("load.before-commit", "old"), ("load.after-commit", "new")])
def test_killed_around_the_commit(tmp_path: Path, database: Path, window: str, text: str) -> None:
    made = make(tmp_path, rows=[{"A": "x"}] * 4000)
    with Sink.open(database) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(), Rest([answer(made.id(row), "old") for row in range(1, 4001)], NOBODY))
        sink.set_run(made.row())
        sink.refresh()
    with python(CRASH, database, made.run, "new", BATCHFLOW_FAILPOINT=window) as child:
        child.communicate("")
    assert child.returncode == -9
    assert query(database, "SELECT count(*), min(content[:3]), max(content[:3]) FROM results") == [(4000, text, text)]
    with Sink.open(database) as sink:
        assert sink.account(made.run) == ({"answered": 4000}, {})
        assert sink.has(made.run, batches=["batch_a"]) is (text == "old"), "set_run did not come after the new load"


def test_killed_while_the_file_is_made(database: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from batchflow import files
from batchflow.sinks.connection import open_for_writing
files.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
open_for_writing(Path(sys.argv[1]))
"""
    with python(code, database) as child:
        child.communicate("")
    assert child.returncode == -9
    assert not database.exists()
    open_for_writing(database).close()
    assert database.exists()


def test_what_a_provider_echoes_of_a_secret_is_not_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_API_KEY", "12345678")
    made, path = make(tmp_path), tmp_path / "results.duckdb"
    said = "no: 12345678, sk-proj-abcdefgh"
    body = '{"number":12345678,"12345678":["a 12345678 b"],"sk-proj-abcdefgh":null}'
    rows = [
        ResponseRow(
            made.id(row),
            "error",
            401,
            said,
            said,
            said,
            said,
            said,
            said,
            said,
            body=body if row == 1 else "12345678 {",
        )
        for row in (1, 2)
    ]
    plain = answer(made.id(3), "sk-learn-pipelines are no key")
    with Sink.open(path) as sink:
        sink.begin(made.plan, made.folder)
        sink.load_shard(made.run, batch(status=said), Rest([*rows, plain], {}))
        sink.set_run(made.row())
    words, heard = "no: [redacted], [redacted]", "no: [redacted], sk-proj-abcdefgh"
    select = "SELECT error_code, error_message, content, refusal, finish_reason, model_answered, system_fingerprint"
    assert (
        query(path, f"{select} FROM responses ORDER BY custom_id LIMIT 2")
        == [(words, words, heard, heard, words, words, words)] * 2
    )
    assert query(path, "SELECT content, body::VARCHAR FROM responses ORDER BY custom_id") == [
        (heard, '{"number":"[redacted]","[redacted]":["a [redacted] b"],"sk-proj-abcdefgh":null}'),
        (heard, '"[redacted] {"'),
        ("sk-learn-pipelines are no key", None),
    ]
    assert query(path, "SELECT status FROM batches") == [(words,)]
