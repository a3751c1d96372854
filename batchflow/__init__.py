"""Ask an LLM about every row of a table through a Batch API: declared in YAML, resumable, bought once."""

__version__ = "0.1.0"
