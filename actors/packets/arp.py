"""ARP for IPv4 over Ethernet (RFC 826): parsing and building whole frames."""

import struct
from typing import Final

from msgspec import Struct

from actors.packets.errors import PacketError
from actors.packets.ethernet import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ethernet_frame,
    parse_ethernet,
)
from actors.values import BROADCAST_MAC, ZERO_MAC, IpAddress, Mac

ARP_REQUEST: Final = 1
ARP_REPLY: Final = 2
_HARDWARE_ETHERNET: Final = 1

_BODY = struct.Struct(">HHBBH6s4s6s4s")


class Arp(Struct, frozen=True):
    """An ARP message: operation, sender's and target's hardware and protocol address."""

    op: int
    sha: Mac
    spa: IpAddress
    tha: Mac
    tpa: IpAddress


def parse_arp(frame: bytes) -> Arp:
    """Read the ARP message in `frame`, tagged or not; PacketError if it holds none."""
    ethernet = parse_ethernet(frame)
    if ethernet.ethertype != ETHERTYPE_ARP:
        raise PacketError(f"ethertype {ethernet.ethertype:#06x} is not ARP")
    if len(frame) < ethernet.payload_offset + _BODY.size:
        raise PacketError("the ARP message is cut short")
    hardware, protocol, hardware_length, protocol_length, op, sha, spa, tha, tpa = (
        _BODY.unpack_from(frame, ethernet.payload_offset)
    )
    if (hardware, protocol, hardware_length, protocol_length) != (
        _HARDWARE_ETHERNET,
        ETHERTYPE_IPV4,
        6,
        4,
    ):
        raise PacketError("the ARP message is not about IPv4 over Ethernet")
    return Arp(op, sha, spa, tha, tpa)


def arp_request(sha: bytes, spa: bytes, tpa: bytes, to: bytes = BROADCAST_MAC) -> bytes:
    """Return the frame that asks who has `tpa`, all or just `to` (42 bytes, unpadded)."""
    return _frame(to, sha, ARP_REQUEST, spa, ZERO_MAC, tpa)


def arp_reply(sha: bytes, spa: bytes, tha: bytes, tpa: bytes) -> bytes:
    """Return the frame that tells `tha` that `spa` is at `sha`."""
    return _frame(tha, sha, ARP_REPLY, spa, tha, tpa)


def gratuitous_arp(mac: bytes, ip: bytes) -> bytes:
    """Return the broadcast request for one's own address that announces it (RFC 5227, 3)."""
    return _frame(BROADCAST_MAC, mac, ARP_REQUEST, ip, ZERO_MAC, ip)


def _frame(eth_dst: bytes, sha: bytes, op: int, spa: bytes, tha: bytes, tpa: bytes) -> bytes:
    if len(spa) != 4 or len(tpa) != 4 or len(sha) != 6 or len(tha) != 6:
        raise PacketError("ARP takes 6-byte hardware and 4-byte protocol addresses")
    body = _BODY.pack(_HARDWARE_ETHERNET, ETHERTYPE_IPV4, 6, 4, op, sha, spa, tha, tpa)
    return ethernet_frame(eth_dst, sha, ETHERTYPE_ARP, body)
