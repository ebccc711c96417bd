"""Which packets a trace request means, and which fields a flow must match so as not to hide them.

Pure. While a request is active, each flow of the ports that it concerns matches all fields that
the request asks for: a packet of another outcome of that question then misses the flow.
"""

from typing import Final

from actors.messages.traces import TraceMatch
from actors.packets import flow_key as f
from actors.packets.flow_key import FlowKey
from actors.values import SECOND, IpPrefix

MOST_PACKETS: Final = 1_000
"""Of one request: as many as the book keeps."""

MOST_TIME: Final = 3_600 * SECOND
"""A request may live for an hour: while it does, flows are narrower and more."""

_IPV4, _IPV6 = 0x0800, 0x86DD
_PROTOS_WITH_PORTS: Final = frozenset((6, 17, 132))


def complaint(match: TraceMatch, limit: int, duration: int) -> str | None:
    """Return what is wrong with a request, None if nothing is."""
    if not 0 < limit <= MOST_PACKETS:
        return f"the limit is from 1 to {MOST_PACKETS} packets"
    if not 0 < duration <= MOST_TIME:
        return f"the time is from 1 to {MOST_TIME // SECOND} seconds"
    if any(mac is not None and len(mac) != 6 for mac in (match.eth_src, match.eth_dst)):
        return "a MAC address has 6 bytes"
    for prefix in (match.src, match.dst):
        if prefix is not None and not _is_sound(prefix):
            return "an address has 4 or 16 bytes, and a network no more bits than its address"
    if match.src is not None and match.dst is not None:  # noqa: SIM102 - one question a line
        if len(match.src.address) != len(match.dst.address):
            return "source and destination are of different families"
    for value, most in (
        (match.ethertype, 0xFFFF),
        (match.proto, 0xFF),
        (match.src_port, 0xFFFF),
        (match.dst_port, 0xFFFF),
    ):
        if value is not None and not 0 <= value <= most:
            return f"{value} is not from 0 to {most}"
    ports = match.src_port is not None or match.dst_port is not None
    if ports and match.proto is not None and match.proto not in _PROTOS_WITH_PORTS:
        return f"protocol {match.proto} has no ports"
    return None


def _is_sound(prefix: IpPrefix) -> bool:
    return len(prefix.address) in {4, 16} and 0 <= prefix.length <= 8 * len(prefix.address)


def fields_of(match: TraceMatch) -> int:
    """Return the SEEN_* bits of the fields that tell whether a packet is meant."""
    seen = 0
    if match.eth_src is not None:
        seen |= f.SEEN_ETH_SRC
    if match.eth_dst is not None:
        seen |= f.SEEN_ETH_DST
    if match.src is not None:
        seen |= f.SEEN_IP_SRC
    if match.dst is not None:
        seen |= f.SEEN_IP_DST
    if match.proto is not None:
        seen |= f.SEEN_IP_PROTO
    if match.src_port is not None:
        seen |= f.SEEN_IP_PROTO | f.SEEN_L4_SRC
    if match.dst_port is not None:
        seen |= f.SEEN_IP_PROTO | f.SEEN_L4_DST
    return seen


def is_meant(match: TraceMatch, key: FlowKey) -> bool:
    """Tell whether a packet with this key, of a port that the request concerns, is meant."""
    if match.ethertype is not None and key.ethertype != match.ethertype:
        return False
    if match.eth_src is not None and key.eth_src != match.eth_src:
        return False
    if match.eth_dst is not None and key.eth_dst != match.eth_dst:
        return False
    if match.src is not None and not match.src.contains(key.ip_src):
        return False
    if match.dst is not None and not match.dst.contains(key.ip_dst):
        return False
    if match.proto is None and match.src_port is None and match.dst_port is None:
        return True
    if key.ethertype not in {_IPV4, _IPV6}:  # ARP's opcode stands where IP has the protocol
        return False
    if match.proto is not None and key.ip_proto != match.proto:
        return False
    if match.src_port is None and match.dst_port is None:
        return True
    if key.ip_proto not in _PROTOS_WITH_PORTS:  # ICMP has its type and code in their place
        return False
    return match.src_port in {None, key.l4_src} and match.dst_port in {None, key.l4_dst}
