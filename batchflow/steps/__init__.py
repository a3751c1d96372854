"""The moves of a run: build, upload, start, poll, collect, load. Each says what repeating it costs."""
