"""Every format of `results`: seconds and peak memory for two sizes.

python -m benchmarks.export 20000 200000   prints a line for each size and format, and the ratio of the peaks.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.end_to_end import write_study

FORMATS = ("csv", "json", "jsonl", "parquet")
LIMIT = 1.25
PROGRAM = [sys.executable, "-m", "batchflow"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def measure(folder: Path, form: str) -> tuple[float, int]:
    """Seconds, and the peak of memory in kB."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*PROGRAM, "results", ".", "--output", f"out.{form}"], cwd=folder, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.monotonic() - began, usage.ru_maxrss


def peaks(rows: int) -> dict[str, int]:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder, rows)
        subprocess.run([*PROGRAM, "run", "."], cwd=folder, check=True, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        for form in FORMATS:
            seconds, found[form] = measure(folder, form)
            size = (folder / f"out.{form}").stat().st_size / 1e6
            line = f"{rows:>9,} rows, {form:7}: {seconds:6.1f} s, {found[form] / 1000:6.1f} MB, a file of {size:.1f} MB"
            print(line, flush=True)
    return found


def main() -> int:
    sizes = [int(size) for size in sys.argv[1:]] or [20_000, 200_000]
    measured = [peaks(rows) for rows in sizes]
    first, last = measured[0], measured[-1]
    ratios = {form: last[form] / first[form] for form in FORMATS}
    for form, ratio in ratios.items():
        print(f"peak memory of {form}, {sizes[-1]:,} rows / {sizes[0]:,} rows: {ratio:.2f} (limit {LIMIT})")
    return int(max(ratios.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
