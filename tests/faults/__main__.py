"""`make faults`: the whole matrix, one line a case, written into docs/reference/faults.md."""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.faults.cases import CASES, Case
from tests.faults.matrix import Verdict, carry_out, rewrite
from tests.zygote import Zygote


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="part of a case's name; the page is not written then")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in case.name]
    zygotes: SimpleQueue[Zygote] = SimpleQueue()
    started = [Zygote() for _ in range(options.workers)]
    for zygote in started:
        zygotes.put(zygote)

    def one(case: Case) -> Verdict | None:
        zygote = zygotes.get()
        try:
            with tempfile.TemporaryDirectory() as folder:
                verdict = carry_out(case, Path(folder), zygote)
        except Exception as error:
            print(f"FAIL  {case.name}: {error!r}", flush=True)
            return None
        finally:
            zygotes.put(zygote)
        print(verdict.row(), end="", flush=True)
        return verdict

    with ThreadPoolExecutor(options.workers) as pool:
        verdicts = list(pool.map(one, cases))
    for zygote in started:
        zygote.close()
    good = [verdict for verdict in verdicts if verdict is not None]
    print(f"\n{len(good)} of {len(cases)} faults: {sum(one.lost for one in good)} rows lost, ", end="")
    print(f"{sum(one.twice for one in good)} billed twice, all of them lost by the provider", flush=True)
    if len(good) == len(CASES):
        rewrite(good)
    return int(len(good) != len(cases))


if __name__ == "__main__":
    sys.exit(main())
