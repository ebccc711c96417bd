"""Tunnels of every type: hosts reach each other, machines fill the MTU, and nobody else is heard."""

import pytest

from tests.scenarios.echo import reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole, udp_echoes
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

TWO_HOSTS = """
ayatori: 1
tunnel_zones:
  dc: {{type: {kind}, members: {{h1: 198.18.0.1, h2: 198.18.0.2}}}}
bridges:
  web:
    ports:
      a: {{host: h1, interface: a}}
      b: {{host: h2, interface: b}}
lab:
  machines:
    a: {{port: web/a, address: 10.0.1.11/24}}
    b: {{port: web/b, address: 10.0.1.12/24}}
"""
MIXED = """
ayatori: 1
tunnel_zones:
  east: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
  west: {type: gre, members: {h2: 198.19.0.2, h3: 198.19.0.3}}
bridges:
  one: {ports: {a: {host: h1, interface: a}, b: {host: h2, interface: b}}}
  two: {ports: {c: {host: h2, interface: c}, d: {host: h3, interface: d}}}
lab:
  machines:
    a: {port: one/a, address: 10.0.1.11/24}
    b: {port: one/b, address: 10.0.1.12/24}
    c: {port: two/c, address: 10.0.2.11/24}
    d: {port: two/d, address: 10.0.2.12/24}
"""


def tunnels(network: Network, host: str) -> dict[str, str]:
    """Return a host's tunnel ports by type, with their status."""
    return {each["type"]: each["status"] for each in network.tables(host)["tunnels"]}


@pytest.mark.parametrize(("kind", "mtu"), [("vxlan", 1450), ("geneve", 1450), ("gre", 1458)])
def test_machines_of_two_hosts_talk_over_a_tunnel(network: Network, kind: str, mtu: int) -> None:
    network.up(TWO_HOSTS.format(kind=kind))
    a, b = network.machine("a"), network.machine("b")
    assert tunnels(network, "h1") == tunnels(network, "h2") == {kind: "plugged"}
    assert reaches(a, "10.0.1.12", size=mtu - 28, dont_fragment=True)
    assert reaches(b, "10.0.1.11", size=mtu - 28, dont_fragment=True)
    udp_echoes(a, b, "10.0.1.12", (0, mtu - 28, 5000))
    tcp_arrives_whole(a, b, "10.0.1.12", 1_000_000)
    assert network.unheard(lambda: tcp_arrives_whole(b, a, "10.0.1.11", 10_000), "h1", "h2")


def test_a_host_in_two_zones_has_a_tunnel_of_each_and_each_host_only_its_own(
    network: Network,
) -> None:
    network.up(MIXED)
    found = [tunnels(network, host) for host in ("h1", "h2", "h3")]
    vxlan, gre = {"vxlan": "plugged"}, {"gre": "plugged"}
    assert found == [vxlan, vxlan | gre, gre]
    assert reaches(network.machine("a"), "10.0.1.12", size=1422, dont_fragment=True)
    assert reaches(network.machine("d"), "10.0.2.11", size=1422, dont_fragment=True)
    tcp_arrives_whole(network.machine("c"), network.machine("d"), "10.0.2.12", 200_000)


def settles_on(network: Network, kind: str) -> None:
    """Wait until both hosts have a tunnel port of this type and no other."""
    wanted = {kind: "plugged"}
    eventually(lambda: tunnels(network, "h1") == tunnels(network, "h2") == wanted, kind)


def test_a_zone_that_changes_its_type_takes_its_hosts_along(network: Network) -> None:
    network.up(TWO_HOSTS.format(kind="vxlan"))
    a = network.machine("a")
    assert reaches(a, "10.0.1.12")
    for kind in ("geneve", "gre", "vxlan"):
        network.up(TWO_HOSTS.format(kind=kind))
        settles_on(network, kind)
        assert reaches(a, "10.0.1.12")
