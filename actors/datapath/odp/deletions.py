"""Deletions: the echoes of flow deletes, counted without being made values of.

They are by far the most frequent replies, and nobody asks which flow was which: they are counted,
and their last statistics added up. Receives datagrams of replies; whatever looks otherwise is left
to the general decoder, so nothing is malformed here.
"""

import struct
from functools import lru_cache
from typing import Final

from msgspec import Struct

from actors.datapath.odp import constants as c
from actors.datapath.sequence import KIND_DELETE

# An echo with OVS_UFID_F_OMIT_*: UFID; if the flow was used, STATS and USED; TCP_FLAGS if any.
_UNUSED_LENGTH: Final = 44
_USED_LENGTHS: Final = frozenset({76, 84})
_WITHOUT_FLAGS: Final = 76
_ECHO = struct.Struct("=IH2xII8x4s").unpack_from
_USED = struct.Struct("=4s8x4sQQ").unpack_from
_UFID, _USED_HEADER, _STATS, _FLAGS = (
    struct.pack("=HH", length, kind)
    for length, kind in (
        (4 + c.UFID_LENGTH, c.OVS_FLOW_ATTR_UFID),
        (12, c.OVS_FLOW_ATTR_USED),
        (20, c.OVS_FLOW_ATTR_STATS),
        (5, c.OVS_FLOW_ATTR_TCP_FLAGS),
    )
)
_MOST_AT_ONCE: Final = 128
"""Echoes of unused flows that are looked at together; a send asks for no more."""


class Deletions(Struct, frozen=True, gc=False):
    """What a datagram's first echoes come to, and where they end in it."""

    end: int = 0
    flows: int = 0
    packets: int = 0
    octets: int = 0


def count_deletions(datagram: bytes, family: int, pid: int) -> Deletions:
    """Add up the echoes of our flow deletes (to port id `pid`) that a datagram begins with."""
    size = len(datagram)
    count = size // _UNUSED_LENGTH
    if count <= _MOST_AT_ONCE and size == count * _UNUSED_LENGTH:
        headers, bits = _all_unused(count, family, pid)
        if int.from_bytes(datagram) & bits == headers:
            return Deletions(size, count)
    return _one_by_one(datagram, family, pid)


def _one_by_one(datagram: bytes, family: int, pid: int) -> Deletions:
    end = flows = packets = octets = 0
    size = len(datagram)
    while size - end >= _UNUSED_LENGTH:
        length, kind, sequence, to, ufid = _ECHO(datagram, end)
        if kind != family or to != pid or ufid != _UFID or sequence >> 30 != KIND_DELETE:
            break
        if length in _USED_LENGTHS and length <= size - end:
            used, statistics, more_packets, more_octets = _USED(datagram, end + _UNUSED_LENGTH)
            flags = datagram[end + _WITHOUT_FLAGS : end + length]
            if used != _USED_HEADER or statistics != _STATS or (flags and flags[:4] != _FLAGS):
                break
            packets += more_packets
            octets += more_octets
        elif length != _UNUSED_LENGTH:
            break
        flows += 1
        end += length
    return Deletions(end, flows, packets, octets)


@lru_cache(_MOST_AT_ONCE)
def _all_unused(count: int, family: int, pid: int) -> tuple[int, int]:
    """Return what all echoes of a datagram have in common, and the mask of those bits.

    One AND over the datagram then tells that each is of an unused flow.
    """
    layout = struct.Struct("=IHHIIII4s16s")
    one = layout.pack(_UNUSED_LENGTH, family, 0, KIND_DELETE << 30, pid, 0, 0, _UFID, b"")
    ones = 0xFFFFFFFF
    bits = layout.pack(ones, 0xFFFF, 0, 3 << 30, ones, 0, 0, b"\xff" * 4, b"")
    return int.from_bytes(one * count), int.from_bytes(bits * count)
