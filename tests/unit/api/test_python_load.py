"""`batchflow.load`: which results it gives, as what, and how long it holds the database."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import batchflow
from batchflow.errors import BatchflowError, DatabaseHeld, SetupError, SinkError, UsageError
from batchflow.sinks import handle
from batchflow.sinks.duckdb import Rest, Sink
from tests.unit.cli.golden import QUIET
from tests.unit.cli.test_cli_errors import run_folder, write_study
from tests.unit.sinks.made import Made, answer, batch, make
from tests.unit.sinks.test_sink_answers import FULL, KINDS, load, typed
from tests.zygote import Zygote


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Typed answers of every kind: full, invalid, empty."""
    load(tmp_path / "results.duckdb", typed(make(tmp_path)), FULL, None, (None,) * len(KINDS))
    return tmp_path / "results.duckdb"


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Made]:
    """Two runs of an experiment, the second is the current one."""
    path = tmp_path / "results.duckdb"
    before = make(tmp_path, simulated=True)
    after = make(tmp_path, "study-3f9c2a71-2", rows=[{"Else": "x"}], created_at="2026-12-01T00:00:00.000Z")
    with Sink.open(path) as sink:
        for made in (before, after):
            sink.begin(made.plan, made.folder)
            sink.set_run(made.row())
        sink.load_shard(before.run, batch(), Rest([answer(before.id(row), f"no. {row}") for row in (3, 1, 2)], {}))
        sink.refresh()
    return path, before


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    folder = tmp_path_factory.mktemp("loaded")
    write_study(folder)
    assert zygote.run(folder, ["run", "experiment.yaml"], QUIET).status == 0
    return folder


@pytest.fixture
def writable() -> Callable[[Path], None]:
    def check(path: Path) -> None:
        """Another process may open it for writing."""
        code = f"import duckdb; duckdb.connect({str(path)!r}).execute('SELECT 1')"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    return check


@pytest.mark.parametrize("named", ["experiment.yaml", ".", "run", "results.duckdb"])
def test_what_names_a_run(named: str, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_folder(study)
    path = run if named == "run" else study / named
    with batchflow.load(path) as results:
        assert results.results.columns[:2] == ["experiment", "run_id"]
        rows = results.sql("SELECT DISTINCT run_id FROM results").fetchall()
    assert rows == [(run.name,)]
    assert results.simulated
    assert repr(results).endswith(", SIMULATED>")
    monkeypatch.chdir(study)
    assert batchflow.load(str(path)).run == (None if named == "results.duckdb" else run.name)


def test_values_have_their_types_everywhere(nested: Path) -> None:
    results = batchflow.load(nested)
    assert results.sql('SELECT score, tags, "at" FROM results').fetchall()[0] == (FULL[1], FULL[4], FULL[5])
    frame: Any = results.df()
    assert list(frame["row_number"]) == [1, 2, 3]
    assert frame["rate"].dtype.kind == "f"
    assert frame["at"][0]["lat"] == 1.5
    polars = results.pl()
    assert polars.schema["score"] == pl.Int64()
    assert polars.schema["tags"] == pl.List(pl.String)
    assert polars["score"].to_list() == [FULL[1], None, None]
    table = results.arrow()
    assert isinstance(table, pa.Table)
    assert table.schema.field("sure").type == pa.bool_()
    assert table.column("tags").to_pylist() == [FULL[4], None, None]


def test_another_run_is_chosen_by_name(two: tuple[Path, Made]) -> None:
    path, before = two
    assert batchflow.load(path).sql("SELECT run_id FROM results").fetchall() == [("study-3f9c2a71-2",)]
    results = batchflow.load(path, run=before.run)
    assert results.sql("FROM results SELECT content").fetchall() == [("no. 1",), ("no. 2",), ("no. 3",)]
    assert list(results.pl()["Name"]) == ["Ada", "Bob", "Cem"]
    assert results.sql("SELECT count(*) FROM results_all").fetchall() == [(4,)]
    assert (results.simulated, batchflow.load(path).simulated) == (True, False)
    with pytest.raises(SetupError, match="does not hold the run nothing") as caught:
        batchflow.load(path, run="nothing")
    assert caught.value.__notes__ == [f"hint: {caught.value.hint}"]
    assert f"it holds {before.run}, study-3f9c2a71-2" in caught.value.hint


def test_frames_hold_nothing_and_relations_until_closed(nested: Path, writable: Callable[[Path], None]) -> None:
    results = batchflow.load(nested)
    writable(nested)
    results.df()
    results.pl()
    results.arrow()
    writable(nested)
    relation = results.results
    with pytest.raises(subprocess.CalledProcessError):
        writable(nested)
    assert batchflow.load(nested).pl().height == 3  # readers beside each other
    assert results.df().shape[0] == len(relation.fetchall()) == 3
    results.close()
    results.close()
    writable(nested)
    with pytest.raises(duckdb.Error):
        relation.fetchall()
    assert results.sql("SELECT 1").fetchall() == [(1,)]  # opened again
    results.close()


def test_a_relation_outlives_a_handle_that_nobody_has(nested: Path) -> None:
    relation = batchflow.load(nested).results
    assert len(relation.fetchall()) == 3


def test_results_are_read_only(nested: Path, tmp_path: Path) -> None:
    results = batchflow.load(nested)
    content = nested.read_bytes()
    for query in (
        "DELETE FROM responses", "DROP TABLE runs", f"COPY results TO '{tmp_path}/x.csv'", "SELECT 1; SELECT 2", "",
        "DELETE FROM responses RETURNING custom_id", "CREATE TABLE a AS SELECT 1", "SET threads = 1",
    ):  # fmt: skip
        with pytest.raises(UsageError, match="this is not one query"):
            results.sql(query)
    with pytest.raises(duckdb.CatalogException, match="nowhere"):
        results.sql("SELECT * FROM nowhere")
    with results, pytest.raises(duckdb.Error):
        results.results.insert([1])
    assert nested.read_bytes() == content
    assert not (tmp_path / "x.csv").exists()


def test_a_missing_library_is_named_with_its_extra(nested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "find_spec", lambda _name: None)
    results = batchflow.load(nested)
    calls: dict[Callable[[], object], str] = {
        results.df: ".df() needs pandas, which",
        results.pl: ".pl() needs polars and pyarrow, which",
        results.arrow: ".arrow() needs pyarrow, which",
    }
    for call, told in calls.items():
        with pytest.raises(SetupError) as caught:
            call()
        assert told in str(caught.value)
        assert caught.value.__notes__ == ["hint: install it: pip install 'batchflow-llm[frames]'"]
    assert results.sql("SELECT 1").fetchall() == [(1,)]  # needs none of them


def test_what_there_is_not_is_said(nested: Path, tmp_path: Path) -> None:
    cases: dict[Path, type[BatchflowError]] = {
        tmp_path / "absent.duckdb": UsageError,
        tmp_path / "absent": UsageError,
        tmp_path / "no.db": SinkError,
        tmp_path / "other.duckdb": SetupError,
    }
    (tmp_path / "no.db").write_bytes(b"no database " * 99)
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    for path, kind in cases.items():
        with pytest.raises(kind) as caught:
            batchflow.load(path)
        assert caught.value.__notes__[0].startswith("hint: "), path
    with Sink.open(nested), pytest.raises(DatabaseHeld):
        batchflow.load(nested)


def test_import_is_instant_and_typed() -> None:
    code = (
        "import sys, batchflow; assert {'load', 'Results'} <= set(dir(batchflow)); "
        "print(sorted(name for name in sys.modules if name.startswith(('batchflow', 'duckdb', 'pydantic', 'pandas'))))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "['batchflow']\n"
    assert (Path(batchflow.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = batchflow.nothing
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", "import batchflow.api"], capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""


def test_loading_imports_no_frames_and_no_network(study: Path) -> None:
    code = (
        "import sys, batchflow\n"
        f"rows = batchflow.load({str(study)!r}).results.fetchall()\n"
        "print(len(rows), [n for n in ('pandas', 'polars', 'pyarrow', 'openai', 'typer') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.endswith(" []\n")
    assert ended.stderr == ""  # nothing is left open
