"""The study of the Kellogg deck: its table with blanks after commas, its template with one slot."""

import json
from pathlib import Path

from batchflow.prompts.compile import compile_template
from batchflow.prompts.document import read_json_template
from batchflow.sources.delimited import import_rows, inspect
from batchflow.sources.rows import Rows

STUDY = Path(__file__).parents[3] / "projects" / "image-appeal"


def test_the_deck_renders(tmp_path: Path) -> None:
    reading = inspect(STUDY / "personas.csv", "personas.csv")
    names = [column.name for column in reading.columns]
    assert (names, reading.drop_blank) == (["ID", "Age", "College", "Description"], True)
    template = compile_template(read_json_template(STUDY / "prompt.json", "prompt.json"), names)
    assert (template.columns, template.model) == (("Description",), "gpt-4o")
    target = tmp_path / "rows.parquet"
    done = import_rows(
        STUDY / "personas.csv",
        reading,
        id_column="ID",
        required=template.columns,
        missing="error",
        target=target,
        shown="",
    )
    (chunk,) = Rows(target).chunks(names)
    assert done.rows == chunk.count == 26
    assert chunk.columns["Age"][:2] == ["28", "45"]
    body = json.loads(template.render(chunk.columns, chunk.count)[14])
    assert (
        "Sam Banana is a 28 year old caucasian artist who enjoys Star Wars."
        in body["messages"][0]["content"][0]["text"]
    )
    assert list(body) == list(json.loads((STUDY / "prompt.json").read_text(encoding="utf-8")))
