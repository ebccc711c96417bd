"""`ayatori flows`, `tables`, `devices`, `stats`: what a host's agent holds; `ayatori fault`: chaos.

HOST is a host of the running lab, or the one whose agent's control socket --socket names.
What `--json` prints is described in cli/inspection/answers.py.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
import typer

from cli.inspection import gather, lines
from cli.inspection.agent_socket import agent_socket
from cli.options import AsJson, Host, Name, Socket


def flows(
    host: Host,
    name: Name = None,
    socket: Socket = None,
    tags: Annotated[
        bool, typer.Option("--tags", help="Show what each flow depends on as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the flows that a host's agent has installed: a line each, times in seconds.

    Columns: kind (error, plain, stateful, tunnel), age, time to expiry, packets, bytes, match,
    actions; a flow that drops says why.
    """
    answer = gather.flows(agent_socket(host, name, socket))
    _print(answer, lines.flows(answer, tags=tags), as_json=as_json)


def tables(host: Host, name: Name = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Show a host's tables: its ports, where all ports are, MAC and ARP rows, routes."""
    answer = gather.tables(agent_socket(host, name, socket))
    _print(answer, lines.tables(answer), as_json=as_json)


def devices(host: Host, name: Name = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Show the virtual devices that a host holds: those that a packet has passed there."""
    answer = gather.devices(agent_socket(host, name, socket))
    _print(answer, lines.devices(answer), as_json=as_json)


def stats(host: Host, name: Name = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Show a host's counters since its agent started."""
    answer = gather.stats(agent_socket(host, name, socket))
    _print(answer, lines.stats(answer), as_json=as_json)


def fault(
    host: Host,
    actor: Annotated[
        str,
        typer.Argument(metavar="ACTOR", help="An actor, such as flow-controller or bridge/web."),
    ],
    times: Annotated[
        int, typer.Option("--times", min=1, max=1000, help="How many messages crash it.")
    ] = 1,
    name: Name = None,
    socket: Socket = None,
) -> None:
    """Make the next messages to an actor crash it, to see it mend."""
    agent = agent_socket(host, name, socket)
    agent.fault(gather.actor_called(agent, actor), times)
    messages = "message" if times == 1 else f"{times} messages"
    typer.echo(f"the next {messages} to {actor} on {host} will crash it")


def _print(answer: msgspec.Struct, text: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        for line in text:
            typer.echo(line)
