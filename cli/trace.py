"""`ayatori trace`: follow chosen packets, hop by hop where they enter and where tunnels bring them.

HOST is a host of the running lab, or the one whose agent's control socket --socket names.
"""

import ipaddress
import re
import time
from typing import Annotated

import msgspec
import typer

from actors.messages.traces import TraceMatch
from actors.values import IpAddress, IpPrefix, Mac, PortId, parse_mac
from cli.errors import CommandError, ExitStatus
from cli.inspection import gather, trace_records
from cli.inspection.agent_socket import AgentSocket, agent_socket
from cli.inspection.trace_follower import Follower
from cli.options import AsJson, Host, Name, Socket

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Follow packets through the devices of a host, and out of tunnels at others.",
)

_PROTOS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
_ETHERTYPES = {"ipv4": 0x0800, "arp": 0x0806, "ipv6": 0x86DD}
_FOLLOW_INTERVAL = 0.5
"""Seconds between two looks."""


@app.command()
def start(  # noqa: PLR0913, PLR0917 - an option each
    host: Host,
    port: Annotated[
        str | None, typer.Option(help="DEVICE/PORT where they enter; any local port if left out.")
    ] = None,
    src: Annotated[str | None, typer.Option(help="Source address or network, also ARP's.")] = None,
    dst: Annotated[str | None, typer.Option(help="Destination, likewise.")] = None,
    proto: Annotated[
        str | None, typer.Option(help="tcp, udp, icmp, icmp6, sctp or a number.")
    ] = None,
    src_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of TCP, UDP or SCTP.")
    ] = None,
    dst_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Likewise.")] = None,
    src_mac: Annotated[str | None, typer.Option(help="Source MAC address.")] = None,
    dst_mac: Annotated[str | None, typer.Option(help="Destination MAC address.")] = None,
    ethertype: Annotated[
        str | None, typer.Option(help="ipv4, arp, ipv6 or a number, behind VLAN tags.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many packets.")] = 10,
    seconds: Annotated[
        int, typer.Option("--for", min=1, max=3600, help="For how many seconds.")
    ] = 60,
    name: Name = None,
    socket: Socket = None,
) -> None:
    """Follow the next packets that machines of a host send and that match all that is given.

    They go on as always, but by the agent: no flow carries them until the limit or the time is
    used up. See them with `ayatori trace show`, at the hosts where they leave as well.
    """
    match = TraceMatch(
        eth_src=_mac("--src-mac", src_mac),
        eth_dst=_mac("--dst-mac", dst_mac),
        ethertype=_number("--ethertype", ethertype, _ETHERTYPES, 0xFFFF),
        src=_network("--src", src),
        dst=_network("--dst", dst),
        proto=_number("--proto", proto, _PROTOS, 0xFF),
        src_port=src_port,
        dst_port=dst_port,
    )
    _refuse_contradictions(match)
    agent = agent_socket(host, name, socket)
    if port is not None:
        match = msgspec.structs.replace(match, port=_port(agent, port))
    answer = agent.start_trace(match, limit, seconds)
    number = agent.decode(answer, trace_records.Started).started
    packets = "the next packet" if limit == 1 else f"the next {limit} packets"
    typer.echo(f"trace {number} on {host} follows {packets} that match, for {seconds} s")


@app.command("list")
def list_requests(
    host: Host, name: Name = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Show a host's active requests, with the packets and seconds that they have left."""
    answer = trace_records.requests(agent_socket(host, name, socket))
    if as_json:
        _print_json(answer)
        return
    for line in trace_records.request_lines(answer):
        typer.echo(line)


@app.command()
def stop(
    host: Host,
    trace: Annotated[str, typer.Argument(metavar="ID|all", help="Of `ayatori trace list`.")],
    name: Name = None,
    socket: Socket = None,
) -> None:
    """End a request before it is used up, or all; what was recorded stays."""
    if trace != "all" and re.fullmatch("[1-9][0-9]{0,17}", trace) is None:
        raise CommandError(f"{trace!r} is neither a request's number nor all", ExitStatus.USAGE)
    agent = agent_socket(host, name, socket)
    number = 0 if trace == "all" else int(trace)
    if number and all(each.id != number for each in trace_records.requests(agent).requests):
        raise CommandError(f"{host} has no active trace request {number}", ExitStatus.NOT_FOUND)
    stopped = agent.decode(agent.stop_trace(number), trace_records.Stopped).stopped
    said = ", ".join(map(str, stopped)) or "none was active"
    typer.echo(f"stopped on {host}: {said}")


@app.command()
def show(
    hosts: Annotated[
        list[str], typer.Argument(metavar="HOST...", help="Hosts, as for the other commands.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    name: Name = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show the packets that were followed at one or several hosts, by time.

    The summary after the packet's number is the same at both ends of a tunnel. With --follow,
    --json prints a record a line.
    """
    if socket is not None and len(hosts) > 1:
        raise CommandError("--socket is the socket of one host's agent", ExitStatus.USAGE)
    agents = [agent_socket(host, name, socket) for host in dict.fromkeys(hosts)]
    if follow:
        _follow(agents, as_json=as_json)
        return
    answer = trace_records.by_time(
        record for agent in agents for record in trace_records.records(agent)
    )
    if as_json:
        _print_json(answer)
        return
    for record in answer.records:
        _print_record(record)


def _follow(agents: list[AgentSocket], *, as_json: bool) -> None:
    followers = [Follower(agent) for agent in agents]
    while True:
        new = trace_records.by_time(record for each in followers for record in each.look())
        for record in new.records:
            if as_json:
                print(msgspec.json.encode(record).decode(), flush=True)  # noqa: T201
            else:
                _print_record(record)
        time.sleep(_FOLLOW_INTERVAL)


def _print_record(record: trace_records.Record) -> None:
    print("\n".join(trace_records.record_lines(record)), flush=True)  # noqa: T201


def _print_json(answer: msgspec.Struct) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())


# --- what the options mean ------------------------------------------------------------------------


def _mac(option: str, text: str | None) -> Mac | None:
    try:
        return None if text is None else parse_mac(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", ExitStatus.USAGE) from error


def _network(option: str, text: str | None) -> IpPrefix | None:
    """Read an address or a network; host bits that are set do not matter."""
    if text is None:
        return None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", ExitStatus.USAGE) from error
    return IpPrefix(IpAddress(network.network_address.packed), network.prefixlen)


def _number(option: str, text: str | None, names: dict[str, int], most: int) -> int | None:
    if text is None or text.lower() in names:
        return None if text is None else names[text.lower()]
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        known = ", ".join(names)
        raise CommandError(
            f"{option}: {text!r} is none of {known}, nor a number up to {most}", ExitStatus.USAGE
        )
    return number


def _refuse_contradictions(match: TraceMatch) -> None:
    if match.src is not None and match.dst is not None:  # noqa: SIM102 - one question a line
        if len(match.src.address) != len(match.dst.address):
            raise CommandError("--src and --dst are of different families", ExitStatus.USAGE)
    ports = match.src_port is not None or match.dst_port is not None
    if ports and match.proto not in {None, 6, 17, 132}:
        raise CommandError(f"protocol {match.proto} has no ports", ExitStatus.USAGE)


def _port(agent: AgentSocket, called: str) -> PortId:
    local = gather.tables(agent).ports
    for port in local:
        if called in {port.port, port.id}:
            return PortId(port.id)
    known = ", ".join(port.port for port in local) or "none"
    raise CommandError(
        f"{agent.host} has no port {called!r} plugged in (ports: {known})", ExitStatus.NOT_FOUND
    )
