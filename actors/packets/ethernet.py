"""Ethernet II frames: building one, finding the payload behind its VLAN tags."""

import struct
from typing import Final

from msgspec import Struct

from actors.packets.errors import PacketError
from actors.values import Mac

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_ARP: Final = 0x0806
ETHERTYPE_RARP: Final = 0x8035
ETHERTYPE_VLAN: Final = 0x8100
ETHERTYPE_QINQ: Final = 0x88A8
ETHERTYPE_IPV6: Final = 0x86DD
VLAN_ETHERTYPES: Final = frozenset((ETHERTYPE_VLAN, ETHERTYPE_QINQ))

ETHERNET_HEADER_LENGTH: Final = 14
VLAN_TAG_LENGTH: Final = 4
_MAX_TAGS: Final = 2  # as the openvswitch module: what is behind a third tag is not looked at

_HEADER = struct.Struct(">6s6sH")
_TAG = struct.Struct(">HH")
_WORD = struct.Struct(">H")


class EthernetHeader(Struct, frozen=True):
    """Addresses, tags and where the payload begins."""

    dst: Mac
    src: Mac
    ethertype: int
    """Of the payload, behind the tags; below 0x600 it is an 802.3 length."""
    payload_offset: int
    """In bytes from the start of the frame."""
    vlan_tci: int = 0
    """Outer tag as on the wire; 0 when there is none, see `vlan_tpid`."""
    vlan_tpid: int = 0


def ethernet_frame(
    dst: bytes, src: bytes, ethertype: int, payload: bytes, vlan_tci: int = 0
) -> bytes:
    """Return a frame, unpadded, with an 802.1Q tag if `vlan_tci` is not 0."""
    if len(dst) != 6 or len(src) != 6 or not 0 <= ethertype <= 0xFFFF:
        raise PacketError("an Ethernet header takes two 6-byte addresses and a 16-bit type")
    if vlan_tci == 0:
        return _HEADER.pack(dst, src, ethertype) + payload
    if not 0 < vlan_tci <= 0xFFFF:
        raise PacketError(f"VLAN TCI {vlan_tci} does not fit 16 bits")
    return _HEADER.pack(dst, src, ETHERTYPE_VLAN) + _TAG.pack(vlan_tci, ethertype) + payload


def parse_ethernet(frame: bytes) -> EthernetHeader:
    """Read a frame's header and up to two VLAN tags; PacketError if cut short."""
    if len(frame) < ETHERNET_HEADER_LENGTH:
        raise PacketError(f"a frame of {len(frame)} bytes has no whole Ethernet header")
    dst, src, ethertype = _HEADER.unpack_from(frame)
    offset = ETHERNET_HEADER_LENGTH
    tci = tpid = 0
    for tag in range(_MAX_TAGS):
        if ethertype not in VLAN_ETHERTYPES:
            break
        if len(frame) < offset + VLAN_TAG_LENGTH:
            raise PacketError("the frame ends inside a VLAN tag")
        if tag == 0:
            tpid = ethertype
            tci, ethertype = _TAG.unpack_from(frame, offset)
        else:
            (ethertype,) = _WORD.unpack_from(frame, offset + 2)
        offset += VLAN_TAG_LENGTH
    return EthernetHeader(dst, src, ethertype, offset, tci, tpid)


def l3_offset(frame: bytes) -> int:
    """Return where the payload begins, behind up to two VLAN tags; PacketError if cut short."""
    if len(frame) < ETHERNET_HEADER_LENGTH:
        raise PacketError(f"a frame of {len(frame)} bytes has no whole Ethernet header")
    offset = ETHERNET_HEADER_LENGTH
    for _ in range(_MAX_TAGS):
        if frame[offset - 2] << 8 | frame[offset - 1] not in VLAN_ETHERTYPES:
            break
        offset += VLAN_TAG_LENGTH
        if len(frame) < offset:
            raise PacketError("the frame ends inside a VLAN tag")
    return offset
