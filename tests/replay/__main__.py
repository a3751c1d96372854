"""Write the folder of this release: a complete run and a planned one. Run once for each release, then never again."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from batchflow import __version__

HERE = Path(__file__).parent
SPEC = """\
version: 1
name: old
data: {source: rows.csv, id: id}
prompt: {system: "You like {{topic}}", user: "What is your favourite book?"}
parameters: {model: gpt-4o}
provider: local
"""


def main() -> None:
    target = HERE / __version__
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "experiment.yaml").write_text(SPEC)
        (folder / "rows.csv").write_text('id,topic\na,tea\nb,Käse\nc,""\n', encoding="utf-8")
        for command, kind in (("plan", "planned"), ("run", "complete")):
            subprocess.run(
                [sys.executable, "-m", "batchflow", command, "experiment.yaml"],
                cwd=folder,
                check=True,
                env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "GIT_CEILING_DIRECTORIES": name},
            )
            run = next((folder / "runs").glob("old-*"))
            shutil.copytree(run, target / kind, ignore=shutil.ignore_patterns("server", "lock", "progress.json"))


if __name__ == "__main__":
    main()
