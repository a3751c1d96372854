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
SampleOption = Annotated[
    int | None, typer.Option("--sample", metavar="N", min=1, help="A pilot: ask N rows, drawn by a hash of their ids.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="With a sample: another seed, other rows.")]
IdsOption = Annotated[
    Path | None, typer.Option("--ids", metavar="FILE", help="Ask only the rows with these ids: one in each line.")
]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", metavar="SQL", help="Ask only rows for which this is true: \"country = 'DE'\"."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
