"""Datapath actions: OVS_ACTION_ATTR_* to typed values and back.

Only what the agent emits and the soft datapath executes; anything else is refused with
OdpError when decoded. Header rewrites are sent as SET_MASKED, the tunnel as SET (the kernel
refuses a masked tunnel), as validate_set() in net/openvswitch/flow_netlink.c accepts them.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute, parse, read_u32, u32, walk
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import encode_tunnel
from actors.datapath.odp.rewrites import (
    REWRITES,
    Rewrite,
    SetEthernet,
    SetIpv4,
    SetIpv6,
    SetPriority,
    SetSkbMark,
    SetTcp,
    SetUdp,
    decode_rewrite,
    encode_rewrite,
    encode_set_ethernet,
    encode_set_ipv4,
)
from actors.datapath.odp.shape import TUNNEL_LENGTHS, KeyNode, tunnel_reader
from actors.packets.flow_key import TunnelKey

__all__ = [
    "Action",
    "Output",
    "PopVlan",
    "PushVlan",
    "SetEthernet",
    "SetIpv4",
    "SetIpv6",
    "SetPriority",
    "SetSkbMark",
    "SetTcp",
    "SetTunnel",
    "SetUdp",
    "Trunc",
    "Userspace",
    "decode_actions",
    "encode_actions",
]

MAX_ACTIONS_LENGTH: Final = 32 * 1024
"""MAX_ACTIONS_BUFSIZE of the kernel, in bytes."""

_CFI: Final = 0x1000
_MIN_TRUNC: Final = 14
"""The kernel keeps at least an Ethernet header (ETH_HLEN)."""
_OUTPUT = struct.Struct("=HHI")
_SET_TUNNEL = struct.Struct("=HHHH")
_TUNNEL: Final = c.OVS_KEY_ATTR_TUNNEL
_PUSH_VLAN = struct.Struct(">HH")


class Output(Struct, frozen=True, tag="output"):
    """Send the packet out of a datapath port."""

    port: int


class Userspace(Struct, frozen=True, tag="userspace"):
    """Send the packet as an upcall (OVS_PACKET_CMD_ACTION) to a netlink port id."""

    pid: int
    userdata: bytes = b""
    """Comes back in the upcall; b"" sends none."""


class PushVlan(Struct, frozen=True, tag="push_vlan"):
    """Push an outermost tag; the TCI must have the CFI bit 0x1000, which is not sent out."""

    tpid: int
    tci: int


class PopVlan(Struct, frozen=True, tag="pop_vlan"):
    """Pop the outermost tag."""


class SetTunnel(Struct, frozen=True, tag="set_tunnel"):
    """Set the outer header that a tunnel port will use."""

    tunnel: TunnelKey


class Trunc(Struct, frozen=True, tag="trunc"):
    """Cut the packet of the next output to `max_length` bytes (at least 14)."""

    max_length: int


Action = Output | Userspace | PushVlan | PopVlan | SetTunnel | Trunc | Rewrite


def encode_actions(actions: tuple[Action, ...]) -> bytes:
    """Return the payload of OVS_FLOW_ATTR_ACTIONS (or OVS_PACKET_ATTR_ACTIONS).

    Raises OdpError if a field is out of range or the list is longer than the kernel takes.
    """
    encoded = b"".join([_ENCODERS[type(action)](action) for action in actions])
    if len(encoded) > MAX_ACTIONS_LENGTH:
        raise OdpError(f"{len(encoded)} bytes of actions are more than {MAX_ACTIONS_LENGTH}")
    return encoded


def decode_actions(raw: bytes) -> tuple[Action, ...]:
    """Read the payload of an ACTIONS attribute; OdpError if malformed or not known here."""
    if len(raw) > MAX_ACTIONS_LENGTH:
        raise OdpError(f"{len(raw)} bytes of actions are more than {MAX_ACTIONS_LENGTH}")
    actions = []
    for kind, start, end in walk(raw):
        decode = _DECODERS.get(kind)
        if decode is None:
            raise OdpError(f"action {kind} is not supported")
        actions.append(decode(raw[start:end]))
    return tuple(actions)


def _encode_output(action: Output) -> bytes:
    if not 0 <= action.port <= 0xFFFFFFFF:
        raise OdpError(f"port {action.port} does not fit 32 bits")
    return _OUTPUT.pack(8, c.OVS_ACTION_ATTR_OUTPUT, action.port)


def _encode_set_tunnel(action: SetTunnel) -> bytes:
    if not any(action.tunnel.dst):
        raise OdpError("the kernel refuses a tunnel without a destination address")
    nested = encode_tunnel(action.tunnel)
    length = len(nested)
    return _SET_TUNNEL.pack(length + 8, c.OVS_ACTION_ATTR_SET, length + 4, _TUNNEL) + nested


def _encode_userspace(action: Userspace) -> bytes:
    body = u32(c.OVS_USERSPACE_ATTR_PID, action.pid)
    if action.userdata:
        body += attribute(c.OVS_USERSPACE_ATTR_USERDATA, action.userdata)
    return attribute(c.OVS_ACTION_ATTR_USERSPACE, body)


def _encode_push_vlan(action: PushVlan) -> bytes:
    return attribute(c.OVS_ACTION_ATTR_PUSH_VLAN, _push_vlan(action.tpid, action.tci))


def _encode_pop_vlan(_: PopVlan) -> bytes:
    return attribute(c.OVS_ACTION_ATTR_POP_VLAN, b"")


def _encode_trunc(action: Trunc) -> bytes:
    if action.max_length < _MIN_TRUNC:
        raise OdpError(f"a packet cannot be cut to {action.max_length} bytes")
    return u32(c.OVS_ACTION_ATTR_TRUNC, action.max_length)


def _push_vlan(tpid: int, tci: int) -> bytes:
    if tpid not in (0x8100, 0x88A8) or not tci & _CFI or not 0 <= tci <= 0xFFFF:
        raise OdpError(f"the kernel refuses to push a tag of type {tpid:#06x} with TCI {tci:#06x}")
    return _PUSH_VLAN.pack(tpid, tci)


def _decode_output(payload: bytes) -> Action:
    return Output(read_u32(payload))


def _decode_userspace(payload: bytes) -> Action:
    nested = parse(payload)
    pid = nested.get(c.OVS_USERSPACE_ATTR_PID)
    if pid is None or not set(nested) <= {
        c.OVS_USERSPACE_ATTR_PID,
        c.OVS_USERSPACE_ATTR_USERDATA,
    }:
        raise OdpError("a userspace action has no port id, or attributes not known here")
    return Userspace(read_u32(pid), nested.get(c.OVS_USERSPACE_ATTR_USERDATA, b""))


def _decode_push_vlan(payload: bytes) -> Action:
    if len(payload) != _PUSH_VLAN.size:
        raise OdpError(f"a push_vlan action has {len(payload)} bytes")
    tpid, tci = _PUSH_VLAN.unpack(payload)
    _push_vlan(tpid, tci)
    return PushVlan(tpid, tci)


def _decode_pop_vlan(payload: bytes) -> Action:
    if payload:
        raise OdpError("a pop_vlan action has an argument")
    return PopVlan()


def _decode_trunc(payload: bytes) -> Action:
    length = read_u32(payload)
    if length < _MIN_TRUNC:
        raise OdpError(f"a packet cannot be cut to {length} bytes")
    return Trunc(length)


def _decode_set(payload: bytes) -> Action:
    kind, value = _only(payload)
    if kind == c.OVS_KEY_ATTR_TUNNEL:
        return SetTunnel(_decode_tunnel(value))
    if kind not in REWRITES:
        raise OdpError(f"key attribute {kind} cannot be set")
    return decode_rewrite(kind, value, exact=True)


def _decode_set_masked(payload: bytes) -> Action:
    kind, value = _only(payload)
    if kind not in REWRITES:
        raise OdpError(f"key attribute {kind} cannot be set under a mask")
    return decode_rewrite(kind, value, exact=False)


def _only(payload: bytes) -> tuple[int, bytes]:
    nested = [(kind, payload[start:end]) for kind, start, end in walk(payload)]
    if len(nested) != 1:
        raise OdpError(f"a set action has {len(nested)} attributes instead of one")
    return nested[0]


def _decode_tunnel(value: bytes) -> TunnelKey:
    nodes = tuple(KeyNode(kind, start, end) for kind, start, end in walk(value))
    kinds = {node.kind for node in nodes}
    for node in nodes:
        if TUNNEL_LENGTHS.get(node.kind) != node.end - node.start:
            raise OdpError(f"tunnel attribute {node.kind} is unknown or has a wrong length")
    if len(kinds) != len(nodes) or c.OVS_TUNNEL_KEY_ATTR_TTL not in kinds:
        raise OdpError("a tunnel has a repeated attribute or no TTL")
    tunnel = tunnel_reader(nodes, len(value))(value)
    if not any(tunnel.dst):
        raise OdpError("a tunnel has no destination address")
    if tunnel.src and len(tunnel.src) != len(tunnel.dst):
        raise OdpError("a tunnel's addresses are of two families")
    return tunnel


_DECODERS: Final[dict[int, Callable[[bytes], Action]]] = {
    c.OVS_ACTION_ATTR_OUTPUT: _decode_output,
    c.OVS_ACTION_ATTR_USERSPACE: _decode_userspace,
    c.OVS_ACTION_ATTR_SET: _decode_set,
    c.OVS_ACTION_ATTR_PUSH_VLAN: _decode_push_vlan,
    c.OVS_ACTION_ATTR_POP_VLAN: _decode_pop_vlan,
    c.OVS_ACTION_ATTR_SET_MASKED: _decode_set_masked,
    c.OVS_ACTION_ATTR_TRUNC: _decode_trunc,
}

# By type, since a chain of tests would cost more than the packing. The argument is the type of
# the table's own key, which no annotation can say.
_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    Output: _encode_output,
    Userspace: _encode_userspace,
    PushVlan: _encode_push_vlan,
    PopVlan: _encode_pop_vlan,
    SetTunnel: _encode_set_tunnel,
    Trunc: _encode_trunc,
    SetEthernet: encode_set_ethernet,
    SetIpv4: encode_set_ipv4,
    SetIpv6: encode_rewrite,
    SetTcp: encode_rewrite,
    SetUdp: encode_rewrite,
    SetPriority: encode_rewrite,
    SetSkbMark: encode_rewrite,
}
