"""What a bridge carries beside IPv4: IPv6, tagged frames, broadcast and multicast."""

import select
import socket
import struct
import sys
from pathlib import Path

import pytest

from tests.scenarios.echo import reaches
from tests.scenarios.machine import Machine
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole, udp_echoes
from tests.scenarios.waiting import PATIENCE

pytestmark = pytest.mark.lab

DOCUMENT = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  lan:
    ports:
      a: {host: h1, interface: a}
      b: {host: h1, interface: b}
      c: {host: h2, interface: c}
      d: {host: h2, interface: d}
  other:
    ports:
      x: {host: h1, interface: x}
      y: {host: h2, interface: y}
lab:
  machines:
    a: {port: lan/a, address: [10.0.0.1/24, "2001:db8::1/64"]}
    b: {port: lan/b, address: [10.0.0.2/24, "2001:db8::2/64"]}
    c: {port: lan/c, address: [10.0.0.3/24, "2001:db8::3/64"]}
    d: {port: lan/d, address: [10.0.0.4/24, "2001:db8::4/64"]}
    x: {port: other/x, address: 10.0.0.5/24}
    y: {port: other/y, address: 10.0.0.6/24}
"""
EXPERIMENTAL = 0x88B5
"""An ethertype for experiments (IEEE 802): no machine's own traffic has it."""
TAGGED_LINK = str(Path(__file__).with_name("tagged_link.py"))


@pytest.mark.parametrize("to", [2, 3])
def test_ipv6_is_bridged(shared: Network, to: int) -> None:
    one, other = shared.machine("a"), shared.machine("_abcd"[to])
    address = f"2001:db8::{to}"
    assert reaches(one, address)
    udp_echoes(one, other, address, (0, 1, 1400, 4000, 8000))
    tcp_arrives_whole(one, other, address, 300_000)


def test_machines_with_a_vlan_reach_each_other_in_it_and_only_in_it(shared: Network) -> None:
    places = {"a": (7, "10.7.0.1/24"), "b": (7, "10.7.0.2/24"), "c": (7, "10.7.0.3/24")}
    for name, (vlan, address) in {**places, "d": (8, "10.7.0.4/24")}.items():
        link = shared.spawn(name, sys.executable, TAGGED_LINK, str(vlan), address)
        assert link.stdout is not None
        assert link.stdout.readline() == "ready\n", link.communicate()
    a = shared.machine("a")
    for other, address in (("b", "10.7.0.2"), ("c", "10.7.0.3")):
        assert reaches(a, address)
        assert reaches(a, address, size=1450 - 28, dont_fragment=True)
        udp_echoes(a, shared.machine(other), address, (0, 1000, 1418, 1422, 4000))
        tcp_arrives_whole(a, shared.machine(other), address, 300_000)
    assert not a.python(_UNANSWERED).stderr
    assert reaches(a, "10.0.0.3")
    frame = _frame(b"\xff" * 6, b"in vlan 8", tag=8)
    assert _heard_by_all(shared, "d", frame) == {"a": frame, "b": frame, "c": frame}


_UNANSWERED = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(0.5)
    s.sendto(b"", ("10.7.0.4", 9))
    try:
        s.recv(1)
        raise SystemExit("vlan 8 answers vlan 7")
    except OSError:
        pass
"""


@pytest.mark.parametrize("to", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05", "33:33:00:00:00:05"])
@pytest.mark.parametrize("sender", ["a", "c"])
def test_broadcast_and_multicast_reach_everyone_on_the_bridge_and_nobody_else(
    shared: Network, sender: str, to: str
) -> None:
    frame = _frame(bytes.fromhex(to.replace(":", "")), f"{sender} {to}".encode())
    heard = _heard_by_all(shared, sender, frame)
    assert heard == {name: frame for name in "abcd" if name != sender}


def test_a_known_unicast_reaches_its_owner_alone(shared: Network) -> None:
    assert reaches(shared.machine("a"), "10.0.0.4")
    frame = _frame(_mac(shared.machine("d")), b"for d alone", source=_mac(shared.machine("a")))
    assert _heard_by_all(shared, "a", frame) == {"d": frame}


def test_a_machine_on_another_bridge_is_not_reached_even_with_an_address_of_the_subnet(
    shared: Network,
) -> None:
    code = _UNANSWERED.replace("10.7.0.4", "10.0.0.5")
    assert not shared.machine("a").python(code).stderr
    assert reaches(shared.machine("x"), "10.0.0.6")


def _mac(machine: Machine) -> bytes:
    with machine.wire(EXPERIMENTAL) as wire:
        address: bytes = wire.getsockname()[4]
    return address


def _frame(
    to: bytes, text: bytes, *, tag: int | None = None, source: bytes = b"\x02\0\0\0\0\x77"
) -> bytes:
    tagged = b"" if tag is None else struct.pack("!HH", 0x8100, tag)
    return to + source + tagged + struct.pack("!H", EXPERIMENTAL) + text.ljust(60, b".")


def _heard_by_all(network: Network, sender: str, frame: bytes) -> dict[str, bytes]:
    """Send a frame; return what each other machine received of it, before a second that follows.

    The second goes the same way by the same flow, as soon as the first has arrived somewhere; a
    machine that receives neither receives the broadcast that is sent at last, on each bridge.
    """
    wires = {name: _listen(network.machine(name)) for name in "abcdxy"}
    second, last = (
        _with_text(frame, b"second"),
        _frame(b"\xff" * 6, b"last of all", source=b"\x02\0\0\0\0\x78"),
    )
    try:
        wires[sender].send(frame)
        others = {name: wire for name, wire in wires.items() if name != sender}
        assert select.select(others.values(), [], [], PATIENCE)[0], "nobody receives it"
        wires[sender].send(second)
        heard: dict[str, list[bytes]] = {name: [] for name in others}
        asked = 0
        while not all(last in frames for frames in heard.values()):
            ready, _, _ = select.select(others.values(), [], [], 0.1)
            for name, wire in others.items():
                if wire in ready:
                    heard[name] += _receive(wire)
            if not ready:
                asked += 1
                assert asked < 150, f"the last frame does not reach all: {heard}"
                for name in (sender, "x", "y"):
                    wires[name].send(last)
        found = {name: [each for each in frames if each != last] for name, frames in heard.items()}
        for name, frames in found.items():
            assert frames in ([], [frame, second]), f"{name} received {frames}"
        return {name: frames[0] for name, frames in found.items() if frames}
    finally:
        for wire in wires.values():
            wire.close()


def _with_text(frame: bytes, text: bytes) -> bytes:
    return frame[:-60] + text.ljust(60, b".")


def _listen(machine: Machine) -> socket.socket:
    """Return a socket for experimental frames, tagged ones with the tag put back in its place."""
    wire = machine.wire(0x0003)
    wire.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA of linux/if_packet.h
    wire.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
    return wire


def _receive(wire: socket.socket) -> list[bytes]:
    """Return the experimental frame that waits, none if it was another."""
    data, ancillary, _, _ = wire.recvmsg(65536, socket.CMSG_SPACE(20))
    for _, _, raw in ancillary:
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", raw)
        if status & 1 << 4:  # TP_STATUS_VLAN_VALID
            data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return [data] if struct.pack("!H", EXPERIMENTAL) in (data[12:14], data[16:18]) else []
