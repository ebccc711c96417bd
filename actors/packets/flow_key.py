"""FlowKey: the header fields of one packet, and the bits that name them in a megaflow mask.

It mirrors `struct sw_flow_key` of the Linux openvswitch module: the fields that a flow can
match. A simulation notes which of them it read as a bit set (`seen`); what it did not read
stays wildcarded in the flow.
"""

from typing import Final

from msgspec import Struct

from actors.values import IpAddress, Mac

NO_ADDRESS = IpAddress(b"")


class TunnelKey(Struct, frozen=True):
    """Outer header of a packet that came out of, or goes into, a tunnel."""

    tun_id: int
    """VNI of 24 bits, of GRE a key of 32; it carries the egress port's number, see
    actors/tunnel_key.py."""
    src: IpAddress
    dst: IpAddress
    tos: int = 0
    ttl: int = 64
    tp_src: int = 0
    tp_dst: int = 0
    dont_fragment: bool = False
    checksum: bool = False


class FlowKey(Struct, frozen=True):
    """One packet's match fields. Numbers are in host order, addresses are bytes of the wire.

    As in Open vSwitch, ARP uses `ip_src`/`ip_dst` for the sender's and target's protocol address
    and `ip_proto` for the opcode, and ICMP uses `l4_src`/`l4_dst` for type and code.
    """

    in_port: int
    tunnel: TunnelKey | None
    eth_src: Mac
    eth_dst: Mac
    ethertype: int
    """Of the payload behind all VLAN tags; 0 for an 802.3 frame that has none."""
    vlan_tci: int = 0
    """Outer tag's PCP, CFI and VID with 0x1000 (the CFI bit) always set; 0 if untagged."""
    vlan_tpid: int = 0
    cvlan_tci: int = 0
    cvlan_tpid: int = 0
    ip_src: IpAddress = NO_ADDRESS
    ip_dst: IpAddress = NO_ADDRESS
    ip_proto: int = 0
    ip_tos: int = 0
    ip_ttl: int = 0
    ip_frag: int = 0
    """0 not a fragment, 1 the first, 2 a later one (enum ovs_frag_type)."""
    ipv6_label: int = 0
    l4_src: int = 0
    l4_dst: int = 0
    tcp_flags: int = 0
    arp_sha: bytes = b""
    arp_tha: bytes = b""
    nd_target: bytes = b""
    nd_sll: bytes = b""
    nd_tll: bytes = b""


FRAG_NONE: Final = 0
FRAG_FIRST: Final = 1
FRAG_LATER: Final = 2

# Bits of a `seen` set: which fields a simulation read. in_port, the tunnel id and ethertype are
# matched exactly in every flow and have no bit. A bit implies what its layer stands on: with
# SEEN_L4_DST the flow matches ethertype, protocol and fragment type exactly too.
SEEN_ETH_SRC: Final = 1 << 0
SEEN_ETH_DST: Final = 1 << 1
SEEN_VLAN: Final = 1 << 2
"""Both tags: whether there is one, VID and PCP."""
SEEN_IP_SRC: Final = 1 << 3
SEEN_IP_DST: Final = 1 << 4
SEEN_IP_PROTO: Final = 1 << 5
"""Also ARP's opcode."""
SEEN_IP_TOS: Final = 1 << 6
SEEN_IP_TTL: Final = 1 << 7
SEEN_IP_FRAG: Final = 1 << 8
SEEN_L4_SRC: Final = 1 << 9
SEEN_L4_DST: Final = 1 << 10
SEEN_TCP_FLAGS: Final = 1 << 11
SEEN_ARP_SHA: Final = 1 << 12
SEEN_ARP_THA: Final = 1 << 13
SEEN_ND: Final = 1 << 14
SEEN_IPV6_LABEL: Final = 1 << 15
SEEN_TUNNEL_ENDPOINTS: Final = 1 << 16
"""Outer source and destination address."""
SEEN_ALL: Final = (1 << 17) - 1
