"""What a datapath does with a frame, without devices: a port here keeps what it is sent."""

import socket
import struct
from collections.abc import Iterator

import pytest

from actors.datapath.odp.actions import (
    Action,
    Output,
    PopVlan,
    PushVlan,
    SetIpv4,
    SetPriority,
    SetTunnel,
    Trunc,
    Userspace,
)
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.upcalls import Upcall, decode_upcall
from actors.datapath.soft.actions import compile_actions
from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.limits import ALL_UPCALLS_BURST, UPCALL_BURST
from actors.datapath.soft.packet import GSO_TCPV4, Packet
from actors.datapath.soft.ports.port import Port
from actors.datapath.soft.ports.tap import NoDevicePort
from actors.datapath.soft.upcalls import UpcallSender
from actors.packets.flow_key import TunnelKey
from actors.values import IpAddress
from tests.datapath.soft.frames import (
    TCP,
    UDP,
    checksums_are_right,
    ip_frame,
    partial_packet,
    plain_packet,
    tcp_header,
    with_l4_checksum,
)

_FRAME = with_l4_checksum(ip_frame(TCP, tcp_header() + b"data"))


class KeepingPort(Port):
    """Keeps the frames it is sent; may refuse GSO frames as an old device does."""

    takes_gso = True

    def __init__(self, number: int) -> None:
        super().__init__(number, f"port{number}")
        self.sent: list[bytes] = []
        self.upcall_pid = 1

    @property
    def descriptors(self) -> tuple[int, ...]:
        return ()

    def receive(self, descriptor: int, packet: Packet) -> bool:
        raise AssertionError((descriptor, packet))

    def send(self, packet: Packet) -> bool:
        if packet.gso_type and not self.takes_gso:
            return False
        self.sent.append(packet.frame())
        return True

    def close(self) -> None:
        raise AssertionError


class Bench:
    """A datapath with three ports, and the agent's end of its upcalls."""

    def __init__(self) -> None:
        self.agent, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.its = its
        its.setblocking(False)
        self.agent.setblocking(False)
        self.clock = TurnClock()
        self.datapath = Datapath("dp0", 7, UpcallSender(its, self.clock), self.clock)
        self.ports = [KeepingPort(number) for number in range(3)]
        self.datapath.ports.update({port.number: port for port in self.ports})

    def run(self, packet: Packet, *actions: Action) -> None:
        self.datapath.execute(packet, compile_actions(actions))

    def miss(self, packet: Packet, in_port: int = 0) -> None:
        packet.in_port = in_port
        self.datapath.forward(self.datapath.ports[in_port], packet)

    def upcalls(self) -> list[Upcall]:
        found = []
        while True:
            try:
                found.append(decode_upcall(self.agent.recv(1 << 17)))
            except BlockingIOError:
                return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.agent, bench.its:
        yield bench


def test_each_output_sends_the_frame_as_it_is_by_then(bench: Bench) -> None:
    bench.run(
        plain_packet(_FRAME), Output(0), PushVlan(0x8100, 0x1005), Output(1), PopVlan(), Output(2)
    )
    assert bench.ports[0].sent == bench.ports[2].sent == [_FRAME]
    assert bench.ports[1].sent == [_FRAME[:12] + bytes.fromhex("81000005") + _FRAME[12:]]


def test_a_truncation_is_of_the_next_output_only(bench: Bench) -> None:
    bench.run(plain_packet(_FRAME), Trunc(20), Output(0), Output(1), Trunc(14), Userspace(1))
    assert bench.ports[0].sent == [_FRAME[:20]]
    assert bench.ports[1].sent == [_FRAME]
    assert [upcall.frame for upcall in bench.upcalls()] == [_FRAME[:14]]


def test_an_output_to_no_port_is_swallowed_and_the_rest_goes_on(bench: Bench) -> None:
    bench.run(plain_packet(_FRAME), Output(99), Output(1))
    assert bench.ports[1].sent == [_FRAME]


def test_a_step_that_cannot_be_done_ends_the_packet(bench: Bench) -> None:
    bench.run(plain_packet(bytes(14)), Output(0), SetIpv4(ttl=1), Output(1))
    assert (len(bench.ports[0].sent), bench.ports[1].sent) == (1, [])


def test_a_gso_frame_that_a_device_refuses_leaves_it_in_segments(bench: Bench) -> None:
    bench.ports[0].takes_gso = False
    whole = ip_frame(TCP, tcp_header() + bytes(3000))
    bench.run(partial_packet(whole, gso_type=GSO_TCPV4, gso_size=1000), Output(0), Output(1))
    assert [len(frame) for frame in bench.ports[0].sent] == [1054] * 3
    assert all(checksums_are_right(frame) for frame in bench.ports[0].sent)
    assert [len(frame) for frame in bench.ports[1].sent] == [len(whole)]


def test_a_miss_with_a_partial_checksum_reaches_the_agent_complete(bench: Bench) -> None:
    bench.miss(partial_packet(ip_frame(UDP, struct.pack("!HHHH", 1, 2, 12, 0) + b"data")))
    (upcall,) = bench.upcalls()
    assert checksums_are_right(upcall.frame)


def test_one_ports_flood_leaves_upcalls_for_another(bench: Bench) -> None:
    for _ in range(UPCALL_BURST + 50):
        bench.miss(plain_packet(_FRAME), 0)
        bench.upcalls()
    assert bench.datapath.lost == 50
    bench.miss(plain_packet(_FRAME), 1)
    assert len(bench.upcalls()) == 1
    bench.clock.now += 0.1
    bench.miss(plain_packet(_FRAME), 0)
    assert len(bench.upcalls()) == 1


def test_all_ports_together_are_bounded(bench: Bench) -> None:
    count = ALL_UPCALLS_BURST // UPCALL_BURST + 1
    for number in range(count):
        bench.datapath.ports[number] = KeepingPort(number)
        for _ in range(UPCALL_BURST):
            bench.miss(plain_packet(_FRAME), number)
            bench.upcalls()
    assert bench.datapath.lost == UPCALL_BURST


def test_an_agent_that_does_not_read_loses_upcalls_and_blocks_nothing(bench: Bench) -> None:
    bench.its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    for _ in range(100):
        bench.miss(plain_packet(_FRAME))
    assert 0 < bench.datapath.lost < 100
    assert len(bench.upcalls()) == 100 - bench.datapath.lost


def test_a_frame_too_long_for_an_upcall_is_lost(bench: Bench) -> None:
    bench.miss(plain_packet(bytes(65_550)))
    assert bench.datapath.lost == 1
    assert bench.upcalls() == []


def test_a_port_without_a_device_counts_what_it_drops(bench: Bench) -> None:
    port = NoDevicePort(5, "dp0")
    bench.datapath.ports[5] = port
    bench.run(plain_packet(_FRAME), Output(5))
    assert port.tx_dropped == 1


@pytest.mark.parametrize(
    "action",
    [
        SetPriority(value=1),
        SetTunnel(TunnelKey(1, IpAddress(b""), IpAddress(b"abcd"), dont_fragment=True)),
        SetTunnel(TunnelKey(1, IpAddress(b""), IpAddress(bytes(15) + b"\1"))),
    ],
)
def test_what_cannot_be_done_is_refused_when_the_flow_is_made(action: Action) -> None:
    with pytest.raises(OdpError):
        compile_actions((action,))
