"""Ports and the process: what they do to links, and that nothing stays behind."""

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output, PopVlan, PushVlan
from actors.datapath.odp.key import decode_key
from actors.datapath.odp.requests import DeleteVport, NewVport
from actors.datapath.soft.limits import UPCALL_BURST
from tests.datapath.conformance.dialogue import RefusedError
from tests.datapath.conformance.waiting import PATIENCE
from tests.datapath.soft.agent import Agent
from tests.datapath.soft.frames import MAC_A, MAC_B, UDP, checksums_are_right, ip_frame
from tests.datapath.soft.namespaces import Namespace, namespaces_are_permitted
from tests.datapath.soft.test_forwarding import Pair, datagram, transfer

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not namespaces_are_permitted(), reason="may not make network namespaces"),
]
_FRAME = ip_frame(UDP, struct.pack("!HHHH", 1, 2, 8, 0))
_A, _B = "10.0.0.1", "10.0.0.2"
_ETH_P_ALL = 3


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack)


def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that something else brings about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def _raw(guest: Namespace) -> socket.socket:
    """A raw socket on a guest's link, its own frames not looped back."""
    link = guest.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.settimeout(PATIENCE)
    link.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
    guest.run(lambda: link.bind(("eth0", _ETH_P_ALL)))
    return link


def _receive(link: socket.socket, wanted: bytes) -> bytes:
    """The next frame with `wanted` in it, its VLAN tag put back."""
    while True:
        data, ancillary, _, _ = link.recvmsg(65536, 256)
        if wanted in data:
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", ancillary[0][2])
            tag = struct.pack("!HH", tpid, tci) if status & 1 << 4 else b""
            return data[:12] + tag + data[12:]


def test_tagged_frames_pass_unchanged(pair: Pair) -> None:
    single = MAC_B + MAC_A + bytes.fromhex("8100a005") + b"\x12\x34" + b"single".ljust(46, b"\0")
    double = (
        MAC_B + MAC_A + bytes.fromhex("88a8000781002005") + b"\x12\x34" + b"double".ljust(46, b"\0")
    )
    for frame in (single, double):
        pair.agent.steer_like(pair.port_a, frame, Output(pair.port_b))
    with _raw(pair.a) as sender, _raw(pair.b) as receiver:
        sender.send(single)
        assert _receive(receiver, b"single") == single
        sender.send(double)
        assert _receive(receiver, b"double") == double


def test_a_tcp_stream_passes_a_tagged_hop_with_its_segments_unsplit() -> None:
    with ExitStack() as stack:
        pair = Pair(stack)
        pair.host.veth("trunk-a", pair.host, "trunk-b")
        agent = pair.agent
        out, back = agent.add_port("trunk-a"), agent.add_port("trunk-b")
        for guest, trunk in ((pair.port_a, out), (pair.port_b, back)):
            agent.steer(guest, PushVlan(0x8100, 0x1064), Output(trunk))
            for ethertype in (b"\x08\x06", b"\x08\x00"):
                tagged = MAC_B + MAC_A + bytes.fromhex("81000064") + ethertype + bytes(46)
                agent.steer_like(trunk, tagged, PopVlan(), Output(guest))
        transfer(pair.a, pair.b, _B, 8)
        stats = agent.port(out).stats
        assert stats.tx_errors == stats.tx_dropped == 0
        assert stats.tx_bytes / stats.tx_packets > 3000


def test_the_host_does_not_answer_on_a_link_that_is_a_port(pair: Pair) -> None:
    pair.host.address("port-a", "10.0.0.99", 24)
    pair.a.neighbour("eth0", "10.0.0.99", pair.host.mac("port-a"))
    # With a neighbour entry the guest's datagram reaches the link; unguarded, the host would
    # answer "port unreachable".
    with pair.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.0.0.99", 9))
        probe.settimeout(PATIENCE)
        probe.send(b"probe")
        while not pair.agent.next_upcall().frame.endswith(b"probe"):
            pass
        probe.setblocking(False)
        with pytest.raises(BlockingIOError):
            probe.recv(1)
        pair.agent.ask(DeleteVport(pair.agent.dp_ifindex, pair.port_a))
        probe.setblocking(True)
        probe.settimeout(PATIENCE)
        with pytest.raises(ConnectionRefusedError):  # noqa: PT012 - the error comes with either call
            while True:
                probe.send(b"probe")
                probe.recv(1)


def test_a_link_has_one_port_only(pair: Pair) -> None:
    request = NewVport(pair.agent.dp_ifindex, odp.OVS_VPORT_TYPE_NETDEV, "port-a")
    with pytest.raises(RefusedError):
        pair.agent.ask(request)


def _is_gone(agent: Agent, number: int) -> bool:
    try:
        agent.port(number)
    except RefusedError:
        return True
    return False


def test_a_deleted_link_ends_its_port_and_no_other(pair: Pair) -> None:
    pair.agent.wire(pair.port_a, pair.port_b)
    pair.host.veth("port-c", pair.host, "peer-c")
    third = pair.agent.add_port("port-c")
    pair.host.delete_link("port-c")
    _until(lambda: _is_gone(pair.agent, third))
    transfer(pair.a, pair.b, _B, 1)
    pair.host.veth("port-c", pair.host, "peer-c")
    pair.agent.add_port("port-c")


def test_a_link_moved_to_another_namespace_ends_its_port(pair: Pair) -> None:
    pair.host.set_link("port-a", net_ns_fd=pair.b.fd)
    _until(lambda: _is_gone(pair.agent, pair.port_a))
    assert pair.agent.port(pair.port_b).name == "port-b"


def test_a_link_that_was_down_for_a_while_still_forwards(pair: Pair) -> None:
    pair.agent.wire(pair.port_a, pair.port_b)
    pair.host.set_link("port-b", state="down")
    pair.host.set_link("port-b", state="up")
    transfer(pair.a, pair.b, _B, 1)


def test_upcalls_of_a_flood_are_bounded_and_the_rest_counted_as_lost(pair: Pair) -> None:
    sent = 0
    with _raw(pair.a) as sender:
        while not (stats := pair.agent.stats()).lost:
            assert sent < 100 * UPCALL_BURST  # a flood is one only while the machine keeps up
            for _ in range(4 * UPCALL_BURST):
                sender.send(_FRAME)
            sent += 4 * UPCALL_BURST
            _until(lambda: pair.agent.port(pair.port_a).stats.rx_packets >= sent)  # noqa: B023
    assert stats.misses >= sent
    assert stats.lost < stats.misses
    assert stats.misses - stats.lost >= UPCALL_BURST


def test_a_port_without_a_receiver_of_upcalls_drops_its_misses(pair: Pair) -> None:
    pair.host.veth("quiet", pair.host, "quiet-peer")
    agent = pair.agent
    number = agent.add_port("quiet", pid=0)
    with pair.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        pair.host.run(lambda: sender.bind(("quiet-peer", 0)))
        before = agent.stats().lost
        sender.send(_FRAME)
        _until(lambda: agent.stats().lost > before)
    assert agent.port(number).stats.rx_packets > 0


def test_a_large_tcp_write_reaches_the_agent_in_segments_with_right_checksums(pair: Pair) -> None:
    agent = pair.agent
    agent.steer(pair.port_b, Output(pair.port_a))
    pair.a.neighbour("eth0", _B, pair.b.mac("eth0"))
    with (
        pair.b.socket(socket.AF_INET, socket.SOCK_STREAM) as listener,
        pair.a.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        listener.bind((_B, 5000))
        listener.listen()
        client.settimeout(PATIENCE)

        def write() -> None:
            client.connect((_B, 5000))
            client.sendall(bytes(20_000))

        thread = threading.Thread(target=write)
        thread.start()
        full_sized = 0
        while full_sized < 8:
            upcall = agent.next_upcall()
            if decode_key(upcall.raw_key).l4_dst == 5000:
                assert checksums_are_right(upcall.frame)
                assert len(upcall.frame) <= 1514
                full_sized += len(upcall.frame) == 1514
            agent.execute(upcall, Output(pair.port_b))
        thread.join(PATIENCE)


@pytest.mark.parametrize("end", ["close", signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind_however_it_ends(end: str | signal.Signals) -> None:
    with ExitStack() as stack:
        pair = Pair(stack)
        pair.agent.wire(pair.port_a, pair.port_b)
        assert datagram(pair.a, pair.b, _B, b"x") == b"x"
        process = pair.agent.channel.process
        if isinstance(end, str):
            pair.agent.channel.close()
        else:
            os.kill(process.pid, end)
        status = process.wait(PATIENCE)
        assert status == (-signal.SIGKILL if end == signal.SIGKILL else 0)
        _until(lambda: "dp0" not in pair.host.links())
        # The host's own stack has the links again.
        pair.host.address("port-a", "10.0.0.99", 24)
        with pair.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(PATIENCE)
            probe.connect(("10.0.0.99", 9))
            with pytest.raises(ConnectionRefusedError):  # noqa: PT012 - with either call
                while True:
                    probe.send(b"probe")
                    probe.recv(1)


def test_the_channel_says_that_its_datapath_has_ended() -> None:
    with Namespace() as host, Agent(host) as agent:
        agent.channel.process.terminate()
        agent.channel.process.wait(PATIENCE)
        assert agent.channel.send(b"x" * 16) != 0
        assert agent.channel.receive_reply() == b""
        assert agent.channel.receive_upcalls() == []
