"""PacketTraces: what became of each packet-in of a replay: its path, its verdict, its flow.

Watches a replaying lane's deliveries; the actors know nothing of it.
"""

from typing import Any

from msgspec import Struct, field

from actors.datapath.flow_controller import FlowController
from actors.datapath.flow_text import describe_actions, describe_match
from actors.datapath.odp.mask import mask_for
from actors.devices.bridge import BridgeActor
from actors.devices.router import RouterActor
from actors.lane import Lane
from actors.lifetimes import KIND_NAMES
from actors.messages.flows import InstallFlows
from actors.messages.packet_in import PacketIn
from actors.messages.simulation import Hop, PacketContext, PacketParked, Verdict
from actors.values import ActorName, DatapathPort, PortId


class PacketTrace(Struct):
    """One packet-in."""

    number: int
    at: int
    match: str
    path: list[str] = field(default_factory=list)
    """Devices in the order of their passing, as `bridge web (web/vm1)`."""
    waited: bool = False
    verdict: str = "unfinished"
    outputs: str = ""
    """Ports that it leaves by, by name where they are plugged in here."""
    flow: str = ""
    trace: int = 0
    """Number of the operator's request for which it was followed, -1 if it came by a tunnel with
    the trace bit, 0 if it was not: its hops are in the trace book as well."""


class PacketTraces:
    """See the module. Finished traces are given to `done`."""

    def __init__(self) -> None:
        self.open: dict[int, PacketTrace] = {}
        self.finished: list[PacketTrace] = []
        self._installed_by: dict[int, PacketTrace] = {}
        """The packet of which a flow may be made, by the flow's number, until it is."""
        self._hops: dict[int, list[tuple[ActorName, PortId]]] = {}

    def delivered(self, lane: Lane, actor: ActorName, message: object) -> None:
        """Take note of a message that is about to be delivered."""
        match message:
            case PacketIn():
                self.open[lane.inputs] = PacketTrace(lane.inputs, message.at, _match(lane, message))
            case Hop(context, port) if context.raw_key:
                trace = self.open.get(context.number)
                if trace is not None:
                    self._hops.setdefault(context.number, []).append((actor, port))
            case PacketParked():
                trace = self.open.get(message.number)
                if trace is not None:
                    trace.waited = True
            case Verdict(context) if context.raw_key:
                self._verdict(lane, context)
            case InstallFlows():
                names = _port_names(lane)
                for flow, raw_key in zip(message.flows, message.raw_keys, strict=True):
                    trace = self._installed_by.pop(flow, None)
                    if trace is not None:
                        trace.flow = (
                            f"{describe_match(raw_key, message.mask, names)}"
                            f" -> {describe_actions(message.actions, names)}"
                        )
            case _:
                pass

    def _verdict(self, lane: Lane, context: PacketContext) -> None:
        trace = self.open.pop(context.number, None)
        self._installed_by.pop(_next_flow(lane), None)
        if trace is None:
            return
        self._installed_by[_next_flow(lane)] = trace
        # Named only now: a device that the packet waited for had no name before.
        trace.path = [
            f"{device_name(lane, actor)} ({port_name(lane, actor, port)})"
            for actor, port in self._hops.pop(context.number, ())
        ]
        kind = KIND_NAMES[context.lifetime]
        names = _names_of_ports(lane)
        trace.outputs = ", ".join(names.get(o.port, o.port) for o in context.outputs)
        if context.outputs:
            trace.verdict = f"out by {trace.outputs}"
        elif context.reason:
            trace.verdict = f"ended: {context.reason}"
        else:
            trace.verdict = "consumed"
        trace.verdict += f", {kind} flow" if kind else ", no flow"
        trace.trace = context.trace
        if context.trace:
            which = f"for trace {context.trace}" if context.trace > 0 else "by the trace bit"
            trace.verdict += f", followed {which}"
        self.finished.append(trace)


def device_name(lane: Lane, actor: ActorName) -> str:
    """Return `bridge web` for `bridge/<id>`, or the actor's name if it has no configuration."""
    found = lane.actor(actor)
    if isinstance(found, BridgeActor | RouterActor) and found.state.config is not None:
        return f"{actor.partition('/')[0]} {found.state.config.name}"
    return actor


def port_name(lane: Lane, actor: ActorName, port: PortId) -> str:
    """Return a port's name as its device's configuration has it."""
    found = lane.actor(actor)
    if isinstance(found, BridgeActor | RouterActor) and found.state.config is not None:
        for candidate in found.state.config.ports:
            if candidate.id == port:
                return candidate.name
    return port


def _names_of_ports(lane: Lane) -> dict[PortId, str]:
    """Return the names of all ports of the devices that the lane holds."""
    return {
        port.id: port.name
        for name in lane.names
        if isinstance(actor := lane.actor(name), BridgeActor | RouterActor)
        and actor.state.config is not None
        for port in actor.state.config.ports
    }


def _next_flow(lane: Lane) -> int:
    """Return the number of the next flow, if the verdict that comes now makes one."""
    controller = lane.actor(ActorName("flow-controller"))
    return controller.state.next_flow if isinstance(controller, FlowController) else 0


def _port_names(lane: Lane) -> dict[DatapathPort, str]:
    controller = lane.actor(ActorName("flow-controller"))
    if not isinstance(controller, FlowController):
        return {}
    return {port.number: port.name for port in controller.state.where.local.values()}


def _match(lane: Lane, packet: PacketIn) -> str:
    try:
        return describe_match(
            packet.raw_key, mask_for(packet.raw_key, (1 << 17) - 1), _port_names(lane)
        )
    except ValueError as error:
        return f"malformed ({error})"


def plain(value: Any) -> Any:
    """Return a state as plain data that JSON can hold; bytes as hex."""
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {
            plain(key) if not isinstance(key, str) else key: plain(v) for key, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex(":") if len(value) == 6 else value.hex()
    return value
