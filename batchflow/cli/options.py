"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, words on stderr.")]
SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="The experiment file, or its folder.")]
RunnableArgument = Annotated[
    Path,
    typer.Argument(metavar="SPEC|RUN", help="The experiment file or its folder; or a run's folder, to go on with."),
]
RunArgument = Annotated[
    str | None, typer.Argument(metavar="SPEC|RUN", help="An experiment file, a run's id, or a run's folder.")
]
NamedRunArgument = Annotated[
    str, typer.Argument(metavar="SPEC|RUN", help="An experiment file, a run's id, or a run's folder.")
]
ProviderOption = Annotated[
    str | None, typer.Option("--provider", help="Ask this provider instead of the spec's: local or openai.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
