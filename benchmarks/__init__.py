"""What each path costs, as ratios to a limit that is measured in the same run: `make bench`, `python -m benchmarks`."""
