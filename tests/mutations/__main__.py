"""`make mutate`: apply each patch of this folder to a copy of the tree; the tests that its header names must then fail.

A patch begins with `# what it breaks` and `# killed by: <pytest arguments>`; the rest is a unified diff.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MARK = "# killed by: "
SKIPPED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".hypothesis", ".mypy_cache", ".ruff_cache", "runs")
FAILED = 1  # pytest's status for "some tests failed"; anything else is no kill


def main() -> int:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    patches = [patch for patch in sorted(HERE.glob("*.patch")) if only in patch.name]
    killed = sum(one(patch) for patch in patches)
    print(f"\n{killed} passed, {len(patches) - killed} failed")
    return int(killed != len(patches) or not patches)


def one(patch: Path) -> bool:
    lines = patch.read_text().splitlines()
    tests = shlex.split(next(line.removeprefix(MARK) for line in lines if line.startswith(MARK)))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=SKIPPED)
        clean = run(copy, tests)
        applied = subprocess.run(["patch", "-p1", "-s", "-i", str(patch)], cwd=copy, check=False)
        mutated = run(copy, tests)
    killed = clean == 0 and applied.returncode == 0 and mutated == FAILED
    verdict = "killed  " if killed else f"SURVIVED (clean {clean}, patch {applied.returncode}, mutated {mutated})"
    print(f"{verdict}  {patch.stem}: {lines[0].removeprefix('# ')}", flush=True)
    return killed


def run(copy: Path, tests: list[str]) -> int:
    """The status of these tests on the copy, whose package comes before any installed one."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "120", *tests]
    env = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
