"""How every DuckDB of ours is set."""

from pathlib import Path

from batchflow.sinks.duckdb import Sink
from batchflow.sources.database import SETTINGS, connection


def test_settings_hold_in_both_rooms(tmp_path: Path) -> None:
    names = ", ".join(f"current_setting('{name}')" for name in SETTINGS)
    with connection() as database:
        assert database.execute(f"SELECT {names}").fetchall() == [tuple(SETTINGS.values())]
    with Sink.open(tmp_path / "results.duckdb") as sink:
        assert sink._store.rows(f"SELECT {names}") == [tuple(SETTINGS.values())]
