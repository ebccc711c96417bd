"""DatapathPorts: plugs the interfaces that are bound to virtual ports into the datapath.

Owns which interface is which datapath port, and this host's tunnel keys. Receives the host's
bindings, its links, tunnel zones, and what became of port requests. Publishes plugged ports in
the active table and tells those who forward and the flow-state replicator of them. Plans in
port_plan.py and tunnel_ports.py.
"""

from typing import assert_never

import msgspec

from actors.datapath.known_links import names_of, take_links
from actors.datapath.port_plan import (
    Activate,
    Deactivate,
    Forget,
    Plug,
    Plugged,
    Rebind,
    Unplug,
    by_interface,
    plan_for,
)
from actors.datapath.ports_text import describe_ports
from actors.datapath.tunnel_ports import (
    AddTunnel,
    ForgetTunnel,
    RemoveTunnel,
    TunnelPort,
    peers_of,
    plan_tunnels,
    type_of,
    udp_port_of,
    usable_tunnels,
    wanted_types,
)
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.flows import (
    LocalPort,
    LocalPortsChanged,
    PortPluggedIn,
    TunnelPeersChanged,
)
from actors.messages.netlink import (
    AddPort,
    AddTunnelPort,
    DatapathReset,
    ExpireInherited,
    PortAdded,
    PortFailed,
    PortRefused,
    PortRemoved,
    PortsDumped,
    PortsSettled,
    PortVanished,
    RemovePort,
)
from actors.messages.operator import Inspect, Inspected
from actors.messages.tables import DisownRow, OwnRow
from actors.messages.time import Tick, WakeMe
from actors.messages.topology import Configured, Link, LinksChanged, LinksChanged1, Subscribe
from actors.state.tables import ACTIVE_TABLE, ActivePort, encode_active
from actors.state.topology import TUNNEL_LINKS, Binding, Host, TunnelType, TunnelZone
from actors.tunnel_key import choose_number
from actors.values import SECOND, ActorName, DatapathPort, Nanoseconds, PortId

FLOW_CONTROLLER = ActorName("flow-controller")
PACKET_WORKFLOW = ActorName("packet-workflow")
REPLICATOR = ActorName("flow-state-replicator")
NETLINK_BROKER = ActorName("netlink-broker")
STATE_TABLES = ActorName("state-tables")
TOPOLOGY_WATCHER = ActorName("topology-watcher")
CLOCK = ActorName("clock")

RETRY_INTERVAL = SECOND
MOST_REFUSALS = 1_000
"""Different reasons for different ports that are counted, and told of once each."""

PortsMessage = (
    Configured
    | LinksChanged
    | LinksChanged1
    | DatapathReset
    | PortAdded
    | PortRefused
    | PortRemoved
    | PortVanished
    | PortsDumped
    | Tick
    | Inspect
)


class PortsState(msgspec.Struct):
    """All that the datapath ports actor knows."""

    bindings: tuple[Binding, ...] = ()
    host_known: bool = False
    links: dict[str, Link] = msgspec.field(default_factory=dict)
    links_known: bool = False
    zones: dict[str, TunnelZone] = msgspec.field(default_factory=dict)
    connected: bool = False
    plugged: dict[str, Plugged] = msgspec.field(default_factory=dict)
    keys: dict[int, PortId] = msgspec.field(default_factory=dict)
    tunnels: dict[TunnelType, TunnelPort] = msgspec.field(default_factory=dict)
    strangers: dict[str, DatapathPort] = msgspec.field(default_factory=dict)
    """Ports found in the datapath that were not plugged in by this agent, by link."""
    settled: bool = False
    refusals: dict[str, int] = msgspec.field(default_factory=dict)


class DatapathPorts(LaneActor):
    """See the module."""

    State = PortsState
    can_begin_afresh = False
    state: PortsState

    def __init__(self, name: ActorName, lane: Lane, host: HostSettings) -> None:
        super().__init__(name, lane)
        self.host = host
        self._link_names: dict[int, str] = {}
        self._bound: dict[str, Binding] = {}

    def boot(self) -> None:
        """Ask for this host's bindings and for the tunnel zones."""
        self.send(TOPOLOGY_WATCHER, Subscribe(self.name, "host", self.host.host))
        self.send(TOPOLOGY_WATCHER, Subscribe(self.name, "tunnel-zone", ""))

    def restored(self) -> None:
        """Rebuild the indexes of the links and the bindings."""
        self._link_names = names_of(self.state.links)
        self._bound = by_interface(self.state.bindings)

    def on_receive(self, message: PortsMessage) -> None:
        """Handle one message, then do what follows for the interfaces that it concerns."""
        concerned: tuple[str, ...] | None = None
        match message:
            case Configured():
                self._configured(message)
            case LinksChanged():
                concerned = self._links_changed(message)
            case LinksChanged1():
                concerned = self._links_changed(message.upcast())
            case DatapathReset():
                self._reset(message)
            case PortAdded():
                concerned = (message.link,)
                self._added(message)
            case PortRefused():
                concerned = (message.link,)
                self._refused(message)
            case PortRemoved():
                concerned = (message.link,)
                self._removed(message.link)
            case PortVanished():
                self._vanished(message.number)
            case PortsDumped():
                self._surveyed(message)
            case Tick():
                pass  # what failed is tried again by the plan
            case Inspect():
                self.send(
                    message.requester,
                    Inspected(message.request, self.name, describe_ports(self.state, self.host)),
                )
                return
            case _:
                assert_never(message)
        self._carry_out_plan(concerned)
        self._settle()

    # --- what ought to be ---------------------------------------------------------------------

    def _configured(self, message: Configured) -> None:
        state = self.state
        if message.kind == "host":
            state.bindings = message.config.bindings if isinstance(message.config, Host) else ()
            state.host_known = True
            self._bound = by_interface(state.bindings)
            return
        if isinstance(message.config, TunnelZone):
            state.zones[message.id] = message.config
        else:
            state.zones.pop(message.id, None)
        changed = TunnelPeersChanged(peers_of(self.host, state.zones))
        self.send(FLOW_CONTROLLER, changed)
        self.send(PACKET_WORKFLOW, changed)
        self.send(REPLICATOR, changed)

    def _links_changed(self, message: LinksChanged) -> tuple[str, ...] | None:
        first = not self.state.links_known
        self.state.links_known = True
        concerned = take_links(self.state.links, self._link_names, message)
        return None if first else concerned

    def _carry_out_plan(self, concerned: tuple[str, ...] | None) -> None:
        """Do what is to be done about interfaces of these names, or (None) about all."""
        state = self.state
        if state.connected:
            self._carry_out_tunnel_plan()
        if not (state.connected and state.host_known and state.links_known):
            return
        names = (*state.plugged, *self._bound) if concerned is None else concerned
        for step in plan_for(names, self._bound, state.links, state.plugged, self.lane.now):
            match step:
                case Plug():
                    link = step.binding.interface
                    state.plugged[link] = Plugged(link, step.link_index, "adding", step.binding)
                    self.send(NETLINK_BROKER, AddPort(self.name, link))
                case Unplug():
                    port = state.plugged[step.link]
                    port.status = "removing"
                    self._withdraw(port)
                    self.send(NETLINK_BROKER, RemovePort(self.name, port.link, port.number))
                case Activate():
                    self._publish(state.plugged[step.link])
                case Deactivate():
                    self._withdraw(state.plugged[step.link])
                case Rebind():
                    port = state.plugged[step.link]
                    self._withdraw(port)
                    port.binding = step.binding
                case Forget():
                    del state.plugged[step.link]
                case _:
                    assert_never(step)

    def _carry_out_tunnel_plan(self) -> None:
        state = self.state
        wanted = wanted_types(self.host, state.zones)
        for step in plan_tunnels(wanted, state.tunnels, self.lane.now):
            kind, link = step.type, TUNNEL_LINKS[step.type]
            match step:
                case AddTunnel():
                    state.tunnels[kind] = TunnelPort("adding")
                    udp_port = udp_port_of(self.host, kind)
                    self.send(NETLINK_BROKER, AddTunnelPort(self.name, link, kind, udp_port))
                case RemoveTunnel():
                    port = state.tunnels[kind]
                    port.status = "removing"
                    self._tell()
                    self.send(NETLINK_BROKER, RemovePort(self.name, link, port.number))
                case ForgetTunnel():
                    del state.tunnels[kind]
                case _:
                    assert_never(step)

    # --- what became of it --------------------------------------------------------------------

    def _reset(self, message: DatapathReset) -> None:
        state = self.state
        for port in state.plugged.values():
            self._withdraw(port)
        state.plugged.clear()
        state.tunnels.clear()
        state.connected = message.connected
        self._tell()

    def _added(self, message: PortAdded) -> None:
        state = self.state
        kind = type_of(message.link)
        if kind is not None:
            if kind in state.tunnels:
                state.tunnels[kind] = TunnelPort("plugged", message.number)
                self._tell()
            return
        port = state.plugged.get(message.link)
        if port is None or port.status != "adding":
            return
        port.number = message.number
        port.status = "plugged"

    def _refused(self, message: PortRefused) -> None:
        state = self.state
        name = f"{message.link}: errno {message.errno}"
        if name not in state.refusals and len(state.refusals) < MOST_REFUSALS:
            self.emit(PortFailed(message.link, message.errno))
        if name in state.refusals or len(state.refusals) < MOST_REFUSALS:
            state.refusals[name] = state.refusals.get(name, 0) + 1
        retry_at = Nanoseconds(self.lane.now + RETRY_INTERVAL)
        kind = type_of(message.link)
        if kind is not None:
            if kind in state.tunnels:
                state.tunnels[kind] = TunnelPort("failed", retry_at=retry_at, errno=message.errno)
        elif message.link in state.plugged:
            port = state.plugged[message.link]
            port.status = "failed"
            port.retry_at = retry_at
        self.send(CLOCK, WakeMe(self.name, retry_at))

    def _removed(self, link: str) -> None:
        kind = type_of(link)
        if kind is None:
            self.state.plugged.pop(link, None)
        else:
            self.state.tunnels.pop(kind, None)

    def _vanished(self, number: DatapathPort) -> None:
        """Forget a port that went out of the datapath by itself; the plan wants it back."""
        state = self.state
        for port in list(state.plugged.values()):
            if port.status == "plugged" and port.number == number:
                self._withdraw(port)
                del state.plugged[port.link]
        for kind, tunnel in list(state.tunnels.items()):
            if tunnel.status == "plugged" and tunnel.number == number:
                del state.tunnels[kind]
                self._tell()

    def _surveyed(self, message: PortsDumped) -> None:
        """Compare with what the datapath says that it has."""
        state = self.state
        there = {port.number for port in message.ports}
        for number in self._numbers():
            if number not in there:
                self._vanished(number)
        state.strangers = {port.link: port.number for port in message.ports}
        if state.settled:
            self._remove_strangers()

    def _remove_strangers(self) -> None:
        """Take out what an earlier agent plugged in and nothing wants any more."""
        state = self.state
        ours = self._numbers()
        for link, number in state.strangers.items():
            if number not in ours and link not in state.plugged:
                self.send(NETLINK_BROKER, RemovePort(self.name, link, number))
        state.strangers = {}

    def _numbers(self) -> list[DatapathPort]:
        """Return the numbers of the ports that this agent has plugged in."""
        state = self.state
        return [
            *(port.number for port in state.plugged.values() if port.status == "plugged"),
            *(port.number for port in state.tunnels.values() if port.status == "plugged"),
        ]

    # --- telling others -----------------------------------------------------------------------

    def _publish(self, port: Plugged) -> None:
        state = self.state
        port.active = True
        state.keys.pop(port.tunnel_key, None)
        port.tunnel_key = choose_number(port.binding.port, state.keys)
        state.keys[port.tunnel_key] = port.binding.port
        local = _local_port(port)
        self._tell(plugged=(local,))
        key, value = encode_active(port.binding.port, ActivePort(self.host.host, port.tunnel_key))
        self.send(STATE_TABLES, OwnRow(ACTIVE_TABLE, key, value))
        if port.binding.kind == "router":
            self.send(local.device, PortPluggedIn(local, self.lane.now))

    def _withdraw(self, port: Plugged) -> None:
        if not port.active:
            return
        port.active = False
        self.state.keys.pop(port.tunnel_key, None)
        self.send(STATE_TABLES, DisownRow(ACTIVE_TABLE, port.binding.port.encode()))
        self._tell(gone=(_local_port(port),))

    def _tell(self, plugged: tuple[LocalPort, ...] = (), gone: tuple[LocalPort, ...] = ()) -> None:
        changed = LocalPortsChanged(plugged, gone, usable_tunnels(self.state.tunnels))
        self.send(FLOW_CONTROLLER, changed)
        self.send(PACKET_WORKFLOW, changed)
        self.send(REPLICATOR, changed)

    def _settle(self) -> None:
        """Say once that the host is ready: all that is bound to it and present is plugged in."""
        state = self.state
        if state.settled or not (state.connected and state.host_known and state.links_known):
            return
        # The last first: they are answered in the order in which they were asked for.
        if any(port.status == "adding" for port in reversed(state.plugged.values())):
            return
        if any(port.status != "plugged" for port in state.tunnels.values()):
            return
        state.settled = True
        self._remove_strangers()
        self.send(NETLINK_BROKER, ExpireInherited())
        self.emit(PortsSettled())


def _local_port(port: Plugged) -> LocalPort:
    binding = port.binding
    return LocalPort(
        binding.port,
        binding.port_name,
        ActorName(f"{binding.kind}/{binding.device}"),
        port.number,
        port.tunnel_key,
    )
