"""What the server is told before it begins: what cannot be meant is refused in plain words."""

from pathlib import Path

import pytest

from batchflow.errors import SetupError, UsageError
from batchflow.server.pace import CHUNK, Pace
from batchflow.server.process import ServeOptions
from batchflow.server.store import Store


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_speed_that_no_calendar_holds(speed: float) -> None:
    with pytest.raises(UsageError, match="--speed"):
        ServeOptions(speed=speed).check()


@pytest.mark.parametrize("rows", [1e-300, 1e308, float("inf")])
def test_any_number_of_rows_per_second_has_a_chunk(rows: float) -> None:
    ServeOptions(rows_per_second=rows).check()
    assert 1 <= Pace(0.3, rows, speed=1000).chunk <= CHUNK


def test_a_store_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "batches.sqlite").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(SetupError, match="cannot be used: file is not a database"):
        Store(tmp_path)
