"""The experiment file: YAML to a checked Experiment, every fault with its place."""
