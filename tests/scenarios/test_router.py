"""How a router answers: its own addresses, TTLs, lacking routes, silent neighbours."""

import itertools
import select
import socket
import struct

import pytest

from cli.lab.ping import checksum
from tests.scenarios.echo import ECHO_REPLY, TIME_EXCEEDED, UNREACHABLE, Echo, ping, reaches
from tests.scenarios.machine import Machine
from tests.scenarios.network import Network

pytestmark = pytest.mark.lab

DOCUMENT = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  left:
    ports:
      a: {host: h1, interface: a}
      gw: {peer: edge/left}
  right:
    ports:
      b: {host: h2, interface: b}
      watcher: {host: h1, interface: watcher}
      gw: {peer: edge/right}
routers:
  edge:
    ports:
      left: {address: 10.0.1.1/24}
      right: {address: 10.0.2.1/24}
    routes:
      - {to: 10.6.0.0/16, action: reject}
      - {to: 10.7.0.0/16, action: blackhole}
      - {to: 10.8.0.0/16, via: 10.0.2.77}
      - {to: 10.5.0.0/16, via: 10.0.2.11}
lab:
  machines:
    a: {port: left/a, address: 10.0.1.11/24, gateway: 10.0.1.1, mac: "02:00:00:00:01:11"}
    b: {port: right/b, address: 10.0.2.11/24, gateway: 10.0.2.1, mac: "02:00:00:00:02:11"}
    watcher: {port: right/watcher, address: 10.0.2.99/24, gateway: 10.0.2.1}
"""
NO_NETWORK, NO_HOST, PROHIBITED = 0, 1, 13
ARP = 0x0806
IP_RECVERR = 11
"""linux/in.h: report what the kernel takes for a passing error, too."""
MOST_REQUESTS = 12
"""ARP requests for one silent address: a bound, however many packets wait for the answer."""
_numbers = itertools.count(30)


@pytest.mark.parametrize("machine", ["a", "b"])
@pytest.mark.parametrize("address", ["10.0.1.1", "10.0.2.1"])
@pytest.mark.parametrize("ttl", [64, 1])
def test_a_router_answers_on_all_its_addresses_from_either_side(
    shared: Network, machine: str, address: str, ttl: int
) -> None:
    answer = ping(shared.machine(machine), address, ttl=ttl)
    assert answer is not None
    assert (answer.kind, answer.source) == (ECHO_REPLY, address)
    assert reaches(shared.machine(machine), address, size=1400)


def test_a_route_is_traced_hop_by_hop(shared: Network) -> None:
    a = shared.machine("a")
    assert reaches(a, "10.0.2.11")
    hops = [ping(a, "10.0.2.11", ttl=ttl) for ttl in (1, 2, 3)]
    found = [hop and (hop.kind, hop.code, hop.source) for hop in hops]
    end = (ECHO_REPLY, 0, "10.0.2.11")
    assert found == [(TIME_EXCEEDED, 0, "10.0.1.1"), end, end]


def test_udp_traces_a_route_as_well(shared: Network) -> None:
    a = shared.machine("a")
    with a.open(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as ear, a.udp() as out:
        found = []
        for ttl in (1, 2):
            out.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            port = 33434 + ttl
            out.sendto(b"probe", ("10.0.2.11", port))
            found.append(_error_about(ear, port))
        assert found == [(TIME_EXCEEDED, 0, "10.0.1.1"), (UNREACHABLE, 3, "10.0.2.11")]


def _error_about(ear: socket.socket, port: int) -> tuple[int, int, str]:
    """Return the next ICMP error about a datagram to this port: type, code and source."""
    while True:
        packet, source = ear.recvfrom(65536)
        message = packet[(packet[0] & 15) * 4 :]
        inner = message[8:]
        if message[0] in {TIME_EXCEEDED, UNREACHABLE} and inner[9] == socket.IPPROTO_UDP:
            about = inner[(inner[0] & 15) * 4 :]
            if struct.unpack_from("!H", about, 2)[0] == port:
                return message[0], message[1], source[0]


@pytest.mark.parametrize(("address", "code"), [("10.3.0.1", NO_NETWORK), ("10.6.0.1", PROHIBITED)])
def test_a_packet_without_a_way_is_refused_aloud(shared: Network, address: str, code: int) -> None:
    answer = ping(shared.machine("a"), address)
    assert answer is not None
    assert (answer.kind, answer.code, answer.source) == (UNREACHABLE, code, "10.0.1.1")
    with shared.machine("a").udp() as out:
        out.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        out.connect((address, 9))
        out.send(b"?")
        with pytest.raises(OSError, match=r"unreachable|No route|prohibited"):
            out.recv(1)


def test_a_blackhole_is_silent(shared: Network) -> None:
    echo = Echo(shared.machine("a"), "10.7.0.1")
    fence = Echo(shared.machine("a"), "10.3.0.1")
    try:
        echo.send()
        fence.send()
        assert fence.receive() is not None  # what came later has been answered
        assert echo.receive(0.2) is None
    finally:
        echo.close()
        fence.close()


@pytest.mark.parametrize("via", ["directly", "next hop"])
def test_a_silent_neighbour_is_reported_after_a_bounded_number_of_requests(
    shared: Network, via: str
) -> None:
    number = next(_numbers)
    address = f"10.0.2.{number}" if via == "directly" else f"10.8.0.{number}"
    asked = bytes((10, 0, 2, number if via == "directly" else 77))
    echo = Echo(shared.machine("a"), address)
    with shared.machine("watcher").wire(ARP) as wire:
        try:
            for sequence in range(1, 201):
                echo.send(sequence)
            answer = echo.receive()
            assert answer is not None
            assert (answer.kind, answer.code, answer.source) == (UNREACHABLE, NO_HOST, "10.0.1.1")
            errors = 1
            while echo.receive(1.0) is not None:
                errors += 1
            requests = _requests_for(wire, asked)
            assert 1 <= requests <= MOST_REQUESTS
            assert 1 <= errors <= 200
        finally:
            echo.close()
    assert reaches(shared.machine("a"), "10.0.2.11")


def _requests_for(wire: socket.socket, address: bytes) -> int:
    """Count the ARP requests for an address that have arrived."""
    count = 0
    wire.settimeout(0)
    while True:
        try:
            frame = wire.recv(65536)
        except BlockingIOError:
            return count
        count += frame[20:22] == b"\0\1" and frame[38:42] == address


def test_packets_that_wait_for_a_neighbour_go_on_when_it_answers(shared: Network) -> None:
    b, number = shared.machine("b"), next(_numbers)
    address = f"10.0.2.{number}"
    echo = Echo(shared.machine("a"), address)
    with shared.machine("watcher").wire(ARP) as wire:
        try:
            echo.send(1)
            asked = bytes((10, 0, 2, number))
            while (frame := wire.recv(65536))[38:42] != asked:
                pass
            assert frame[20:22] == b"\0\1"
            b.python(f"""
from pyroute2 import IPRoute
with IPRoute() as route:
    index = route.link_lookup(ifname="eth0")[0]
    route.addr("add", index=index, address="{address}", prefixlen=24)
""")
            answer = echo.receive()
            if answer is None or answer.kind != ECHO_REPLY:  # it took longer than the router asks
                echo.send(2)
                answer = echo.receive()
            assert answer is not None
            assert (answer.kind, answer.source) == (ECHO_REPLY, address)
        finally:
            echo.close()


def _ip(
    source: str, to: str, protocol: int, body: bytes, *, ttl: int = 64, flags: int = 0
) -> bytes:
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, flags, ttl, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(to),
    )  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def _icmp(kind: int, code: int, rest: bytes) -> bytes:
    bare = struct.pack("!BBH", kind, code, 0) + rest
    return struct.pack("!BBH", kind, code, checksum(bare)) + rest


_ABOUT = _ip("10.3.0.9", "10.0.1.11", 17, struct.pack("!HHHH", 1, 2, 8, 0))
_UDP = struct.pack("!HHHH", 4000, 9, 8, 0)


def _router_mac(machine: Machine) -> bytes:
    """Return the MAC of the machine's gateway, from its neighbour table."""
    code = """
from pyroute2 import IPRoute
with IPRoute() as route:
    for each in route.get_neighbours():
        if each.get_attr("NDA_DST") == "10.0.1.1":
            print(each.get_attr("NDA_LLADDR"))
"""
    return bytes.fromhex(machine.python(code).stdout.strip().replace(":", ""))


@pytest.mark.parametrize(
    "packet",
    [
        _ip("10.0.1.11", "10.3.0.1", 1, _icmp(UNREACHABLE, 1, b"\0\0\0\0" + _ABOUT)),
        _ip("10.0.1.11", "10.3.0.1", 1, _icmp(TIME_EXCEEDED, 0, b"\0\0\0\0" + _ABOUT)),
        _ip("10.0.1.11", "10.0.2.11", 1, _icmp(UNREACHABLE, 3, b"\0\0\0\0" + _ABOUT), ttl=1),
        _ip("10.0.1.11", "10.3.0.1", 17, _UDP, flags=100),
        _ip("10.0.1.11", "224.0.0.9", 17, _UDP, ttl=1),
        _ip("10.0.1.11", "255.255.255.255", 17, _UDP, ttl=1),
        _ip("10.0.1.11", "10.0.2.255", 17, _UDP, ttl=1),
        _ip("0.0.0.0", "10.3.0.1", 17, _UDP),
        _ip("127.0.0.1", "10.3.0.1", 17, _UDP),
        _ip("224.0.0.1", "10.3.0.1", 17, _UDP),
        _ip("255.255.255.255", "10.3.0.1", 17, _UDP),
        _ip("10.0.1.11", "10.3.0.1", 17, _UDP)[:10] + b"\0\0" + b"\0" * 16,
    ],
    ids=[
        "error without a route", "exceeded without a route", "error at the end of its ttl",
        "later fragment", "multicast", "broadcast", "subnet broadcast", "from nobody",
        "from loopback", "from multicast", "from broadcast", "wrong checksum",
    ],
)  # fmt: skip
def test_no_error_is_sent_about_what_must_get_none(shared: Network, packet: bytes) -> None:
    a = shared.machine("a")
    assert reaches(a, "10.0.1.1")
    to = _router_mac(a)
    source = bytes.fromhex("020000000111")
    with a.wire(0x0800) as wire:
        wire.send(to + source + b"\x08\0" + packet)
        marks = Echo(a, "10.3.0.1")
        try:
            marks.send()
            assert marks.receive() is not None
        finally:
            marks.close()
        assert _errors(wire) == 1, "only the mark's own error"


def _errors(wire: socket.socket) -> int:
    """Count the ICMP errors that a router has sent to the machine, until all is quiet."""
    count = 0
    while select.select([wire], [], [], 0.3)[0]:
        frame = wire.recv(65536)
        arrived = frame[:6] == bytes.fromhex("020000000111")
        count += arrived and frame[23] == 1 and frame[34] in {UNREACHABLE, TIME_EXCEEDED}
    return count


def test_a_frame_for_another_mac_is_not_routed(shared: Network) -> None:
    a, b = shared.machine("a"), shared.machine("b")
    assert reaches(a, "10.0.2.11")
    packet = _ip("10.0.1.11", "10.0.2.11", 17, struct.pack("!HHHH", 4000, 4001, 8, 0))
    source = bytes.fromhex("020000000111")
    with b.udp() as ear, a.wire(0x0800) as wire:
        ear.bind(("10.0.2.11", 4001))
        wire.send(b"\x02\0\0\0\0\x99" + source + b"\x08\0" + packet)
        wire.send(b"\xff\xff\xff\xff\xff\xff" + source + b"\x08\0" + packet)
        assert reaches(a, "10.0.2.11")
        ear.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ear.recv(100)
        ear.settimeout(20)
        wire.send(_router_mac(a) + source + b"\x08\0" + packet)
        assert ear.recv(100) == b""
