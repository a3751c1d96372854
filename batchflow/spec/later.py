"""What the design promises and this version does not do yet: refused by name with a way out, never ignored."""

from typing import Final

NOT_YET: Final = "is not supported yet"

_RESPONSES: Final = "remove the line; answers come from /v1/chat/completions, which is what is used without it"

# the mapping's path -> key -> what to do instead
KEYS: Final[dict[tuple[str, ...], dict[str, str]]] = {
    (): {
        "answer": "remove it; put `response_format` under `parameters`, the answers arrive as text in `content`",
        "budget": "remove it; `batchflow plan` shows how many requests would be sent, `run` asks before it sends them",
        "sample": "remove it; to try a few rows, point `data.source` to a smaller file",
        "context": "remove it; put the text into the prompt, or into a column of the data",
        "extract": "remove it; the whole answer is in the column `content` of `results`",
        "stages": "remove it; run one experiment after the other",
    },
    ("data",): {
        "encoding": "remove it and save the file as UTF-8",
        "query": "remove it; prepare the rows in a CSV file",
        "run": "remove it; export with `batchflow results --format csv` and name that file as `source`",
        "sheet": "remove it; save the sheet as a CSV file (UTF-8)",
        "range": "remove it; save the range as a CSV file (UTF-8)",
        "send": "remove it: what leaves the machine is the rendered prompt, so only columns that it names",
    },
    ("retry",): {"outcomes": "remove it: expired, cancelled, missing and overloaded requests are tried again"},
    ("output",): {
        "delete_remote": "remove it; files at the provider stay until you delete them there",
        "expires_after": "remove it; files at the provider stay until you delete them there",
    },
}

ENDPOINTS: Final[dict[str, str]] = {
    "/v1/responses": _RESPONSES,
    "/v1/embeddings": _RESPONSES,
    "/v1/moderations": _RESPONSES,
    "/v1/completions": _RESPONSES,
}

TEMPLATE_SUFFIXES: Final = (".yaml", ".yml")

_AS_CSV: Final = "save the table as CSV (UTF-8) and name that file"
SOURCES: Final[dict[str, str]] = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "in Excel: Save As, CSV UTF-8; then name that file"),
    **dict.fromkeys((".dta", ".sav", ".sas7bdat", ".rds"), f"{_AS_CSV}: Stata `export delimited`, R `write.csv`"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json", ".parquet", ".feather", ".arrow"), _AS_CSV),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db", ".duckdb"), _AS_CSV),
    **dict.fromkeys((".gz", ".zip", ".zst", ".bz2", ".xz"), "unpack the file and name the CSV file inside"),
}
