import csv
import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from batchflow.errors import DatabaseHeld, SetupError, SinkError
from batchflow.sinks import connection
from batchflow.sinks import reader as sink_reader
from batchflow.sinks.duckdb import Rest, Sink
from batchflow.sinks.formats import Format
from batchflow.sinks.reader import Reader, open_reader
from batchflow.sinks.views import Shape
from tests.unit.sinks.made import Made, Rows, answer, batch, make, query

ROWS: Rows = [{"Name": "Ada", "Note": "a,b"}, {"Name": None, "Note": 'say "hi"\nagain\r'}, {"Name": "", "Note": " #x "}]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path, rows=ROWS, replicates=2)


@pytest.fixture
def database(tmp_path: Path, made: Made) -> Path:
    """Two runs of one experiment; `made` is not the current one."""
    path = tmp_path / "results.duckdb"
    newer = make(tmp_path, f"{made.run}-2", rows=[{"Else": "x"}], created_at="2026-12-01T00:00:00.000Z")
    with Sink.open(path) as sink:
        for one in (made, newer):
            sink.begin(one.plan, one.folder)
            sink.set_run(one.row())
        lines = [answer(made.id(row, again), f"{row}/{again}\0\u2028") for row in (3, 1, 2) for again in (2, 1)]
        sink.load_shard(made.run, batch(), Rest(lines[:-1], {lines[-1].custom_id: "missing"}))
        sink.set_run(made.row("partial"))
        sink.refresh()
    return path


@pytest.fixture
def reader(database: Path) -> Iterator[Reader]:
    with open_reader(database) as opened:
        yield opened


def test_rows_of_a_run_in_input_order(made: Made, database: Path, reader: Reader) -> None:
    names = reader.columns(made.run)
    assert names[8:10] == ["Name", "Note"]
    rows = list(reader.rows(made.run))
    at = [names.index(name) for name in ("row_number", "replicate", "Name", "outcome", "content")]
    assert [tuple(row[position] for position in at) for row in rows] == [
        (1, 1, "Ada", "answered", "1/1\0\u2028"), (1, 2, "Ada", "answered", "1/2\0\u2028"),
        (2, 1, None, "missing", None), (2, 2, None, "answered", "2/2\0\u2028"),
        (3, 1, "", "answered", "3/1\0\u2028"), (3, 2, "", "answered", "3/2\0\u2028"),
    ]  # fmt: skip
    assert list(reader.rows(made.run, limit=2)) == rows[:2]
    reader.close()
    shown = [column[0] for column in query(database, "DESCRIBE results")]
    assert [name for name in names if name not in {"Name", "Note"}] == [name for name in shown if name != "Else"]


@pytest.mark.parametrize("few", [1, 2, 5, 100])
def test_a_few_rows_are_read_first(few: int, made: Made, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_reader, "_FEW_REQUESTS", few)
    in_growing_parts = list(reader.rows(made.run))
    monkeypatch.setattr(sink_reader, "_FEW_REQUESTS", None)
    assert in_growing_parts == list(reader.rows(made.run))
    assert len(in_growing_parts) == 6


def test_the_first_rows_are_as_few_as_their_requests_allow(
    made: Made, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rows with two requests each: with a limit of three requests, one row, or what is long would be too much."""
    whole = list(reader.rows(made.run))
    read: list[int] = []
    real = Reader._part

    def part(self: Reader, shape: Shape, first: int, last: int) -> str:
        read.append(last - first + 1)
        return real(self, shape, first, last)

    monkeypatch.setattr(Reader, "_part", part)
    monkeypatch.setattr(sink_reader, "_FEW_REQUESTS", 3)
    monkeypatch.setattr(sink_reader, "_PART_REQUESTS", 3)
    assert list(reader.rows(made.run)) == whole
    assert read == [1, 1, 1]


def test_a_run_whose_requests_somebody_deleted(database: Path, made: Made) -> None:
    with duckdb.connect(str(database)) as con:
        con.execute("DELETE FROM requests")
    with open_reader(database) as opened:
        assert list(opened.rows(made.run)) == []


def test_what_users_read_from_is_not_used_again(database: Path, made: Made) -> None:
    """A reader that outlives its store keeps the instance, and what it has attached."""
    with open_reader(database):
        pass
    idle = len(connection._idle)
    store = connection.open_for_analysis(database)
    relation = store.connection.sql("FROM requests")
    store.close()
    assert len(connection._idle) == idle
    del relation
    with Sink.open(database) as sink:
        assert sink.loaded(made.run) is not None
    assert len(connection._idle) == max(1, idle)


def test_reading_may_stop_early_and_go_on(made: Made, reader: Reader) -> None:
    rows = reader.rows(made.run)
    first = next(rows)
    assert next(reader.rows(made.run)) == first
    assert len(list(rows)) == 5


def test_csv_keeps_every_value(tmp_path: Path, made: Made, reader: Reader) -> None:
    target = tmp_path / "out's.csv"
    reader.write(made.run, Format.CSV, target)
    content = target.read_bytes()
    stream = io.BytesIO()
    reader.write(made.run, Format.CSV, stream)
    assert stream.getvalue() == content
    records = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert records[0] == reader.columns(made.run)
    expected = [
        ["" if value is None else str(value).replace("False", "false") for value in row]
        for row in reader.rows(made.run)
    ]
    assert records[1:] == expected
    lines = content.split(b"\n")
    assert b',,"say ""hi""' in content, "what is missing stays empty"
    assert b',""," #x ",' in content, "an empty text is a value"
    assert lines[-1] == b""
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


def test_a_run_that_is_not_there(tmp_path: Path, reader: Reader) -> None:
    for call in (
        reader.columns,
        lambda run: list(reader.rows(run)),
        lambda run: reader.write(run, Format.CSV, tmp_path / "x.csv"),
    ):
        with pytest.raises(SetupError, match="does not hold the run nothing-3f9c2a71") as caught:
            call("nothing-3f9c2a71")
        assert "batchflow load nothing-3f9c2a71" in caught.value.hint
    assert not (tmp_path / "x.csv").exists()


def test_no_database_no_results_another_layout(tmp_path: Path, database: Path) -> None:
    with pytest.raises(SetupError, match="no results database"):
        open_reader(tmp_path / "absent.duckdb")
    Sink.open(tmp_path / "new.duckdb").close()
    with pytest.raises(SetupError, match="holds no results yet"):
        open_reader(tmp_path / "new.duckdb")
    with Sink.open(database) as sink:
        sink._store.rows("DROP VIEW results")
    with pytest.raises(SinkError, match="another version"):
        open_reader(database)


def test_a_writer_keeps_readers_out_and_readers_do_not_keep_each_other_out(made: Made, database: Path) -> None:
    with Sink.open(database), pytest.raises(DatabaseHeld):
        open_reader(database)
    with open_reader(database) as reader:
        assert reader.columns(made.run)
        assert query(database.parent / "results.duckdb", "SELECT 1") == [(1,)]
