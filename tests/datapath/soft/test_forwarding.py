"""Real frames through a real soft datapath, between sockets in network namespaces."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output
from actors.datapath.odp.key import decode_key
from actors.packets.flow_key import SEEN_ETH_DST
from tests.datapath.soft.agent import Agent
from tests.datapath.soft.namespaces import Namespace, namespaces_are_permitted

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not namespaces_are_permitted(), reason="may not make network namespaces"),
]
_A, _B = "10.0.0.1", "10.0.0.2"


class Pair:
    """Two guests on the ports of one datapath."""

    def __init__(self, stack: ExitStack, mtu: int = 1500) -> None:
        self.host = stack.enter_context(Namespace())
        self.a = stack.enter_context(Namespace())
        self.b = stack.enter_context(Namespace())
        self.host.veth("port-a", self.a, "eth0", mtu)
        self.host.veth("port-b", self.b, "eth0", mtu)
        for guest, v4, v6 in ((self.a, _A, "fd00::1"), (self.b, _B, "fd00::2")):
            guest.address("eth0", v4, 24)
            guest.address("eth0", v6, 64)
        self.agent = stack.enter_context(Agent(self.host))
        self.agent.make_datapath()
        self.port_a = self.agent.add_port("port-a")
        self.port_b = self.agent.add_port("port-b")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack)


def transfer(client: Namespace, server: Namespace, address: str, megabytes: int) -> None:
    """Send a stream over TCP and check its length and ends."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = server.socket(family, socket.SOCK_STREAM)
    connection = client.socket(family, socket.SOCK_STREAM)
    block = bytes(range(256)) * 4096
    received: list[int] = []

    def serve() -> None:
        accepted, _ = listener.accept()
        total = 0
        with accepted:
            while data := accepted.recv(1 << 20, socket.MSG_WAITALL):
                assert data == block
                total += len(data)
        received.append(total)

    with listener, connection:
        listener.settimeout(30)
        listener.bind((address, 5000))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        connection.settimeout(30)
        connection.connect((address, 5000))
        for _ in range(megabytes):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        thread.join(60)
    assert received == [megabytes << 20]


def datagram(client: Namespace, server: Namespace, address: str, payload: bytes) -> bytes:
    """Send a datagram and return what arrives."""
    receiver = server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender = client.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.settimeout(30)
        receiver.bind((address, 6000))
        sender.sendto(payload, (address, 6000))
        return receiver.recv(65536)


@pytest.mark.parametrize("address", [_B, "fd00::2"])
def test_a_tcp_stream_passes_between_two_veth_ports(pair: Pair, address: str) -> None:
    pair.agent.wire(pair.port_a, pair.port_b)
    transfer(pair.a, pair.b, address, 32)


def test_a_miss_is_an_upcall_and_its_flow_carries_the_rest(pair: Pair) -> None:
    agent = pair.agent
    sender = pair.a.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver = pair.b.socket(socket.AF_INET, socket.SOCK_DGRAM)
    pair.a.neighbour("eth0", _B, pair.b.mac("eth0"))
    with sender, receiver:
        receiver.bind((_B, 6000))
        receiver.settimeout(30)
        sender.sendto(b"first", (_B, 6000))
        while True:
            upcall = agent.next_upcall()
            key = decode_key(upcall.raw_key)
            if key.l4_dst == 6000:
                break
        assert upcall.cmd == odp.OVS_PACKET_CMD_MISS
        assert key.in_port == pair.port_a
        assert upcall.frame.endswith(b"first")
        agent.add_flow(
            upcall.raw_key, Output(pair.port_b), seen=SEEN_ETH_DST, ufid=b"0123456789abcdef"
        )
        agent.execute(upcall, Output(pair.port_b))
        assert receiver.recv(100) == b"first"
        sender.sendto(b"second", (_B, 6000))
        assert receiver.recv(100) == b"second"
    (flow,) = agent.flows()
    assert (flow.ufid, flow.packets, flow.bytes) == (b"0123456789abcdef", 1, 42 + 6)
    assert flow.used > 0
