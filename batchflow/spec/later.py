"""What the design promises and this version does not do yet: refused by name with a way out, never ignored."""

from typing import Final

NOT_YET: Final = "is not supported yet"

# the mapping's path -> key -> what to do instead
KEYS: Final[dict[tuple[str, ...], dict[str, str]]] = {
    (): {
        "stages": "remove it; run one experiment after the other",
    },
    ("retry",): {"outcomes": "remove it: expired, cancelled, missing and overloaded requests are tried again"},
}

_AS_CSV: Final = "save the table as CSV (UTF-8) and name that file"
SOURCES: Final[dict[str, str]] = {
    **dict.fromkeys((".sas7bdat", ".rds"), f"{_AS_CSV}: R `write.csv`"),
    ".json": "write one object per line: jq -c '.[]' table.json > table.jsonl; then name that file",
    **dict.fromkeys((".feather", ".arrow"), f"{_AS_CSV}, or save it as Parquet"),
    **dict.fromkeys((".gz", ".zip", ".zst", ".bz2", ".xz"), "unpack the file and name the table inside"),
}
