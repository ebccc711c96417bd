"""What a host's trace book tells: its requests, and the packets that were followed.

What `--json` prints has these shapes, and they are stable: a field may be added, none goes or
changes its meaning. Times in seconds; devices, ports and hosts by name where one is known.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from cli.inspection import gather
from cli.inspection.agent_socket import AgentSocket
from cli.inspection.lines import Row, aligned
from cli.inspection.names import Names


class TraceRequest(Struct):
    """A request that is active."""

    id: int
    match: dict[str, int | str]
    """The fields that packets must have; of any other they may have any."""
    limit: int
    left: int
    """Packets that may still be followed."""
    ends_in: float


class Requests(Struct):
    """`ayatori trace list --json`."""

    host: str
    requests: tuple[TraceRequest, ...]


class Hop(Struct):
    """A device that a packet passed, by which port it came, what was decided and rewritten."""

    device: str
    port: str
    decision: str
    changes: str


class WayOut(Struct):
    """A port that a packet left by, or was to. `how` is local, tunnel or unreachable."""

    port: str
    how: str
    to: str
    """The host at the tunnel's far end, "" without a tunnel."""
    tunnel_key: int
    """With the trace bit; 0 without a tunnel."""
    changes: str
    """All header fields that differ from those that the packet came with."""


class Record(Struct):
    """A packet that was followed at a host."""

    number: int
    packet: int
    """Its number in `ayatori replay --packets`."""
    at: float
    """Since 1970."""
    trace: int
    """The request's id, 0 if it came with the trace bit."""
    side: str
    """ingress: its way was worked out here. egress: a tunnel brought it."""
    port: str
    """Where it came in, "" by a tunnel."""
    peer: str
    """The host that the tunnel comes from."""
    tunnel_key: int
    """As it came, with the trace bit; 0 without a tunnel."""
    match: str
    summary: str
    """The same at both ends, but for what is rewritten on the way."""
    hops: tuple[Hop, ...]
    more_hops: int
    outputs: tuple[WayOut, ...]
    more_outputs: int
    reason: str
    """Why it was dropped, or a branch of it; "" if it was not."""
    waited: bool
    complete: bool
    """False while it waits for something."""
    host: str = ""


class Records(Struct):
    """`ayatori trace show --json`: the records of all hosts that were asked, by time."""

    records: tuple[Record, ...]


class Told(Struct):
    """What the trace book tells."""

    requests: tuple[TraceRequest, ...]
    records: tuple[Record, ...]


class Started(Struct):
    """The answer to a start."""

    started: int


class Stopped(Struct):
    """The answer to a stop."""

    stopped: tuple[int, ...]


def requests(agent: AgentSocket) -> Requests:
    """Return a host's active requests. Raises CommandError."""
    told = agent.decode(agent.traces(1 << 62), Told)
    if not any("port" in each.match for each in told.requests):
        return Requests(agent.host, told.requests)
    names = gather.names_of_all(agent)
    return Requests(agent.host, tuple(_named_request(each, names) for each in told.requests))


def _named_request(request: TraceRequest, names: Names) -> TraceRequest:
    port = request.match.get("port")
    if port is None:
        return request
    return replace(request, match={**request.match, "port": names.of(str(port))})


def records(agent: AgentSocket, after: int = 0) -> tuple[Record, ...]:
    """Return a host's records with numbers above `after`, oldest first. Raises CommandError."""
    found = agent.decode(agent.traces(after), Told).records
    if not found:
        return ()
    names = gather.names_of_all(agent)
    return tuple(_named(record, agent.host, names) for record in found)


def _named(record: Record, host: str, names: Names) -> Record:
    return replace(
        record,
        host=host,
        port=names.of(record.port),
        hops=tuple(
            Hop(names.text(h.device), names.of(h.port), names.text(h.decision), h.changes)
            for h in record.hops
        ),
        outputs=tuple(
            replace(out, port=names.of(out.port), to=names.peer(out.to)) for out in record.outputs
        ),
        reason=names.text(record.reason),
    )


def by_time(found: Iterable[Record]) -> Records:
    """Put the records of several hosts in order."""
    return Records(tuple(sorted(found, key=lambda record: (record.at, record.host, record.number))))


def request_lines(answer: Requests) -> Iterator[str]:
    """Write each request in a line."""
    rows: list[Row] = [("ID", "LEFT", "OF", "ENDS", "MATCH")]
    for each in answer.requests:
        match = ",".join(f"{name}={value}" for name, value in each.match.items())
        rows.append(
            (str(each.id), str(each.left), str(each.limit), f"{each.ends_in:.1f}", match or "any")
        )
    return aligned(rows)


def record_lines(record: Record) -> Iterator[str]:
    """Write a record: a line about the packet, and an indented one for each step of its way."""
    time = datetime.fromtimestamp(record.at, UTC).strftime("%H:%M:%S.%f")
    yield f"{time} {record.host} packet {record.packet}: {record.summary}"
    if record.side == "ingress":
        yield f"  in      by {record.port} for trace {record.trace}: {record.match}"
    else:
        peer = record.peer or "an unknown host"
        yield f"  in      from {peer} by tunnel key {record.tunnel_key:#x}: {record.match}"
    for hop in record.hops:
        changes = f" [{hop.changes}]" if hop.changes else ""
        yield f"  at      {hop.device} ({hop.port}): {hop.decision}{changes}"
    if record.more_hops:
        yield f"  at      {record.more_hops} more devices"
    for out in record.outputs:
        yield f"  out     {_way(out)}{f' [{out.changes}]' if out.changes else ''}"
    if record.more_outputs:
        yield f"  out     {record.more_outputs} more ports"
    if not record.complete:
        yield "  waits"
    elif record.reason:
        yield f"  dropped {record.reason}"
    elif not record.outputs:
        yield "  ended   here: no way out was needed"


def _way(out: WayOut) -> str:
    match out.how:
        case "tunnel":
            return f"by {out.port} of {out.to}, tunnel key {out.tunnel_key:#x}"
        case "local":
            return f"by {out.port}"
        case _:
            return f"to {out.port}, which cannot be reached"
