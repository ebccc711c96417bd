"""The virtual topology as the store holds it: one object per device, each complete in itself.

A device's object has all that simulating it takes, its ports and what stands at the other end
of each included, so that an agent reads one object per device that its packets reach. The
topology document is compiled into these objects (`actors/state/document/`), names stay beside
the UUIDs for people.
"""

from typing import Final, Literal

from msgspec import Struct

from actors.values import DeviceId, HostId, IpAddress, IpInterface, IpPrefix, Mac, PortId

DeviceKind = Literal["bridge", "router"]
RouteAction = Literal["forward", "blackhole", "reject"]
TunnelType = Literal["vxlan", "gre", "geneve"]

TUNNEL_LINKS: Final[dict[TunnelType, str]] = {
    "vxlan": "ayatori-vxlan",
    "geneve": "ayatori-geneve",
    "gre": "ayatori-gre",
}
"""Names of a host's tunnel ports, of 15 bytes at most (IFNAMSIZ): no virtual port takes them."""


class Peer(Struct, frozen=True):
    """The far end of an interior port: a port of another device."""

    port: PortId
    device: DeviceId
    kind: DeviceKind
    mac: Mac | None = None
    """Of a router's port, None of a bridge's."""
    address: IpInterface | None = None
    """Of a router's port, None of a bridge's."""


class Port(Struct, frozen=True):
    """A virtual port: interior with a `peer`, exterior with `host` and `interface`, else unplugged."""

    id: PortId
    name: str
    """As users write it: `device/port`."""
    admin_up: bool = True
    host: HostId | None = None
    interface: str | None = None
    peer: Peer | None = None
    mac: Mac | None = None
    """Of a router's port, None of a bridge's."""
    address: IpInterface | None = None
    """Of a router's port, None of a bridge's."""


class Route(Struct, frozen=True):
    """A configured route. Connected routes are not stored: they follow from ports' addresses."""

    to: IpPrefix
    source: IpPrefix
    """0.0.0.0/0 (or ::/0) when any source will do."""
    action: RouteAction
    port: PortId | None = None
    """The port it leaves by; None for blackhole and reject."""
    via: IpAddress | None = None
    """The gateway; None when the destination is on the link."""
    weight: int = 100


class Bridge(Struct, frozen=True, tag_field="object", tag="bridge.1"):
    """A virtual learning switch."""

    id: DeviceId
    name: str
    admin_up: bool
    ports: tuple[Port, ...]


class Router(Struct, frozen=True, tag_field="object", tag="router.1"):
    """A virtual router."""

    id: DeviceId
    name: str
    admin_up: bool
    ports: tuple[Port, ...]
    routes: tuple[Route, ...]


class Binding(Struct, frozen=True):
    """One exterior port bound to an interface of a host."""

    port: PortId
    port_name: str
    interface: str
    device: DeviceId
    kind: DeviceKind


class Host(Struct, frozen=True, tag_field="object", tag="host.1"):
    """A host and the ports bound to its interfaces."""

    id: HostId
    name: str
    bindings: tuple[Binding, ...]


class Member(Struct, frozen=True):
    """A host's underlay address in a tunnel zone."""

    host: HostId
    host_name: str
    address: IpAddress


class TunnelZone(Struct, frozen=True, tag_field="object", tag="tunnel-zone.1"):
    """Hosts that reach each other over one underlay network."""

    id: str
    name: str
    type: TunnelType
    members: tuple[Member, ...]


class PortGroup(Struct, frozen=True, tag_field="object", tag="port-group.1"):
    """A named set of ports; a stateful one shares its flow state among its ports' hosts."""

    id: str
    name: str
    stateful: bool
    ports: tuple[PortId, ...]


TopologyObject = Bridge | Router | Host | TunnelZone | PortGroup
