"""Requests that no datapath grants: malformed attributes, keys that contradict themselves."""

import errno
import struct

import pytest

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output, encode_actions
from actors.datapath.odp.attributes import attribute, u32, walk
from actors.datapath.odp.messages import ovs_message
from actors.datapath.odp.replies import Acknowledged, NetlinkRefused, Reply
from actors.datapath.odp.requests import ExecutePacket, NewFlow
from tests.datapath.conformance import frames as f
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import Frame

_ACTIONS = encode_actions((Output(2),))
_PORT = u32(odp.OVS_KEY_ATTR_IN_PORT, 1)
_ETH = attribute(odp.OVS_KEY_ATTR_ETHERNET, f.MAC_A + f.MAC_B)


def _type(ethertype: int) -> bytes:
    return attribute(odp.OVS_KEY_ATTR_ETHERTYPE, struct.pack("!H", ethertype))


def _ipv4(proto: int, frag: int = 0) -> bytes:
    return attribute(odp.OVS_KEY_ATTR_IPV4, f.IP_A + f.IP_B + bytes((proto, 0, 64, frag)))


def _ipv6(proto: int, label: int = 0) -> bytes:
    fields = struct.pack("!IBBBB", label, proto, 0, 64, 0)
    return attribute(odp.OVS_KEY_ATTR_IPV6, f.IP6_A + f.IP6_B + fields)


def _ports(kind: int) -> bytes:
    return attribute(kind, struct.pack("!HH", 1000, 2000))


_UDP = _ports(odp.OVS_KEY_ATTR_UDP)
_TCP = _ports(odp.OVS_KEY_ATTR_TCP) + attribute(odp.OVS_KEY_ATTR_TCP_FLAGS, b"\0\x12")
_IP = _PORT + _ETH + _type(0x0800)
_TCP_KEY = _IP + _ipv4(f.TCP) + _TCP
_UDP_KEY = _IP + _ipv4(f.UDP) + _UDP
_ARP_KEY = (
    _PORT + _ETH + _type(0x0806) + attribute(odp.OVS_KEY_ATTR_ARP, bytes(9) + b"\1" + bytes(14))
)
_TCP6_KEY = _PORT + _ETH + _type(0x86DD) + _ipv6(f.TCP) + _TCP


def _tag(tci: int, inside: bytes, tpid: int = 0x8100) -> bytes:
    vlan = attribute(odp.OVS_KEY_ATTR_VLAN, struct.pack("!H", tci))
    return _type(tpid) + vlan + attribute(odp.OVS_KEY_ATTR_ENCAP, inside)


_TAGGED_KEY = _PORT + _ETH + _tag(0x1005, _type(0x0800) + _ipv4(f.UDP) + _UDP)

GOOD_KEYS = {
    "tcp": _TCP_KEY,
    "udp": _UDP_KEY,
    "arp": _ARP_KEY,
    "tcp6": _TCP6_KEY,
    "tagged": _TAGGED_KEY,
    "without port": _TCP_KEY[len(_PORT) :],
    "later fragment": _IP + _ipv4(f.TCP, 2),
    "unknown ethertype": _PORT + _ETH + _type(0x88CC),
    "802.3": _PORT + _ETH,
}
BAD_KEYS = {
    "empty": b"",
    "cut attribute": _TCP_KEY[:-2],
    "ethertype of 4 bytes": _PORT + _ETH + attribute(odp.OVS_KEY_ATTR_ETHERTYPE, b"\x08\0\0\0"),
    "addresses too short": _PORT + attribute(odp.OVS_KEY_ATTR_ETHERNET, bytes(8)) + _type(0x88CC),
    "ipv4 too short": _IP + attribute(odp.OVS_KEY_ATTR_IPV4, bytes(8)),
    "twice": _TCP_KEY + _TCP,
    "ipv4 without its header": _IP,
    "ipv4 with ipv6's": _IP + _ipv6(f.TCP),
    "ipv6 without its header": _PORT + _ETH + _type(0x86DD),
    "arp without its header": _PORT + _ETH + _type(0x0806),
    "tcp without ports": _IP + _ipv4(f.TCP),
    "tcp without flags": _IP + _ipv4(f.TCP) + _ports(odp.OVS_KEY_ATTR_TCP),
    "tcp with udp's ports": _IP + _ipv4(f.TCP) + _UDP,
    "ports without ip": _PORT + _ETH + _type(0x88CC) + _TCP,
    "icmpv6 in ipv4": _IP + _ipv4(f.ICMP) + attribute(odp.OVS_KEY_ATTR_ICMPV6, b"\x80\0"),
    "solicitation without target": (
        _PORT + _ETH + _type(0x86DD) + _ipv6(f.ICMPV6)
        + attribute(odp.OVS_KEY_ATTR_ICMPV6, b"\x87\0")
    ),
    "port number too large": u32(odp.OVS_KEY_ATTR_IN_PORT, 65535) + _ETH + _type(0x88CC),
    "fragment type 3": _IP + _ipv4(f.TCP, 3),
    "label of 21 bits": _PORT + _ETH + _type(0x86DD) + _ipv6(f.TCP, 1 << 20) + _TCP,
    "arp opcode of 9 bits": (
        _PORT + _ETH + _type(0x0806)
        + attribute(odp.OVS_KEY_ATTR_ARP, bytes(8) + b"\1\1" + bytes(14))
    ),
    "ethertype of a length": _PORT + _ETH + _type(0x0500),
    "tag without presence bit": _PORT + _ETH + _tag(0x0005, _type(0x88CC)),
    "tag without encapsulation": (
        _PORT + _ETH + _type(0x8100) + attribute(odp.OVS_KEY_ATTR_VLAN, b"\x10\5")
    ),
    "tag of a foreign type": _PORT + _ETH + _tag(0x1005, _type(0x88CC), 0x0800),
    "unknown attribute": _TCP_KEY + u32(99, 0),
    "tunnel of nothing": attribute(odp.OVS_KEY_ATTR_TUNNEL, b"") + _TCP_KEY,
    "tunnel without destination": (
        attribute(odp.OVS_KEY_ATTR_TUNNEL, attribute(odp.OVS_TUNNEL_KEY_ATTR_TTL, b"\x40"))
        + _TCP_KEY
    ),
    "tunnel id of 4 bytes": (
        attribute(odp.OVS_KEY_ATTR_TUNNEL, attribute(odp.OVS_TUNNEL_KEY_ATTR_ID, bytes(4)))
        + _TCP_KEY
    ),
}  # fmt: skip


def _ones(raw_key: bytes, **other: bytes) -> bytes:
    """A mask of all bits, but for the attributes given by `a<number>`."""
    mask = bytearray(raw_key)
    for kind, start, end in walk(raw_key):
        if kind == odp.OVS_KEY_ATTR_ENCAP:
            mask[start:end] = _ones(raw_key[start:end])
        else:
            mask[start:end] = other.get(f"a{kind}", b"\xff" * (end - start))
    return bytes(mask)


_FULL_ARP = attribute(odp.OVS_KEY_ATTR_ARP, b"\xff" * 22 + b"\0\0")
BAD_MASKS = {
    "of what the key lacks": (_UDP_KEY, _ones(_UDP_KEY) + _FULL_ARP),
    "of another layer": (_UDP_KEY, _ones(_TCP_KEY)),
    "ports of any protocol": (_TCP_KEY, _ones(_TCP_KEY, a7=bytes(12))),
    "addresses of any type": (_TCP_KEY, _ones(_TCP_KEY)[len(_PORT + _ETH + _type(0)) :]),
    "of a wrong length": (_UDP_KEY, attribute(odp.OVS_KEY_ATTR_IPV4, b"\xff" * 8)),
    "cut": (_UDP_KEY, _ones(_UDP_KEY)[:-2]),
    "tag without presence bit": (_TAGGED_KEY, _ones(_TAGGED_KEY, a5=b"\x0f\xff")),
    "tag type in part": (_TAGGED_KEY, _ones(_TAGGED_KEY, a6=b"\xff\0")),
    "unknown attribute": (_UDP_KEY, _ones(_UDP_KEY) + u32(99, 1)),
}


def _set(kind: int, payload: bytes, action: int = odp.OVS_ACTION_ATTR_SET) -> bytes:
    return attribute(action, attribute(kind, payload))


_MASKED = odp.OVS_ACTION_ATTR_SET_MASKED
_SET_TTL = _set(odp.OVS_KEY_ATTR_IPV4, bytes(10) + b"\1\0" + bytes(10) + b"\xff\0", _MASKED)
_SET_TCP = _set(odp.OVS_KEY_ATTR_TCP, bytes(4) + b"\xff" * 4, _MASKED)
_REMOTE = attribute(odp.OVS_TUNNEL_KEY_ATTR_IPV4_DST, f.IP_B)
_TTL = attribute(odp.OVS_TUNNEL_KEY_ATTR_TTL, b"\x40")
BAD_ACTIONS = {
    "unknown": (_TCP_KEY, u32(99, 0)),
    "cut": (_TCP_KEY, _ACTIONS[:-2]),
    "output without port": (_TCP_KEY, attribute(odp.OVS_ACTION_ATTR_OUTPUT, b"")),
    "output to too large a port": (_TCP_KEY, u32(odp.OVS_ACTION_ATTR_OUTPUT, 65535)),
    "userspace without port id": (_TCP_KEY, attribute(odp.OVS_ACTION_ATTR_USERSPACE, b"")),
    "tag of a foreign type": (
        _TCP_KEY, attribute(odp.OVS_ACTION_ATTR_PUSH_VLAN, b"\x08\0\x10\5")
    ),
    "tag without presence bit": (
        _TCP_KEY, attribute(odp.OVS_ACTION_ATTR_PUSH_VLAN, b"\x81\0\0\5")
    ),
    "tag cut": (_TCP_KEY, attribute(odp.OVS_ACTION_ATTR_PUSH_VLAN, b"\x81\0")),
    "cut below a header": (_TCP_KEY, u32(odp.OVS_ACTION_ATTR_TRUNC, 13)),
    "set nothing": (_TCP_KEY, attribute(odp.OVS_ACTION_ATTR_SET, b"")),
    "set two": (
        _TCP_KEY,
        attribute(odp.OVS_ACTION_ATTR_SET, u32(odp.OVS_KEY_ATTR_PRIORITY, 1) * 2),
    ),
    "set the port": (_TCP_KEY, _set(odp.OVS_KEY_ATTR_IN_PORT, bytes(4))),
    "set too short": (_TCP_KEY, _set(odp.OVS_KEY_ATTR_ETHERNET, bytes(6))),
    "set without mask": (_TCP_KEY, _set(odp.OVS_KEY_ATTR_ETHERNET, bytes(12), _MASKED)),
    "set ipv4 of arp": (_ARP_KEY, _SET_TTL),
    "set ipv4 of ipv6": (_TCP6_KEY, _SET_TTL),
    "set tcp of udp": (_UDP_KEY, _SET_TCP),
    "set the protocol under a mask": (
        _TCP_KEY, _set(odp.OVS_KEY_ATTR_IPV4, bytes(20) + b"\xff\0\0\0", _MASKED)
    ),
    "tunnel under a mask": (_TCP_KEY, _set(odp.OVS_KEY_ATTR_TUNNEL, _REMOTE + _TTL, _MASKED)),
    "tunnel without destination": (_TCP_KEY, _set(odp.OVS_KEY_ATTR_TUNNEL, _TTL)),
    "tunnel without ttl": (_TCP_KEY, _set(odp.OVS_KEY_ATTR_TUNNEL, _REMOTE)),
}  # fmt: skip
_BAD = {
    **{f"key: {name}": (key, _ACTIONS, None) for name, key in BAD_KEYS.items()},
    **{f"mask: {name}": (key, _ACTIONS, mask) for name, (key, mask) in BAD_MASKS.items()},
    **{f"action: {name}": (key, actions, None) for name, (key, actions) in BAD_ACTIONS.items()},
}


@pytest.mark.parametrize("name", GOOD_KEYS)
def test_a_flow_is_made_of_any_whole_key(bench: Bench, name: str) -> None:
    key = GOOD_KEYS[name]
    assert bench.dialogue.refusal(NewFlow(bench.dp, key, _ACTIONS), odp.NLM_F_CREATE) == 0
    assert bench.delete(None, key).actions == _ACTIONS


@pytest.mark.parametrize("name", _BAD)
def test_a_malformed_flow_is_einval(bench: Bench, name: str) -> None:
    key, actions, mask = _BAD[name]
    request = NewFlow(bench.dp, key, actions, mask)
    assert bench.dialogue.refusal(request, odp.NLM_F_CREATE) == errno.EINVAL
    assert not bench.flows()


@pytest.mark.parametrize("length", [0, 1, 13])
def test_a_packet_without_an_ethernet_header_is_not_executed(bench: Bench, length: int) -> None:
    request = ExecutePacket(bench.dp, b"", _ACTIONS, Frame().raw()[:length])
    assert bench.dialogue.refusal(request) == errno.ERANGE


def test_a_packet_is_not_executed_with_malformed_actions_or_metadata(bench: Bench) -> None:
    frame = Frame().raw()
    for key, actions in (
        (b"", u32(99, 0)),
        (b"", _ACTIONS[:-2]),
        (b"", _SET_TCP),
        (u32(odp.OVS_KEY_ATTR_IN_PORT, 65535), _ACTIONS),
        (attribute(odp.OVS_KEY_ATTR_IN_PORT, b"\1"), _ACTIONS),
    ):
        request = ExecutePacket(bench.dp, key, actions, frame)
        assert bench.dialogue.refusal(request) == errno.EINVAL
    assert (
        bench.dialogue.refusal(ExecutePacket(bench.dp + 1000, b"", _ACTIONS, frame)) == errno.ENODEV
    )
    assert not bench.outcome(0).frames[1]


@pytest.mark.parametrize("lacking", [odp.OVS_FLOW_ATTR_KEY, odp.OVS_FLOW_ATTR_ACTIONS])
def test_a_flow_needs_key_and_actions(bench: Bench, lacking: int) -> None:
    parts = {odp.OVS_FLOW_ATTR_KEY: _TCP_KEY, odp.OVS_FLOW_ATTR_ACTIONS: _ACTIONS}
    body = b"".join(attribute(k, payload) for k, payload in parts.items() if k != lacking)
    assert _raw(bench, bench.dialogue.families.flow, odp.OVS_FLOW_CMD_NEW, body) == NetlinkRefused(
        500, errno.EINVAL
    )


@pytest.mark.parametrize(
    "lacking",
    [odp.OVS_PACKET_ATTR_KEY, odp.OVS_PACKET_ATTR_ACTIONS, odp.OVS_PACKET_ATTR_PACKET, None],
)
def test_an_executed_packet_needs_key_actions_and_frame(bench: Bench, lacking: int | None) -> None:
    parts = {
        odp.OVS_PACKET_ATTR_KEY: b"",
        odp.OVS_PACKET_ATTR_ACTIONS: _ACTIONS,
        odp.OVS_PACKET_ATTR_PACKET: Frame().raw(),
    }
    body = b"".join(attribute(k, payload) for k, payload in parts.items() if k != lacking)
    reply = _raw(bench, bench.dialogue.families.packet, odp.OVS_PACKET_CMD_EXECUTE, body)
    assert reply == (Acknowledged(500) if lacking is None else NetlinkRefused(500, errno.EINVAL))


def _raw(bench: Bench, family: int, cmd: int, body: bytes) -> Reply:
    message = ovs_message(
        family, cmd, 1, body, dp_ifindex=bench.dp, seq=500, pid=0,
        flags=odp.NLM_F_REQUEST | odp.NLM_F_ACK | odp.NLM_F_CREATE,
    )  # fmt: skip
    bench.dialogue.send(message)
    return bench.dialogue.next_reply()
