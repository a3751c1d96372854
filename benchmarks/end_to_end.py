"""Rows end to end on the local provider: seconds, and the peak memory of runner and server.

python -m benchmarks.end_to_end 10000 100000   prints a line for each size and the ratio of the peaks.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SPEC = """\
version: 1
name: bench
data: {source: rows.csv, id: id}
prompt: {system: "You are: {{persona}}", user: "Which of 'kawaii', 'cubs' and 'futuristic' do you prefer, and why?"}
parameters: {model: gpt-4o}
provider: local
"""
NASTY = ['"quoted, with commas"', '"two\nlines"', "ümläute ☃ 𝄞", '"say ""hi"" \\ back"']


def write_study(folder: Path, rows: int) -> None:
    """Deterministic rows, 3 % of them nasty."""
    (folder / "experiment.yaml").write_text(SPEC)
    with (folder / "rows.csv").open("w", encoding="utf-8") as table:
        table.write("id,persona,age\n")
        for number in range(rows):
            persona = f"person {number}, {20 + number % 60} years old who enjoys topic {number % 977}"
            cell = NASTY[number % len(NASTY)] if number % 100 < 3 else f'"{persona}"'
            table.write(f"{number},{cell},{20 + number % 60}\n")


def peak_kb(pid: int) -> int:
    """VmHWM of a process in kB; 0 once it is gone (Linux)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def measure(rows: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder, rows)
        peaks = {"runner": 0, "server": 0}
        ended = threading.Event()
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "batchflow", "run", "experiment.yaml", "--json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        ) as runner:

            def watch() -> None:
                while not ended.wait(0.1):
                    peaks["runner"] = max(peaks["runner"], peak_kb(runner.pid))
                    for info in folder.glob("runs/*/server/server.json"):
                        try:
                            pid = int(json.loads(info.read_bytes())["pid"])
                        except (OSError, ValueError, KeyError):
                            continue
                        peaks["server"] = max(peaks["server"], peak_kb(pid))

            watcher = threading.Thread(target=watch)
            watcher.start()
            output, _ = runner.communicate()
            ended.set()
            watcher.join()
        record = json.loads(output)
        assert record["requests"]["answered"] == rows, record
        seconds = time.monotonic() - began
    print(
        f"{rows:>9,} rows: {seconds:7.1f} s, runner {peaks['runner'] / 1000:6.1f} MB, "
        f"server {peaks['server'] / 1000:6.1f} MB, {record['batches']} batches",
        flush=True,
    )
    return {"seconds": seconds, **peaks}


def main() -> int:
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 100_000]
    measured = [measure(rows) for rows in sizes]
    first, last = measured[0], measured[-1]
    ratios = {name: last[name] / first[name] for name in ("runner", "server")}
    limit = 1.25
    for name, ratio in ratios.items():
        print(f"peak memory of the {name}, {sizes[-1]:,} rows / {sizes[0]:,} rows: {ratio:.2f} (limit {limit})")
    return int(max(ratios.values()) > limit)


if __name__ == "__main__":
    sys.exit(main())
