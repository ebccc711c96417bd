"""The shapes of what an agent's actors tell, and of what `--json` prints.

The latter are stable: a field may be added, none goes or changes its meaning. Times in seconds.
Ids are UUIDs; where a name is known, `--json` gives the name.
"""

from msgspec import Struct


class Flow(Struct):
    """A flow of `ayatori flows --json`; the flow controller tells the same, with ids in `tags`."""

    id: int
    kind: str | None
    """error, plain, stateful or tunnel: how long it may live."""
    age: float
    expires_in: float
    packets: int
    bytes: int
    match: str
    """`field=value`, joined by commas; fields that are not there may have any value."""
    actions: str
    """What is done to its packets, `drop` if nothing."""
    reason: str
    """Why it drops, "" if it does not."""
    tags: tuple[str, ...]
    """What the flow depends on: a change of it removes the flow."""


class Flows(Struct):
    """`ayatori flows --json`."""

    host: str
    flows: tuple[Flow, ...]


class LocalPort(Struct):
    """A virtual port that is bound to an interface of this host and plugged into its datapath."""

    port: str
    id: str
    interface: str
    status: str
    """adding, plugged, removing or failed."""
    number: int
    """In the datapath."""
    tunnel_key: int


class ActivePort(Struct):
    """Where a port is plugged in, on whatever host."""

    id: str
    host: str
    tunnel_key: int
    port: str = ""


class Peer(Struct):
    """Another host, and the tunnel to it."""

    id: str
    host: str
    local: str
    remote: str
    type: str
    """vxlan, gre or geneve."""


class TunnelPort(Struct):
    """The datapath's port for tunnels of one type."""

    type: str
    interface: str
    status: str
    """adding, plugged, removing or failed."""
    number: int
    """In the datapath."""
    why: str = ""
    """Why it failed."""


class PortsPart(Struct):
    """What the datapath ports actor tells."""

    ports: tuple[LocalPort, ...]
    peers: tuple[Peer, ...]
    tunnels: tuple[TunnelPort, ...]
    missing_interfaces: tuple[str, ...]


class ActivePart(Struct):
    """What the state tables actor tells."""

    active: tuple[ActivePort, ...]


class Mac(Struct):
    """A row of a bridge's MAC table. `own`: this host publishes it. `in_use`: flows depend on it."""

    vlan: int
    mac: str
    port: str
    own: bool
    in_use: bool
    bridge: str = ""


class Arp(Struct):
    """A row of a router port's ARP table."""

    port: str
    address: str
    mac: str
    own: bool
    router: str = ""


class Asking(Struct):
    """An address that a router is asking for, and how many packets wait for the answer."""

    port: str
    address: str
    tries: int
    waiting: int
    router: str = ""


class Route(Struct, rename={"source": "from"}):
    """A route of a router, connected ones included."""

    to: str
    source: str
    action: str
    port: str | None
    via: str | None
    weight: int
    router: str = ""


class BridgeTables(Struct):
    """What a bridge tells of its tables."""

    macs: tuple[Mac, ...]


class RouterTables(Struct):
    """What a router tells of its tables."""

    arp: tuple[Arp, ...]
    asking: tuple[Asking, ...]
    routes: tuple[Route, ...]


class Tables(Struct):
    """`ayatori tables --json`."""

    host: str
    ports: tuple[LocalPort, ...]
    missing_interfaces: tuple[str, ...]
    """Interfaces that ports are bound to and that this host does not have."""
    peers: tuple[Peer, ...]
    tunnels: tuple[TunnelPort, ...]
    active: tuple[ActivePort, ...]
    macs: tuple[Mac, ...]
    arp: tuple[Arp, ...]
    asking: tuple[Asking, ...]
    routes: tuple[Route, ...]


class Port(Struct):
    """A port of a device. `peer` and `host` are names, or ids where no name is known."""

    id: str
    name: str
    admin_up: bool
    peer: str | None
    host: str | None
    interface: str | None
    mac: str | None
    address: str | None


class DevicePart(Struct):
    """What a device tells of itself."""

    exists: bool
    admin_up: bool
    waiting: int
    ports: tuple[Port, ...]
    bridge: str = ""
    router: str = ""

    @property
    def name(self) -> str:
        """The device's name, its id if it does not exist."""
        return self.bridge or self.router


class Device(Struct):
    """A virtual device that this host holds, since a packet has passed it here."""

    kind: str
    name: str
    id: str
    exists: bool
    """False once it was removed, or if it was never there."""
    admin_up: bool
    waiting: int
    """Packets that wait at it."""
    ports: tuple[Port, ...]


class Devices(Struct):
    """`ayatori devices --json`."""

    host: str
    devices: tuple[Device, ...]


class Stats(Struct):
    """`ayatori stats --json`. What is in `agent` and `actors` is each actor's own affair."""

    host: str
    simulated: int
    """Packets whose way through the devices was worked out here."""
    waited_topology: int
    """Of these, those that waited for a device to be loaded from the store."""
    waited_arp: int
    """Of these, those that waited for a neighbour to tell its MAC."""
    waited_share: float
    """What part of all simulations waited for anything off this host: 0 to 1."""
    agent: dict[str, object]
    actors: dict[str, dict[str, object]]
    """By actor; devices by name, such as `bridge/web`."""
