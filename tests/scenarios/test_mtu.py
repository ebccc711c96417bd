"""Packets too large for the underlay are fragmented or refused aloud, never lost in silence."""

import socket

import pytest

from tests.scenarios.echo import UNREACHABLE, ping, reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole, udp_echoes

pytestmark = pytest.mark.lab

DOCUMENT = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  left:
    ports:
      a: {host: h1, interface: a}
      b: {host: h2, interface: b}
      gw: {peer: edge/left}
  right:
    ports:
      c: {host: h2, interface: c}
      gw: {peer: edge/right}
routers:
  edge:
    ports:
      left: {address: 10.0.1.1/24}
      right: {address: 10.0.2.1/24}
lab:
  mtu: 1500
  machines:
    a: {port: left/a, address: [10.0.1.11/24, "2001:db8:1::11/64"], gateway: 10.0.1.1, mtu: 1500}
    b: {port: left/b, address: [10.0.1.12/24, "2001:db8:1::12/64"], gateway: 10.0.1.1, mtu: 1500}
    c: {port: right/c, address: 10.0.2.12/24, gateway: 10.0.2.1, mtu: 1500}
"""
WAYS = [("b", "10.0.1.12"), ("c", "10.0.2.12")]
"""By the bridge alone, and by the router."""
NEEDS_FRAGMENTATION = 4
HEADERS = 28


@pytest.mark.parametrize(("machine", "address"), WAYS)
@pytest.mark.parametrize("size", [1472, 1440, 1423])
def test_a_large_ping_that_must_not_be_fragmented_arrives_or_is_refused_aloud(
    shared: Network, machine: str, address: str, size: int
) -> None:
    assert reaches(shared.machine("a"), address)
    answer = ping(shared.machine("a"), address, size=size, dont_fragment=True)
    assert answer is not None, f"{size} bytes to {machine} went into a hole"
    if answer.kind == UNREACHABLE:
        assert answer.code == NEEDS_FRAGMENTATION
        assert 576 <= answer.mtu < size + HEADERS
        fitting = answer.mtu - HEADERS
        assert reaches(shared.machine("a"), address, size=fitting, dont_fragment=True)
    else:
        assert answer.size == size + 8


@pytest.mark.parametrize(("machine", "address"), WAYS)
def test_a_large_ping_that_may_be_fragmented_arrives(
    shared: Network, machine: str, address: str
) -> None:
    del machine
    with shared.machine("a").udp() as out:
        out.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT: never DF
        assert reaches(shared.machine("a"), address, size=1472)
        assert reaches(shared.machine("a"), address, size=6000)


@pytest.mark.parametrize(("machine", "address"), WAYS)
def test_tcp_between_machines_of_too_large_an_mtu_arrives_whole(
    shared: Network, machine: str, address: str
) -> None:
    tcp_arrives_whole(shared.machine("a"), shared.machine(machine), address, 500_000)


@pytest.mark.parametrize(("machine", "address"), WAYS)
def test_datagrams_of_too_large_machines_arrive_once_the_path_is_known(
    shared: Network, machine: str, address: str
) -> None:
    for size in (1422, 1423, 1472):
        ping(shared.machine("a"), address, size=size)  # they learn the path's MTU, if they must
        ping(shared.machine(machine), "10.0.1.11", size=size)
    udp_echoes(shared.machine("a"), shared.machine(machine), address, (100, 1400, 1472, 4000))


def test_ipv6_learns_the_tunnels_mtu_too(shared: Network) -> None:
    a, b = shared.machine("a"), shared.machine("b")
    assert reaches(a, "2001:db8:1::12")
    tcp_arrives_whole(a, b, "2001:db8:1::12", 200_000)
