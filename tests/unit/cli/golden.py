"""Golden texts of the command line: compared word for word, but for what no two runs share."""

import os
import re
from pathlib import Path

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"
# a terminal of 80 columns, a machine without a key
QUIET = {"COLUMNS": "80", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", "NO_COLOR": "", "BATCHFLOW_DEBUG": ""}

_VOLATILE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>"),
    (r"batch_[0-9a-f]{32}", f"batch_{'x' * 32}"),
    (r'("expires_at": )\d{10}(\.\d+)?', r'\1"<moment>"'),
    (r"genai-prices [\d.]+", "genai-prices <version>"),
    (r'("as_of": "|, of )\d{4}-\d\d-\d\d', r"\1<day>"),
    (r"held by \S+ \(process \d+\)", "held by <program> (process <pid>)"),
)


def masked(text: str, folder: Path) -> str:
    """The text without times, ids of the provider, process numbers and the temporary folder."""
    text = text.replace(str(folder.resolve()), "<folder>").replace(str(folder), "<folder>")
    for pattern, word in _VOLATILE:
        text = re.sub(pattern, word, text)
    return text


def check(name: str, text: str) -> None:
    """Compare with the golden file; BATCHFLOW_UPDATE_GOLDEN=1 writes it anew: read the diff."""
    path = GOLDEN / name
    if os.environ.get("BATCHFLOW_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
