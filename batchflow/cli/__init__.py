"""The command line: one file per command, texts for people on stderr, data on stdout."""
