"""The append-only truth of a run: its format, its file, and the state that is folded from it."""
