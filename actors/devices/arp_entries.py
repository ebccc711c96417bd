"""A router port's ARP entries, and packets that wait for one. A table per router port. Pure."""

from msgspec import Struct, field

from actors.messages.simulation import Hop
from actors.values import IpAddress, Mac, Nanoseconds, PortId, Tag

MOST_PER_NEXT_HOP = 16
"""Packets that wait for one next hop; beyond them the oldest is dropped (RFC 1122 2.3.2.2)."""


class ArpEntry(Struct):
    """Which MAC an address has, as far as is known. Times in nanoseconds."""

    mac: Mac
    tag: Tag
    own: bool
    """This host learned it and manages its life; else another host did."""
    confirmed_at: Nanoseconds
    stale_at: Nanoseconds
    """When it wants a refresh, if flows use it."""
    held: bool = False
    """Flows of this host depend on it."""


class Resolution(Struct):
    """An address that is being asked for, and the packets that wait for the answer."""

    port: PortId
    address: IpAddress
    tries: int
    next_at: Nanoseconds
    waiting: list[Hop] = field(default_factory=list)


ArpTables = dict[PortId, dict[IpAddress, ArpEntry]]


class ArpSeen(Struct, frozen=True, gc=False):
    """An ARP packet said that on `port`'s link `address` is at `mac`."""

    port: PortId
    address: IpAddress
    mac: Mac
    to_us: bool
    """It was addressed to the router: a new entry may be made of it, not only an old one mended."""
