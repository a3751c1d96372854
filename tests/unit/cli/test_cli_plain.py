"""Plain words are taken as they are; all others are converted, and refused, by typer."""

from pathlib import Path
from typing import Annotated

import pytest
import typer

from batchflow.cli.plain import PlainCommand

Limit = Annotated[int, typer.Option(min=1)]


def told(words: list[str], cls: type[typer.core.TyperCommand]) -> tuple[int, str]:
    """What a command of every kind of word makes of some, or says of them."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    found: list[str] = []

    @app.command(cls=cls)
    def command(
        path: Path,
        text: str = "none",
        *,
        limit: Limit = 3,
        other: Path | None = None,
        many: list[str] | None = None,
        flag: bool = False,
    ) -> None:
        found.extend(map(repr, (path, text, limit, other, many, flag)))

    try:
        app(words, standalone_mode=False)
    except typer.TyperException as error:
        return error.exit_code, error.format_message()
    return 0, " ".join(found)


@pytest.mark.parametrize(
    "words",
    [
        ["there"],
        ["absent", "a text"],
        ["", ""],
        ["folder", "-", "--limit", "7", "--other", "there", "--flag"],
        ["there/below"],
        ["there", "ümläut\udcff", "--many", "a", "--many", "b"],
        ["there", "--limit", "0"],
        ["there", "--limit", "many"],
        ["loop"],
        [],
    ],
)
def test_words_mean_what_they_mean_to_typer(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert told(words, PlainCommand) == told(words, typer.core.TyperCommand)


def test_a_file_that_may_not_be_read_is_left_to_typer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "closed"
    path.write_text("x")
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    refused = told([str(path)], PlainCommand)
    assert refused == told([str(path)], typer.core.TyperCommand)
    assert "is not readable" in refused[1]
