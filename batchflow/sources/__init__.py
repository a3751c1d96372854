"""Any table to rows.parquet, and the run folder's own tables; the only room beside sinks that knows DuckDB."""
