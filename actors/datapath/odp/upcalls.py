"""Upcalls: packets that the datapath hands to user space (OVS_PACKET_CMD_MISS and _ACTION)."""

import struct
from typing import Final

from msgspec import Struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import OVS_ATTRIBUTES, OVS_MESSAGE, ovs_message

_ATTRIBUTE = struct.Struct("=HH").unpack_from

# A miss as the kernel lays it out, KEY, HASH, PACKET, by the header of the key: two or three
# reads of fixed places in the stead of a walk, for almost every upcall.
_HASH: Final = struct.pack("=HH", 12, c.OVS_PACKET_ATTR_HASH)
_MISSES: Final = {
    struct.pack("=HH", length + 4, c.OVS_PACKET_ATTR_KEY): struct.Struct(
        f"=I12xB3xi4x{length}s4s8xHH"
    )
    for length in range(64, 513, 4)
}


class Upcall(Struct, frozen=True):
    """One packet from the datapath."""

    cmd: int
    """OVS_PACKET_CMD_MISS or OVS_PACKET_CMD_ACTION."""
    dp_ifindex: int
    raw_key: bytes
    """As received, before any action; fit for OVS_FLOW_ATTR_KEY as it is."""
    frame: bytes
    """As it is after the actions before the userspace action."""
    userdata: bytes = b""


def decode_upcall(datagram: bytes) -> Upcall:
    """Read one upcall; attributes other than key, packet and userdata are passed over.

    Raises OdpError if it is malformed, or no upcall.
    """
    layout = _MISSES.get(datagram[OVS_ATTRIBUTES : OVS_ATTRIBUTES + 4])
    if layout is not None and len(datagram) >= layout.size:
        end, cmd, dp_ifindex, raw_key, hash_header, length, kind = layout.unpack_from(datagram)
        frame_end = layout.size + length - 4
        if (
            cmd == c.OVS_PACKET_CMD_MISS
            and hash_header == _HASH
            and kind == c.OVS_PACKET_ATTR_PACKET
            and frame_end <= end <= len(datagram)
            and length >= 4
            and end - frame_end <= -length & 3
        ):
            return Upcall(cmd, dp_ifindex, raw_key, datagram[layout.size : frame_end])
    if len(datagram) < OVS_ATTRIBUTES:
        raise OdpError(f"{len(datagram)} bytes are no upcall")
    end, _, _, _, _, cmd, _, _, dp_ifindex = OVS_MESSAGE.unpack_from(datagram)
    if not OVS_ATTRIBUTES <= end <= len(datagram):
        raise OdpError(f"an upcall claims {end} of {len(datagram)} bytes")
    if cmd not in (c.OVS_PACKET_CMD_MISS, c.OVS_PACKET_CMD_ACTION):
        raise OdpError(f"packet command {cmd} is no upcall")
    key = frame = None
    userdata = b""
    at = OVS_ATTRIBUTES
    while end - at >= 4:
        length, kind = _ATTRIBUTE(datagram, at)
        if length < 4 or length > end - at:
            raise OdpError(f"attribute {kind} of an upcall claims {length} bytes")
        kind &= c.NLA_TYPE_MASK
        if kind == c.OVS_PACKET_ATTR_KEY:
            key = datagram[at + 4 : at + length]
        elif kind == c.OVS_PACKET_ATTR_PACKET:
            frame = datagram[at + 4 : at + length]
        elif kind == c.OVS_PACKET_ATTR_USERDATA:
            userdata = datagram[at + 4 : at + length]
        at += (length + 3) & ~3
    if key is None or frame is None or at < end:
        raise OdpError("an upcall lacks its key or packet, or has bytes left behind")
    return Upcall(cmd, dp_ifindex, key, frame, userdata)


def encode_upcall(
    family: int,
    dp_ifindex: int,
    cmd: int,
    raw_key: bytes,
    frame: bytes,
    userdata: bytes = b"",
    packet_hash: int = 0,
) -> bytes:
    """Return an upcall as queue_userspace_packet() makes it: KEY, USERDATA, HASH, PACKET.

    Sequence number and port id are 0, by which netlink tells a notification from a reply.
    Raises OdpError if the frame does not fit an attribute.
    """
    if not 0 <= packet_hash < 1 << 64:
        raise OdpError(f"packet hash {packet_hash} does not fit 64 bits")
    parts = (
        attribute(c.OVS_PACKET_ATTR_KEY, raw_key),
        attribute(c.OVS_PACKET_ATTR_USERDATA, userdata) if userdata else b"",
        attribute(c.OVS_PACKET_ATTR_HASH, struct.pack("=Q", packet_hash)),
        attribute(c.OVS_PACKET_ATTR_PACKET, frame),
    )
    return ovs_message(
        family, cmd, c.OVS_PACKET_VERSION, b"".join(parts), dp_ifindex=dp_ifindex, seq=0, pid=0
    )
