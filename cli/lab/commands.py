"""`ayatori lab`: the commands of the lab and their options; what they do lies beside.

Each imports what it needs when it runs: `lab exec` must start quickly.
"""

# ruff: noqa: PLC0415 - see above

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CommandError, ExitStatus
from cli.options import AsJson, Name

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Build a virtual network of namespaces on this machine.",
)


@app.command()
def up(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Topology document with a lab section.")
    ],
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The store, `zookeeper` for a server of the lab's own; a file if left out.",
        ),
    ] = None,
    datapath: Annotated[str | None, typer.Option(help="soft, kernel or auto.")] = None,
    name: Name = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for agents and ports.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Build a lab, or change the running one.

    Returns when every agent is ready and every machine's port is active.
    """
    from cli.lab import show
    from cli.lab.up import Request
    from cli.lab.up import up as build

    with show.progress() as progress:
        report = build(Request(file, name, store, datapath, timeout), progress)
    if as_json:
        typer.echo(json.dumps(show.as_json(report.lab, report.view), indent=2))
    else:
        show.report(report)


@app.command("exec", context_settings={"allow_interspersed_args": False})
def execute(
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="A machine, or a host.")],
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="Command, its arguments.")
    ],
    name: Name = None,
) -> None:
    """Run a command in a machine or host.

    It has this terminal, these files and this folder; its exit status is passed on.
    """
    from cli.lab.execute import execute as become

    words = command[1:] if command[0] == "--" else command
    if not words:
        raise CommandError("lab exec: a command is missing", ExitStatus.USAGE)
    become(name, machine, words)


@app.command()
def status(name: Name = None, as_json: AsJson = False) -> None:
    """Show the running lab's hosts and machines."""
    from cli.lab import show
    from cli.lab.registry import require_lab
    from cli.lab.view import look_once

    lab = require_lab(name)
    view = look_once(lab)
    if as_json:
        typer.echo(json.dumps(show.as_json(lab, view), indent=2))
    else:
        show.tables(lab, view)


@app.command()
def logs(
    host: Annotated[str, typer.Argument(metavar="HOST", help="A host.")],
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="Only so many last lines.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    name: Name = None,
) -> None:
    """Show the log of a host's agent."""
    from cli.lab.logs import read
    from cli.lab.registry import require_lab

    for chunk in read(require_lab(name), host, lines, follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


@app.command()
def down(name: Name = None) -> None:
    """End the lab: nothing of it is left.

    Cleans up after a lab whose keeper was killed, too.
    """
    from cli.lab.down import bring_down

    for ended in bring_down(name):
        typer.echo(f"lab {ended} is down")
