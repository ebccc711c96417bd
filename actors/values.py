"""The values that every layer shares: identities, addresses, prefixes.

Addresses are family-neutral: the bytes of the wire, 4 or 16 long for IP, 6 for a MAC. They
hash and compare in C, need no conversion on their way into netlink, and IPv6 needs no second
type. Identities are text (a UUID's canonical form), because text caches its hash.
"""

import ipaddress
import re
import uuid
from typing import NewType

from msgspec import Struct

Mac = NewType("Mac", bytes)
"""48-bit MAC address, 6 bytes in network order."""

IpAddress = NewType("IpAddress", bytes)
"""IPv4 (4 bytes) or IPv6 (16 bytes) address in network order."""

DeviceId = NewType("DeviceId", str)
"""UUID of a bridge, router or other virtual device."""

PortId = NewType("PortId", str)
"""UUID of a virtual port."""

HostId = NewType("HostId", str)
"""UUID of a host that runs an agent."""

Tag = NewType("Tag", str)
"""What a flow depended on; a change of it invalidates the flow (see actors/tags.py)."""

ActorName = NewType("ActorName", str)
"""Address of an actor on its lane, such as `flow-controller` or `bridge/<DeviceId>`."""

DatapathPort = NewType("DatapathPort", int)
"""Port number (OVS vport number) in this host's datapath; 0 is the datapath's own port."""

Nanoseconds = NewType("Nanoseconds", int)
"""Time since 1970-01-01 UTC as the edge's clock gave it: steady, and never running backwards."""

SECOND = 1_000_000_000
"""One second in nanoseconds."""

BROADCAST_MAC = Mac(b"\xff" * 6)
ZERO_MAC = Mac(b"\x00" * 6)

_NAMESPACE = uuid.UUID("6b0f1c9e-8d0c-5a63-9f0a-2f1c57a7a701")
_MAC_PATTERN = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


class IpPrefix(Struct, frozen=True, order=True):
    """A network: address bits beyond `length` are zero. `length` is in bits (0 to 32 or 128)."""

    address: IpAddress
    length: int

    def contains(self, address: IpAddress) -> bool:
        """Tell whether `address`, of the same family, lies in this network."""
        if len(address) != len(self.address):
            return False
        shift = len(address) * 8 - self.length
        return int.from_bytes(address) >> shift == int.from_bytes(self.address) >> shift

    def __str__(self) -> str:
        return f"{format_ip(self.address)}/{self.length}"


class IpInterface(Struct, frozen=True, order=True):
    """An address together with the network it stands in, as in `10.0.1.1/24`."""

    address: IpAddress
    length: int

    @property
    def network(self) -> IpPrefix:
        """The connected network."""
        return prefix_of(self.address, self.length)

    def __str__(self) -> str:
        return f"{format_ip(self.address)}/{self.length}"


def prefix_of(address: IpAddress, length: int) -> IpPrefix:
    """Return the network of `length` bits that holds `address`."""
    bits = len(address) * 8
    masked = int.from_bytes(address) >> (bits - length) << (bits - length)
    return IpPrefix(IpAddress(masked.to_bytes(len(address))), length)


def parse_mac(text: str) -> Mac:
    """Read `02:00:00:00:00:01`; raise ValueError on anything else."""
    if _MAC_PATTERN.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no MAC address (six pairs of hex digits with colons)")
    return Mac(bytes.fromhex(text.replace(":", "")))


def format_mac(mac: bytes) -> str:
    """Write a MAC address the usual way: lower case, with colons."""
    return mac.hex(":")


def parse_ip(text: str) -> IpAddress:
    """Read an IPv4 or IPv6 address; raise ValueError on anything else."""
    return IpAddress(ipaddress.ip_address(text).packed)


def format_ip(address: bytes) -> str:
    """Write an IPv4 or IPv6 address in its canonical form."""
    return str(ipaddress.ip_address(address))


def parse_prefix(text: str) -> IpPrefix:
    """Read `10.0.1.0/24`; raise ValueError if malformed or if host bits are set."""
    network = ipaddress.ip_network(text)
    return IpPrefix(IpAddress(network.network_address.packed), network.prefixlen)


def parse_interface(text: str) -> IpInterface:
    """Read `10.0.1.1/24`, an address in its network; raise ValueError if malformed."""
    if "/" not in text:
        raise ValueError(f"{text!r} lacks its prefix length, as in {text}/24")
    interface = ipaddress.ip_interface(text)
    return IpInterface(IpAddress(interface.ip.packed), interface.network.prefixlen)


def stable_id(kind: str, name: str) -> str:
    """Return the UUID of the object that users call `name`: the same at every apply."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{name}"))


def stable_mac(name: str) -> Mac:
    """Return a locally administered unicast MAC made from `name`: the same at every apply."""
    return Mac(b"\x02" + uuid.uuid5(_NAMESPACE, f"mac/{name}").bytes[:5])
