"""`make crash`: the full matrix, one line a case, and a total."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.crash.cases import carry_out, combinations, failpoint_cases, random_case
from tests.crash.server_cases import alternating_case, server_case
from tests.zygote import Zygote

Run = Callable[[Path, Zygote], str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    jobs: list[tuple[str, Run]] = []
    for kind, cases in (("failpoint", failpoint_cases()), ("combination", combinations())):
        jobs += [(f"{kind} {case.name}", lambda f, z, case=case: carry_out(case, f, z)) for case in cases]  # type: ignore[misc]
    seeds = range(options.first, options.first + options.seeds)
    jobs += [(f"seed {seed}", lambda f, z, seed=seed: random_case(seed, f, z)) for seed in seeds]  # type: ignore[misc]
    few = range(options.first, options.first + max(1, options.seeds // 10))
    jobs += [(f"server {seed}", lambda f, _, seed=seed: server_case(seed, f)) for seed in few]  # type: ignore[misc]
    jobs += [(f"by turns {seed}", lambda f, z, seed=seed: alternating_case(seed, f, z)) for seed in few]  # type: ignore[misc]
    jobs = [job for job in jobs if options.only in job[0]]
    return _all(jobs, options.workers)


def _all(jobs: list[tuple[str, Run]], workers: int) -> int:
    zygotes: SimpleQueue[Zygote] = SimpleQueue()
    started = [Zygote() for _ in range(workers)]
    for zygote in started:
        zygotes.put(zygote)

    def one(job: tuple[str, Run]) -> bool:
        name, run = job
        zygote = zygotes.get()
        try:
            with tempfile.TemporaryDirectory() as folder:
                line = run(Path(folder), zygote)
            print(f"ok    {name}: {line}", flush=True)
        except Exception as error:
            print(f"FAIL  {name}: {error}", flush=True)
            return False
        finally:
            zygotes.put(zygote)
        return True

    with ThreadPoolExecutor(workers) as pool:
        passed = sum(pool.map(one, jobs))
    for zygote in started:
        zygote.close()
    print(f"\n{passed} passed, {len(jobs) - passed} failed", flush=True)
    return int(passed != len(jobs))


if __name__ == "__main__":
    sys.exit(main())
