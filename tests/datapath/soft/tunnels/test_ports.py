"""Tunnel ports on real sockets: what they take, what they send, and streams between two of them."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from msgspec import Struct

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Action, Output, SetTunnel, encode_actions
from actors.datapath.odp.key import decode_key, encode_key
from actors.datapath.odp.requests import ExecutePacket
from actors.datapath.odp.upcalls import Upcall
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import TunnelKey
from actors.values import IpAddress
from tests.datapath.conformance.waiting import PATIENCE
from tests.datapath.soft.agent import Agent
from tests.datapath.soft.frames import UDP, ip_frame
from tests.datapath.soft.namespaces import Namespace, namespaces_are_permitted
from tests.datapath.soft.test_forwarding import Pair, datagram, transfer

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not namespaces_are_permitted(), reason="may not make network namespaces"),
]
FRAME = ip_frame(UDP, struct.pack("!HHHH", 1, 2, 8, 0))
FAR = "10.0.0.2"


class Kind(Struct, frozen=True):
    """A type of tunnel: a header with key 7, and what must not pass for a frame of it."""

    type: int
    port: int | None
    header: bytes
    wrong: tuple[bytes, ...]

    def sender(self, host: Namespace) -> socket.socket:
        """Return a socket whose datagrams the port receives behind their outer headers."""
        if self.port is None:
            return host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
        return host.socket(socket.AF_INET, socket.SOCK_DGRAM)


VXLAN = Kind(
    odp.OVS_VPORT_TYPE_VXLAN,
    6677,
    struct.pack("!II", 0x08000000, 7 << 8),
    (
        struct.pack("!II", 0, 7 << 8),
        struct.pack("!II", 0x0C000000, 7 << 8),
        b"\x08" + bytes(6) + b"1",
    ),
)
GENEVE = Kind(
    odp.OVS_VPORT_TYPE_GENEVE,
    6081,
    struct.pack("!HHI", 0, 0x6558, 7 << 8),
    (struct.pack("!HHI", 0x4000, 0x6558, 7 << 8), struct.pack("!HHI", 0, 0x0800, 7 << 8)),
)
GRE = Kind(
    odp.OVS_VPORT_TYPE_GRE,
    None,
    struct.pack("!HHI", 0x2000, 0x6558, 7),
    (struct.pack("!HHI", 0x2001, 0x6558, 7), struct.pack("!HHI", 0, 0x6558, 7)),
)
every_kind = pytest.mark.parametrize("kind", [VXLAN, GENEVE, GRE], ids=["vxlan", "geneve", "gre"])


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace() as namespace:
        yield namespace


def _send(agent: Agent, *actions: Action) -> None:
    """Have the datapath send FRAME."""
    key = encode_key(flow_key_of(FRAME, 0))
    agent.ask(ExecutePacket(agent.dp_ifindex, key, encode_actions(actions), FRAME))


def _from_port(agent: Agent, number: int) -> tuple[Upcall, TunnelKey]:
    """Return the next upcall of a port and the tunnel key that it came with."""
    while True:
        upcall = agent.next_upcall()
        key = decode_key(upcall.raw_key)
        if key.in_port == number:
            assert key.tunnel is not None
            return upcall, key.tunnel


@every_kind
def test_what_is_malformed_is_dropped_and_counted(
    host: Namespace, agent: Agent, kind: Kind
) -> None:
    number = agent.add_port("tunnel", kind.type, dst_port=kind.port)
    bad = (
        *(kind.header[:length] for length in range(0, 8, 3)),
        kind.header,
        kind.header + FRAME[:13],
        *(header + FRAME for header in kind.wrong),
    )
    with kind.sender(host) as sender:
        for noise in bad:
            sender.sendto(noise, ("127.0.0.1", kind.port or 0))
        sender.sendto(kind.header + FRAME, ("127.0.0.1", kind.port or 0))
    upcall, tunnel = _from_port(agent, number)
    assert (tunnel.tun_id, tunnel.src, tunnel.dst, tunnel.ttl) == (
        7,
        b"\x7f\0\0\1",
        b"\x7f\0\0\1",
        64,
    )
    assert upcall.frame == FRAME
    assert agent.port(number).stats.rx_errors == len(bad)


@every_kind
def test_the_outer_header_is_as_the_action_says(agent: Agent, kind: Kind) -> None:
    number = agent.add_port("tunnel", kind.type, dst_port=kind.port)
    local, remote = IpAddress(bytes([127, 0, 0, 5])), IpAddress(bytes([127, 0, 0, 6]))
    outer = TunnelKey(tun_id=0xABCDEF, src=local, dst=remote, ttl=9, tos=0xB8)
    _send(agent, SetTunnel(outer), Output(number))
    _, tunnel = _from_port(agent, number)
    assert (tunnel.tun_id, tunnel.src, tunnel.dst) == (0xABCDEF, local, remote)
    assert (tunnel.ttl, tunnel.tos) == (9, 0xB8)
    assert (tunnel.tp_dst or None) == kind.port


def test_a_gre_packet_has_a_checksum_if_its_tunnel_asks_for_one(
    host: Namespace, agent: Agent
) -> None:
    number = agent.add_port("tunnel", odp.OVS_VPORT_TYPE_GRE)
    here = IpAddress(bytes([127, 0, 0, 1]))
    with host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE) as ear:
        ear.settimeout(PATIENCE)
        outer = TunnelKey(tun_id=7, src=here, dst=here, checksum=True)
        _send(agent, SetTunnel(outer), Output(number))
        packet = ear.recv(2000)[20:]
    assert packet[:4] == b"\xa0\0\x65\x58"
    assert packet[12:] == FRAME


def _joined(stack: ExitStack, kind: Kind, mtu: int) -> tuple[Pair, Pair]:
    """Two datapaths on hosts that are joined by an underlay, guests a on one, b on the other."""
    left, right = Pair(stack), Pair(stack)
    left.host.veth("under", right.host, "under", mtu)
    ends = (("192.168.0.1", left, left.port_a), ("192.168.0.2", right, right.port_b))
    for address, side, _ in ends:
        side.host.address("under", address, 24)
    for (local, side, guest), (remote, _, _) in zip(ends, ends[::-1], strict=True):
        tunnel = side.agent.add_port("tunnel", kind.type, dst_port=kind.port)
        outer = TunnelKey(
            tun_id=0x123456,
            src=IpAddress(socket.inet_aton(local)),
            dst=IpAddress(socket.inet_aton(remote)),
        )
        side.agent.steer(guest, SetTunnel(outer), Output(tunnel))
        side.agent.steer(tunnel, Output(guest))
    return left, right


@every_kind
def test_a_tcp_stream_passes_through_two_datapaths_joined_by_a_tunnel(kind: Kind) -> None:
    with ExitStack() as stack:
        left, right = _joined(stack, kind, 1600)
        transfer(left.a, right.b, FAR, 8)
        transfer(left.a, right.b, "fd00::2", 2)


@every_kind
def test_what_is_too_large_for_the_underlay_arrives_all_the_same(kind: Kind) -> None:
    with ExitStack() as stack:
        left, right = _joined(stack, kind, 1000)
        assert datagram(left.a, right.b, FAR, b"x" * 1400) == b"x" * 1400
        transfer(left.a, right.b, FAR, 1)
