"""`python -m batchflow.server`: what the runner starts; the same options as `batchflow serve`, without its imports."""

import argparse
import sys
from pathlib import Path

from batchflow.errors import BatchflowError, escape_controls
from batchflow.server.process import DEFAULT_DELAY, DEFAULT_HOST, DEFAULT_ROWS_PER_SECOND, ServeOptions, serve
from batchflow.server.responder import RESPONDER, RESPONDERS
from batchflow.server.responding import RESPONDING_OPTIONS, Responding


def _options(arguments: list[str] | None) -> ServeOptions:
    parser = argparse.ArgumentParser(
        prog="python -m batchflow.server", description="A local Batch API with SIMULATED or replayed answers."
    )
    parser.add_argument("--store", type=Path, help="folder that keeps files and batches (default: a temporary one)")
    parser.add_argument(
        "--host", default=DEFAULT_HOST, help="address to listen on; one that other machines reach needs a key"
    )
    parser.add_argument("--port", type=int, default=0, help="0 = a free one")
    parser.add_argument("--info", type=Path, help="file to write port, pid, token and base URL to, once it answers")
    parser.add_argument("--idle", type=float, help="seconds without a request after which it ends")
    parser.add_argument("--faults", type=Path, help="YAML or JSON file of faults to commit")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other answers")
    parser.add_argument("--delay", type=float, default=DEFAULT_DELAY, help="seconds that a batch takes at least")
    parser.add_argument(
        "--rows-per-second", type=float, default=DEFAULT_ROWS_PER_SECOND, help="the most rows executed per second"
    )
    parser.add_argument("--audit", type=Path, help="file to write the audit to at the end")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast the server's clock runs")
    parser.add_argument("--latency", help="time a batch takes, drawn from the seed: 5s..20m")
    parser.add_argument("--responder", default=RESPONDER, help=f"who answers: {' or '.join(RESPONDERS)}")
    parser.add_argument(
        "--replay", action="append", default=[], help="a run's folder, or REQUESTS.jsonl=RESPONSES.jsonl; repeatable"
    )
    parser.add_argument("--refusals", type=float, default=0.0, help="share of simulated answers that are refusals")
    parser.add_argument("--truncations", type=float, default=0.0, help="share of simulated answers that are cut off")
    told = vars(parser.parse_args(arguments))
    told["replay"] = tuple(told["replay"])
    return ServeOptions(responding=Responding(**{name: told.pop(name) for name in RESPONDING_OPTIONS}), **told)


def main(arguments: list[str] | None = None) -> int:
    """Serve; returns the exit status."""
    try:
        serve(_options(arguments))
    except BatchflowError as error:
        sys.stderr.write(escape_controls(error.text()) + "\n")
        return int(error.exit_status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
