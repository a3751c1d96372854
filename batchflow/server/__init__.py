"""The local Batch API: another program in the same package, with simulated answers."""
