"""Asks an agent what it holds, and puts its actors' answers together with names for ids."""

from collections.abc import Iterable

from msgspec import Raw, Struct
from msgspec.structs import replace

from actors.values import stable_id
from cli.errors import CommandError, ExitStatus
from cli.inspection.agent_socket import AgentSocket, Parts, Subject
from cli.inspection.answers import (
    ActivePart,
    Arp,
    Asking,
    BridgeTables,
    Device,
    DevicePart,
    Devices,
    Flow,
    Flows,
    Mac,
    Port,
    PortsPart,
    Route,
    RouterTables,
    Stats,
    Tables,
)
from cli.inspection.names import Names


def flows(agent: AgentSocket) -> Flows:
    """Return the flows of a host, oldest first. Raises CommandError."""
    body = _part(_ask(agent, "flows"), "flow-controller")
    found = agent.decode(body, tuple[Flow, ...])
    names = names_of_all(agent)
    return Flows(
        agent.host,
        tuple(
            replace(
                flow,
                match=names.match(flow.match),
                actions=names.actions(flow.actions),
                reason=names.text(flow.reason),
                tags=tuple(names.text(tag) for tag in flow.tags),
            )
            for flow in sorted(found, key=lambda flow: flow.id)
        ),
    )


def tables(agent: AgentSocket) -> Tables:
    """Return a host's tables. Raises CommandError."""
    answer = _ask(agent, "tables")
    names = _names(agent, answer)
    ports = agent.decode(_part(answer, "datapath-ports"), PortsPart)
    active = agent.decode(_part(answer, "state-tables"), ActivePart)
    macs: list[Mac] = []
    arp: list[Arp] = []
    asking: list[Asking] = []
    routes: list[Route] = []
    for actor, body in answer.parts.items():
        device = names.actors.get(actor, actor)
        if actor.startswith("bridge/"):
            macs += [
                replace(row, bridge=device, port=names.of(row.port))
                for row in agent.decode(body, BridgeTables).macs
            ]
        elif actor.startswith("router/"):
            router = agent.decode(body, RouterTables)
            arp += [replace(row, router=device, port=names.of(row.port)) for row in router.arp]
            asking += [
                replace(row, router=device, port=names.of(row.port)) for row in router.asking
            ]
            routes += [replace(row, router=device) for row in router.routes]
    return Tables(
        host=agent.host,
        ports=tuple(sorted(ports.ports, key=lambda port: port.port)),
        missing_interfaces=ports.missing_interfaces,
        peers=tuple(sorted(ports.peers, key=lambda peer: peer.host)),
        tunnels=ports.tunnels,
        active=tuple(
            sorted(
                (replace(p, port=names.of(p.id), host=names.of(p.host)) for p in active.active),
                key=lambda port: port.port,
            )
        ),
        macs=tuple(sorted(macs, key=lambda row: (row.bridge, row.vlan, row.mac))),
        arp=tuple(sorted(arp, key=lambda row: (row.router, row.port, row.address))),
        asking=tuple(asking),
        routes=tuple(routes),
    )


def devices(agent: AgentSocket) -> Devices:
    """Return the devices that a host holds. Raises CommandError."""
    names = names_of_all(agent)
    parts = _devices(agent)
    found = []
    for actor, part in parts.items():
        kind, _, identity = actor.partition("/")
        ports = tuple(_named(port, names) for port in sorted(part.ports, key=lambda p: p.name))
        found.append(
            Device(
                kind, part.name, identity, part.exists, part.admin_up, part.waiting, ports
            )
        )  # fmt: skip
    return Devices(agent.host, tuple(sorted(found, key=lambda device: (device.kind, device.name))))


def stats(agent: AgentSocket) -> Stats:
    """Return a host's counters. Raises CommandError."""
    answer = _ask(agent, "stats")
    names = names_of_all(agent)
    actors = {
        names.actors.get(actor, actor): {
            counter: value
            for counter, value in _named_counters(agent, body, names).items()
            if counter not in {"bridge", "router"}  # a device's name again
        }
        for actor, body in sorted(answer.parts.items())
    }
    counted = agent.decode(_part(answer, "packet-workflow"), Workflow)
    return Stats(
        agent.host,
        counted.simulated,
        counted.waited_topology,
        counted.waited_arp,
        (counted.waited_topology + counted.waited_arp) / max(counted.simulated, 1),
        _named_counters(agent, answer.agent, names),
        actors,
    )


def _named_counters(agent: AgentSocket, body: Raw, names: Names) -> dict[str, object]:
    return agent.decode(names.text(bytes(body).decode()).encode(), dict[str, object])


class Workflow(Struct):
    """What the packet workflow tells of the packets that it got."""

    packets: int
    """That missed all flows."""
    from_tunnel: int
    """Of these, those that a tunnel brought: their key says where they go."""
    simulated: int
    """Packets whose way through the devices was worked out here."""
    waited_topology: int
    waited_arp: int


def workflow(agent: AgentSocket) -> Workflow:
    """Return how many packets missed the flows of a host. Raises CommandError."""
    return agent.decode(_part(_ask(agent, "stats"), "packet-workflow"), Workflow)


def actor_called(agent: AgentSocket, called: str) -> str:
    """Return the actor that people call so. Raises CommandError NOT_FOUND, naming the known."""
    known = [*_ask(agent, "stats").parts, "operator"]
    names = Names(_own(agent), _devices(agent))
    actor = names.actor(called)
    if actor not in known:
        said = ", ".join(sorted(names.actors.get(name, name) for name in known))
        held = ": it holds bridges and routers that a packet has met" if "/" in called else ""
        raise CommandError(
            f"the agent of {agent.host} has no actor {called!r} (actors: {said}){held}",
            ExitStatus.NOT_FOUND,
        )
    return actor


def _named(port: Port, names: Names) -> Port:
    return replace(
        port,
        peer=None if port.peer is None else names.of(port.peer),
        host=None if port.host is None else names.of(port.host),
    )


def names_of_all(agent: AgentSocket) -> Names:
    """Return the names of all that a host knows. Raises CommandError."""
    return _names(agent, _ask(agent, "tables"))


def _names(agent: AgentSocket, tables_answer: Parts) -> Names:
    ports = agent.decode(_part(tables_answer, "datapath-ports"), PortsPart)
    active = agent.decode(_part(tables_answer, "state-tables"), ActivePart)
    return Names(_own(agent), _devices(agent), ports, active.active)


def _own(agent: AgentSocket) -> tuple[str, str]:
    return stable_id("host", agent.host), agent.host


def _devices(agent: AgentSocket) -> dict[str, DevicePart]:
    answer = _ask(agent, "devices")
    return {actor: agent.decode(body, DevicePart) for actor, body in answer.parts.items()}


def _ask(agent: AgentSocket, subject: Subject) -> Parts:
    answer = agent.ask(subject)
    if answer.missing:
        raise CommandError(
            f"the agent of {agent.host}: no answer from {_some(answer.missing)}",
            ExitStatus.TIMED_OUT,
        )
    return answer


def _some(names: Iterable[str]) -> str:
    first, *others = names
    return first if not others else f"{first} and {len(others)} more"


def _part(answer: Parts, actor: str) -> Raw:
    part = answer.parts.get(actor)
    if part is None:
        raise CommandError(f"the agent says nothing of its {actor}", ExitStatus.FAILED)
    return part
