"""Flow state on the wire: frames that carry keys between hosts, split to fit the underlay.

    Ethernet  AC:CA:BA:00:15:01 -> AC:CA:BA:00:15:02, IPv4 169.254.15.1 -> 169.254.15.2,
    UDP 2925 -> 2925 (MidoNet's addresses), payload msgpack [version, host, [key, …]]

The reader is total: anything else is FlowStateError.
"""

from typing import Final

import msgspec

from actors.messages.flow_state import FlowStateKey
from actors.packets.errors import PacketError
from actors.packets.ethernet import ethernet_frame, l3_offset
from actors.packets.ipv4 import ipv4_packet, parse_ipv4
from actors.packets.transport import parse_udp, udp_datagram
from actors.values import HostId, parse_ip, parse_mac

VERSION: Final = 1
UDP_PORT: Final = 2925
OVERHEAD: Final = 50 + 14 + 20 + 8 + 64
"""Tunnel (the largest), Ethernet, IPv4 and UDP headers, and the message's own head, in bytes."""
TOS: Final = 184
"""DSCP EF, as control traffic should pass first."""

_SRC_MAC = parse_mac("ac:ca:ba:00:15:01")
_DST_MAC = parse_mac("ac:ca:ba:00:15:02")
_SRC_IP = parse_ip("169.254.15.1")
_DST_IP = parse_ip("169.254.15.2")


class FlowStateError(ValueError):
    """A frame is no flow state of a version that is known here."""


class FlowStateMessage(msgspec.Struct, frozen=True, array_like=True):
    """The payload."""

    version: int
    host: HostId
    keys: tuple[FlowStateKey, ...]


_decoder = msgspec.msgpack.Decoder(FlowStateMessage)


def encode_frames(host: HostId, keys: tuple[FlowStateKey, ...], mtu: int) -> tuple[bytes, ...]:
    """Return frames that together carry `keys`, each fit for an underlay of `mtu` bytes."""
    frames: list[bytes] = []
    batch: list[FlowStateKey] = []
    size = 0
    for key in keys:
        length = len(msgspec.msgpack.encode(key))
        if batch and size + length > mtu - OVERHEAD:
            frames.append(_frame(host, batch))
            batch, size = [], 0
        batch.append(key)
        size += length
    if batch:
        frames.append(_frame(host, batch))
    return tuple(frames)


def _frame(host: HostId, keys: list[FlowStateKey]) -> bytes:
    payload = msgspec.msgpack.encode(FlowStateMessage(VERSION, host, tuple(keys)))
    datagram = udp_datagram(_SRC_IP, _DST_IP, UDP_PORT, UDP_PORT, payload)
    packet = ipv4_packet(_SRC_IP, _DST_IP, 17, datagram, tos=TOS)
    return ethernet_frame(_DST_MAC, _SRC_MAC, 0x0800, packet)


def decode_frame(frame: bytes) -> tuple[FlowStateKey, ...]:
    """Read a frame; raise FlowStateError if it is anything else."""
    try:
        at = l3_offset(frame)
        header = parse_ipv4(frame, at)
        udp = parse_udp(frame, at + header.ihl)
        payload = frame[at + header.ihl + 8 : at + header.total_length]
        if header.proto != 17 or udp.dst != UDP_PORT:
            raise FlowStateError("not to the flow-state port")
        message = _decoder.decode(payload)
    except (PacketError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FlowStateError(str(error)) from error
    if message.version != VERSION:
        raise FlowStateError(f"version {message.version} is not known here")
    return message.keys
