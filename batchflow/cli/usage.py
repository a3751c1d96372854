"""What is told where the words of a command line cannot be understood."""

import sys
from typing import Any

import typer

from batchflow.cli import render
from batchflow.errors import UsageError

_HELP = "NoArgsIsHelpError"  # typer keeps the class to itself


def is_help(error: typer.TyperException) -> bool:
    """Whether the error is the help of a group of commands that was given none."""
    return type(error).__name__ == _HELP


def in_our_words(error: typer.TyperException) -> UsageError:
    """The error with a hint at what was probably meant."""
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "batchflow")
    commands = getattr(getattr(context, "command", None), "commands", {})
    words = sys.argv[1:]
    hint = _moved(path, commands, words) or f"`{path} --help` shows what it takes"
    return UsageError(error.format_message(), hint=hint)


def _moved(path: str, commands: dict[str, Any], words: list[str]) -> str:
    """The hint where a tool was named without its group, or an option before its command; else empty."""
    if not commands or not words:
        return ""
    for group, command in commands.items():
        if words[0] in getattr(command, "commands", {}):
            return f"did you mean `{render.command(group, *words)}`?"
    named = next((word for word in words if word in commands), None)
    option = next((word for word in words if word.startswith("-")), None)
    if named and option and words.index(option) < words.index(named):
        return f"options stand behind the command: `{path} {named} … {option.partition('=')[0]} …`"
    return ""
