"""Three hosts, three bridges, two routers in a row on a /31, and two ways to one place."""

import select
import socket
from itertools import permutations

import pytest

from tests.scenarios.echo import ECHO_REPLY, TIME_EXCEEDED, ping, reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole, udp_echoes
from tests.scenarios.waiting import PATIENCE

pytestmark = pytest.mark.lab

DOCUMENT = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2, h3: 198.18.0.3}}
bridges:
  one:
    ports:
      a1: {host: h1, interface: a1}
      a2: {host: h2, interface: a2}
      gw: {peer: west/one}
  two:
    ports:
      b2: {host: h2, interface: b2}
      b3: {host: h3, interface: b3}
      gw: {peer: east/two}
  three:
    ports:
      c3: {host: h3, interface: c3}
      c1: {host: h1, interface: c1}
      gw: {peer: east/three}
routers:
  west:
    ports:
      one: {address: 10.1.0.1/24}
      east: {address: 192.0.2.0/31, peer: east/west}
    routes:
      - {to: 10.0.0.0/8, via: 192.0.2.1}
  east:
    ports:
      west: {address: 192.0.2.1/31}
      two: {address: 10.2.0.1/24}
      three: {address: 10.3.0.1/24}
    routes:
      - {to: 0.0.0.0/0, via: 192.0.2.0}
      - {to: 10.99.0.0/24, via: 10.2.0.12}
      - {to: 10.99.0.0/24, via: 10.3.0.13}
lab:
  machines:
    a1: {port: one/a1, address: 10.1.0.11/24, gateway: 10.1.0.1}
    a2: {port: one/a2, address: 10.1.0.12/24, gateway: 10.1.0.1}
    b2: {port: two/b2, address: [10.2.0.12/24, 10.99.0.1/32], gateway: 10.2.0.1}
    b3: {port: two/b3, address: 10.2.0.13/24, gateway: 10.2.0.1}
    c3: {port: three/c3, address: [10.3.0.13/24, 10.99.0.1/32], gateway: 10.3.0.1}
    c1: {port: three/c1, address: 10.3.0.11/24, gateway: 10.3.0.1}
"""
ADDRESSES = {
    "a1": "10.1.0.11",
    "a2": "10.1.0.12",
    "b2": "10.2.0.12",
    "b3": "10.2.0.13",
    "c3": "10.3.0.13",
    "c1": "10.3.0.11",
}
FLOWS = 40
"""Connections over two equal ways: that all took one is as likely as 1 in 2 to the 39th."""


def test_every_machine_reaches_every_other(shared: Network) -> None:
    for one, other in permutations(ADDRESSES, 2):
        assert reaches(shared.machine(one), ADDRESSES[other]), f"{one} to {other}"


def test_both_routers_show_on_the_way(shared: Network) -> None:
    a1 = shared.machine("a1")
    hops = [ping(a1, ADDRESSES["c3"], ttl=ttl) for ttl in (1, 2, 3)]
    found = [hop and (hop.kind, hop.source) for hop in hops]
    assert found == [
        (TIME_EXCEEDED, "10.1.0.1"),
        (TIME_EXCEEDED, "192.0.2.1"),
        (ECHO_REPLY, ADDRESSES["c3"]),
    ]


@pytest.mark.parametrize("address", ["192.0.2.0", "192.0.2.1", "10.2.0.1", "10.3.0.1"])
@pytest.mark.parametrize("machine", ["a2", "c3"])
def test_all_addresses_of_both_routers_answer(shared: Network, machine: str, address: str) -> None:
    assert reaches(shared.machine(machine), address)


def test_traffic_crosses_both_routers_whole(shared: Network) -> None:
    a1, c3 = shared.machine("a1"), shared.machine("c3")
    udp_echoes(a1, c3, ADDRESSES["c3"], (0, 1422, 5000))
    tcp_arrives_whole(a1, c3, ADDRESSES["c3"], 1_000_000)


def test_connections_spread_over_equal_ways_and_each_keeps_to_its_own(shared: Network) -> None:
    a1 = shared.machine("a1")
    with shared.machine("b2").udp() as two, shared.machine("c3").udp() as three:
        ears = {"b2": two, "c3": three}
        for ear in ears.values():
            ear.bind(("10.99.0.1", 5000))
            ear.setblocking(False)
        taken: dict[bytes, set[str]] = {}
        for number in range(FLOWS):
            with a1.udp() as out:
                out.connect(("10.99.0.1", 5000))
                out.settimeout(30)
                for _ in range(3):
                    out.send(b"%d" % number)
                    name = _hears(ears, b"%d" % number)
                    taken.setdefault(b"%d" % number, set()).add(name)
        assert all(len(names) == 1 for names in taken.values()), taken
        assert {name for names in taken.values() for name in names} == {"b2", "c3"}


def _hears(ears: dict[str, socket.socket], text: bytes) -> str:
    """Return which machine receives the datagram."""
    while True:
        ready, _, _ = select.select(ears.values(), [], [], PATIENCE)
        assert ready, f"nobody receives {text!r}"
        for name, ear in ears.items():
            if ear in ready and ear.recv(100) == text:
                return name
