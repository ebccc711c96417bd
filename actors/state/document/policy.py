"""The format's chains, address groups and load balancers.

This version reads them, so that a wrong key in them is found, and then refuses them by name
(`unsupported.py`).
"""

from typing import Literal

from msgspec import Struct, field

from actors.state.document.scalars import (
    Address,
    Byte,
    EtherType,
    MacMask,
    Name,
    Network,
    PortName,
    PortRange,
    Protocol,
    Seconds,
    TransportPort,
    Vlan,
    Weight,
)


class Match(Struct, frozen=True):
    """What a rule matches: all of it together."""

    in_port: PortName | None = None
    out_port: PortName | None = None
    in_group: Name | None = None
    out_group: Name | None = None
    src_mac: MacMask | None = None
    dst_mac: MacMask | None = None
    ethertype: EtherType | None = None
    vlan: Vlan | None = None
    src: Network | None = None
    dst: Network | None = None
    src_group: Name | None = None
    dst_group: Name | None = None
    proto: Protocol | None = None
    tos: Byte | None = None
    src_port: PortRange | None = None
    dst_port: PortRange | None = None
    icmp_type: Byte | None = None
    icmp_code: Byte | None = None
    fragment: Literal["any", "first", "later", "none"] | None = None
    flow: Literal["forward", "return"] | None = None
    passed: Name | None = None
    negated: "Match | None" = field(name="not", default=None)
    alternatives: tuple["Match", ...] = field(name="any", default=())


class Translation(Struct, frozen=True):
    """Where NAT translates to."""

    to: Address
    ports: PortRange | None = None


class Rule(Struct, frozen=True):
    """One rule of a chain."""

    action: Literal["accept", "continue", "drop", "reject", "return", "jump"]
    match: Match | None = None
    chain: Name | None = None
    snat: Translation | None = None
    dnat: Translation | None = None
    unnat: Literal["snat", "dnat"] | None = None


class Vip(Struct, frozen=True):
    """An address that a load balancer answers for."""

    address: Address
    port: TransportPort
    pool: Name
    proto: Literal["tcp", "udp"] = "tcp"
    sticky: Literal["source_ip"] | None = None
    sticky_timeout: Seconds | None = None
    admin_up: bool = True


class HealthCheck(Struct, frozen=True):
    """How a pool's members are probed; times in seconds."""

    interval: Seconds | None = None
    timeout: Seconds | None = None
    fall: Seconds | None = None
    rise: Seconds | None = None


class PoolMember(Struct, frozen=True):
    """A server behind a load balancer."""

    address: Address
    port: TransportPort
    weight: Weight = 1
    admin_up: bool = True


class Pool(Struct, frozen=True):
    """Servers that share a load."""

    members: tuple[PoolMember, ...] = ()
    health: HealthCheck | None = None
    admin_up: bool = True


class LoadBalancer(Struct, frozen=True):
    """Addresses and the pools behind them."""

    vips: tuple[Vip, ...] = ()
    pools: dict[Name, Pool] = {}
    admin_up: bool = True


IpGroups = dict[Name, tuple[Network, ...]]
Chains = dict[Name, tuple[Rule, ...]]
