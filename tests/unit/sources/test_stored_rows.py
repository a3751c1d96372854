from pathlib import Path

import pytest

from batchflow.sources.columns import RESULTS_RESERVED, resolve
from batchflow.sources.delimited import import_rows, inspect
from batchflow.sources.rows import Rows

COUNT = 25_000


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    path: Path = tmp_path_factory.mktemp("rows") / "t.csv"
    path.write_text("id,Text\n" + "".join(f"k{n},value {n}\n" for n in range(1, COUNT + 1)))
    target = path.with_name("rows.parquet")
    import_rows(path, inspect(path, "t"), id_column="id", required=(), missing="error", target=target, shown="t")
    return Rows(target)


@pytest.mark.parametrize("size", [1, 999, 10_000, 100_000])
@pytest.mark.parametrize(("first", "last"), [(1, None), (1, 1), (20_470, 20_490), (24_999, 99_999), (7, 6)])
def test_ranges_in_chunks(rows: Rows, size: int, first: int, last: int | None) -> None:
    if size == 1 and last is None:
        last = 100
    numbers = list(range(first, min(last or COUNT, COUNT) + 1))
    chunks = list(rows.chunks(["Text"], first=first, last=last, size=size))
    assert [row_id for chunk in chunks for row_id in chunk.row_ids] == [f"k{n}" for n in numbers]
    assert [text for chunk in chunks for text in chunk.columns["Text"]] == [f"value {n}" for n in numbers]
    assert [chunk.first_row for chunk in chunks] == numbers[::size]
    assert all(0 < chunk.count <= size for chunk in chunks)


def test_what_is_there(rows: Rows) -> None:
    assert (rows.count, rows.columns) == (COUNT, ("id", "Text"))
    (chunk,) = rows.chunks([], last=2)
    assert (chunk.columns, chunk.row_ids) == ({}, ["k1", "k2"])


def test_a_reader_may_stop_early_and_others_read_beside_it(rows: Rows) -> None:
    first, second = rows.chunks(["Text"], size=10), rows.chunks(["id"], size=10)
    assert next(first).first_row == next(second).first_row == 1
    assert next(first).first_row == 11
    first.close()  # type: ignore[attr-defined]
    assert next(second).columns == {"id": [f"k{n}" for n in range(11, 21)]}


def test_long_cells_make_small_chunks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + ("x" * 100_000 + "\n") * 400)
    target = tmp_path / "rows.parquet"
    import_rows(path, inspect(path, "t"), id_column=None, required=(), missing="error", target=target, shown="t")
    chunks = list(Rows(target).chunks(["a"]))
    assert sum(chunk.count for chunk in chunks) == 400
    assert len(chunks) > 1


def test_names() -> None:
    assert resolve(["Content", "x", "X", "data_x", "model"], RESULTS_RESERVED) == [
        "data_Content", "x", "data_X_2", "data_x", "data_model",
    ]  # fmt: skip
    assert resolve(["a"], {"a"}, prefix="answer_") == ["answer_a"]
