"""Where the rows come from: what `data:` may say."""

import re
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from batchflow.spec import later
from batchflow.spec.base import KEY, Strict, Text, refuse


class DataSpec(Strict):
    """Where the rows come from."""

    source: Text = Field(
        description="The table, one request per row: a .csv (comma) or .tsv (tab) file in UTF-8 with a header line. "
        "A relative path starts at the folder of this file.",
        examples=["personas.csv"],
    )
    id: Text | None = Field(
        default=None,
        description="The column whose values name the rows for ever, each value once. Without it the row number is the "
        "id: then do not insert or re-order rows later.",
        examples=["ID"],
    )
    missing: Literal["error", "empty"] = Field(
        default="error",
        description="What to do with an empty cell of a column that the prompt uses: stop and name the rows (error), "
        "or ask with an empty text (empty).",
        examples=["empty"],
    )

    @field_validator("source")
    @classmethod
    def _readable_source(cls, source: str) -> str:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
            raise refuse(f"{KEY}: an address as source {later.NOT_YET}", "download the table and name the file")
        if "*" in source:
            raise refuse(f"{KEY}: a pattern for several files {later.NOT_YET}", "join the files into one CSV file")
        suffix = PurePosixPath(source).suffix.lower()
        if suffix in later.SOURCES:
            raise refuse(f"{KEY}: a {suffix} file {later.NOT_YET} as source", later.SOURCES[suffix])
        if suffix not in {".csv", ".tsv", ".tab"}:
            raise refuse(
                f"{KEY}: the name of the table must end in .csv (columns separated by commas) or .tsv (by tabs)",
                "rename the file accordingly, or save it as CSV (UTF-8)",
            )
        return source
