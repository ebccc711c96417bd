"""A router port's ARP entries, and packets that wait for one. A table per router port. Pure.

Who refreshes an entry that hosts use: its owner, if it uses it itself, from its staleness on; the
others only later, and not at the same time, when no renewal has come from the owner by then. The
answer reaches the owner whoever asked, as it is the host where the neighbour is plugged in.
"""

import zlib

from msgspec import Struct, field

from actors.host import HostSettings
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
    """When the neighbour, or another host, last said so."""
    stale_at: Nanoseconds
    """When this host asks, or asks again, for a refresh, if its flows use the entry."""
    told_at: Nanoseconds = Nanoseconds(0)
    """When this host last told the others that its own entry is fresh."""
    asked: int = 0
    """Requests for a refresh since it was confirmed."""
    held: bool = False
    """Flows of this host depend on it."""


class Resolution(Struct):
    """An address that is being asked for, and the packets that wait for the answer."""

    port: PortId
    address: IpAddress
    tries: int
    next_at: Nanoseconds
    waiting: list[Hop] = field(default_factory=list)


def spread(seed: int, port: PortId, address: IpAddress, number: int, most: int) -> int:
    """Return a share of `most`, other for each seed, entry and `number`: nobody asks in step."""
    name = b"%d/%d/" % (seed, number) + port.encode() + address
    return zlib.crc32(name) % 1024 * most // 1024


def stale_at(host: HostSettings, port: PortId, address: IpAddress, at: int, *, own: bool) -> int:
    """Return when an entry confirmed at `at` wants a refresh by this host, if it uses the entry."""
    latest = host.arp_stale + host.arp_stale // 5
    if own:
        return at + host.arp_stale + spread(host.seed, port, address, 0, host.arp_stale // 5)
    room = max(host.arp_expiry - latest, 0)
    return at + latest + room // 10 + spread(host.seed, port, address, 0, room * 6 // 10)


ArpTables = dict[PortId, dict[IpAddress, ArpEntry]]


class ArpSeen(Struct, frozen=True, gc=False):
    """An ARP packet said that on `port`'s link `address` is at `mac`."""

    port: PortId
    address: IpAddress
    mac: Mac
    to_us: bool
    """It was addressed to the router: a new entry may be made of it, not only an old one mended."""
