"""Arguments and options that several commands have, worded once."""

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[
    str, typer.Argument(metavar="HOST", help="A host of the lab, or the one behind --socket.")
]
Name = Annotated[str | None, typer.Option("--name", help="Which lab, where there are several.")]
Socket = Annotated[
    Path | None, typer.Option("--socket", help="The agent's control socket, where no lab runs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
