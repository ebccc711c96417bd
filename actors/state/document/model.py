"""The topology document as typed values: the whole format, described once.

The reader, the renderer and the JSON Schema are driven by these types, so a key exists exactly
if a field here has it. Values are parsed (addresses are bytes), names are the user's.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from actors.state.document.policy import Chains, IpGroups, LoadBalancer
from actors.state.document.scalars import (
    Address,
    AddressInNetwork,
    AnyMac,
    InterfaceName,
    Mtu,
    Name,
    Network,
    PortName,
    Seconds,
    UnderlayMtu,
    UnicastMac,
    Weight,
)
from actors.state.topology import RouteAction, TunnelType


class TunnelZone(Struct, frozen=True):
    """Hosts that reach each other over one underlay."""

    type: TunnelType
    members: dict[Name, Address] = {}
    """Host: its underlay address."""


class BridgePort(Struct, frozen=True):
    """A bridge's port: exterior (`host`, `interface`), interior (`peer`) or unplugged."""

    host: Name | None = None
    interface: InterfaceName | None = None
    peer: PortName | None = None
    inbound: Name | None = None
    outbound: Name | None = None
    admin_up: bool = True


class RouterPort(Struct, frozen=True):
    """A router's port; `mac` is made up, stably, when left out."""

    address: AddressInNetwork
    mac: UnicastMac | None = None
    host: Name | None = None
    interface: InterfaceName | None = None
    peer: PortName | None = None
    inbound: Name | None = None
    outbound: Name | None = None
    admin_up: bool = True


class DhcpRoute(Struct, frozen=True):
    """A route that DHCP hands out."""

    to: Network
    via: Address


class DhcpHost(Struct, frozen=True):
    """What DHCP gives one MAC."""

    address: Address
    name: Name | None = None


class DhcpSubnet(Struct, frozen=True):
    """One subnet that a bridge's DHCP serves."""

    subnet: Network
    gateway: Address | None = None
    server: Address | None = None
    lease: Seconds = 86400
    mtu: Mtu | None = None
    dns: tuple[Address, ...] = ()
    routes: tuple[DhcpRoute, ...] = ()
    hosts: dict[AnyMac, DhcpHost] = {}


class Bridge(Struct, frozen=True):
    """A virtual switch."""

    ports: dict[Name, BridgePort] = {}
    inbound: Name | None = None
    outbound: Name | None = None
    admin_up: bool = True
    dhcp: tuple[DhcpSubnet, ...] = ()


class Route(Struct, frozen=True):
    """A router's route. `port` is one of the router's own, by its short name."""

    to: Network
    source: Network | None = field(name="from", default=None)
    via: Address | None = None
    port: Name | None = None
    action: RouteAction = "forward"
    weight: Weight = 100


class Router(Struct, frozen=True):
    """A virtual router."""

    ports: dict[Name, RouterPort] = {}
    routes: tuple[Route, ...] = ()
    load_balancer: Name | None = None
    inbound: Name | None = None
    outbound: Name | None = None
    admin_up: bool = True


class PortGroup(Struct, frozen=True):
    """A set of ports; a stateful one shares its flow state among its ports' hosts."""

    ports: tuple[PortName, ...] = ()
    stateful: bool = False


class LabHost(Struct, frozen=True):
    """A host of the lab: an agent of its own."""


class LabRoute(Struct, frozen=True):
    """A route in a machine's namespace."""

    to: Network
    via: Address


class Machine(Struct, frozen=True):
    """A network namespace plugged into a port."""

    port: PortName
    addresses: Annotated[tuple[AddressInNetwork, ...], Meta(extra={"one_or_many": True})] = field(
        name="address", default=()
    )
    gateway: Address | None = None
    mac: UnicastMac | None = None
    mtu: Mtu | None = None
    """The underlay's less the tunnel's overhead when None."""
    routes: tuple[LabRoute, ...] = ()
    dhcp: bool = False


class Lab(Struct, frozen=True):
    """What the lab builds on one machine. In a loaded document `hosts` is never left to be guessed."""

    mtu: UnderlayMtu = 1500
    """Of the underlay."""
    hosts: dict[Name, LabHost] = {}
    machines: dict[Name, Machine] = {}


class Document(Struct, frozen=True):
    """A whole topology document."""

    ayatori: Annotated[Literal[1], Meta(extra={"what": "the version of the format"})]
    tunnel_zones: dict[Name, TunnelZone] = {}
    bridges: dict[Name, Bridge] = {}
    routers: dict[Name, Router] = {}
    port_groups: dict[Name, PortGroup] = {}
    ip_groups: IpGroups = {}
    chains: Chains = {}
    load_balancers: dict[Name, LoadBalancer] = {}
    lab: Lab | None = None
