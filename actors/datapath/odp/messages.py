"""Netlink messages: the headers of all ODP requests, replies and upcalls, and their framing.

A message is struct nlmsghdr, struct genlmsghdr and struct ovs_header (the datapath's ifindex),
then attributes; all in native byte order.
"""

import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from actors.datapath.odp.constants import NLM_F_DUMP
from actors.datapath.odp.errors import OdpError

NLMSG_HEADER = struct.Struct("=IHHII")
NLMSG_HEADER_LENGTH: Final = 16
_GENL_HEADER = struct.Struct("=BBH")
GENL_PAYLOAD: Final = 20
"""Where the payload of a generic netlink message begins, in bytes."""
OVS_ATTRIBUTES: Final = 24
"""Where the attributes of an ODP message begin, in bytes."""
OVS_MESSAGE = struct.Struct("=IHHIIBBHi")
"""All three headers: length, family, flags, seq, pid, cmd, version, reserved, dp_ifindex."""
_IFINDEX = struct.Struct("=i")
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


class Families(Struct, frozen=True):
    """Generic netlink ids of the ODP families, which the kernel gives out when it boots.

    They are asked for by name (GetFamily); 0 is a family not resolved yet.
    """

    datapath: int = 0
    vport: int = 0
    flow: int = 0
    packet: int = 0


class NetlinkHeader(Struct, frozen=True):
    """struct nlmsghdr, and the command of the generic netlink header (0 if there is none)."""

    length: int
    type: int
    flags: int
    seq: int
    pid: int
    cmd: int = 0

    @property
    def dump(self) -> bool:
        """Whether a GET asks for all objects."""
        return self.flags & NLM_F_DUMP == NLM_F_DUMP

    def quoted(self) -> bytes:
        """Return the 16 bytes that an acknowledgement quotes."""
        return NLMSG_HEADER.pack(self.length, self.type, self.flags, self.seq, self.pid)


def split(datagram: bytes) -> Iterator[tuple[NetlinkHeader, bytes]]:
    """Yield each message's header and its payload behind struct nlmsghdr.

    Raises OdpError at the first message whose length does not fit; nothing behind it can be
    found.
    """
    at = 0
    size = len(datagram)
    while at < size:
        if size - at < NLMSG_HEADER_LENGTH:
            raise OdpError(f"{size - at} bytes are no netlink header")
        length, kind, flags, seq, pid = NLMSG_HEADER.unpack_from(datagram, at)
        if length < NLMSG_HEADER_LENGTH or length > size - at:
            raise OdpError(f"a netlink message claims {length} of {size - at} bytes")
        payload = datagram[at + NLMSG_HEADER_LENGTH : at + length]
        cmd = payload[0] if len(payload) >= _GENL_HEADER.size else 0
        yield NetlinkHeader(length, kind, flags, seq, pid, cmd), payload
        at += (length + 3) & ~3


def requests_of(written: memoryview) -> Iterator[bytes]:
    """Yield each of the messages that stand one behind the other.

    What is no whole message, and all behind it, comes as one.
    """
    at = 0
    size = len(written)
    while at < size:
        end = size
        if size - at >= NLMSG_HEADER_LENGTH:
            length = (NLMSG_HEADER.unpack_from(written, at)[0] + 3) & ~3
            if NLMSG_HEADER_LENGTH <= length <= size - at:
                end = at + length
        yield bytes(written[at:end])
        at = end


def read_ifindex(payload: bytes) -> int:
    """Return the datapath's ifindex from an ODP message's payload; OdpError if cut short."""
    if len(payload) < OVS_ATTRIBUTES - NLMSG_HEADER_LENGTH:
        raise OdpError("the message is too short for its datapath header")
    ifindex: int = _IFINDEX.unpack_from(payload, 4)[0]
    return ifindex


def ovs_message(
    family: int, cmd: int, version: int, attributes: bytes, *,
    dp_ifindex: int, seq: int, pid: int, flags: int = 0,
) -> bytes:  # fmt: skip
    """Return a whole ODP message, padded to 4 bytes; OdpError if a number is out of range."""
    length = OVS_ATTRIBUTES + len(attributes)
    try:
        head = OVS_MESSAGE.pack(length, family, flags, seq, pid, cmd, version, 0, dp_ifindex)
    except struct.error as error:
        raise OdpError(f"a netlink header field is out of range: {error}") from error
    return head + attributes + _PADDING[length & 3]


def genl_message(
    family: int, cmd: int, version: int, attributes: bytes, *, seq: int, pid: int, flags: int = 0
) -> bytes:
    """Return a generic netlink message without a datapath header, as the controller takes it."""
    try:
        return (
            NLMSG_HEADER.pack(GENL_PAYLOAD + len(attributes), family, flags, seq, pid)
            + _GENL_HEADER.pack(cmd, version, 0)
            + attributes
        )
    except struct.error as error:
        raise OdpError(f"a netlink header field is out of range: {error}") from error
