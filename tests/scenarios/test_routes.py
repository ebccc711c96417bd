"""A router's routes change under running pings, and packets follow at once."""

import pytest

from tests.scenarios.echo import UNREACHABLE, RunningPing, pinging, reaches
from tests.scenarios.network import Network
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

TEMPLATE = """
ayatori: 1
tunnel_zones:
  dc: {{type: vxlan, members: {{h1: 198.18.0.1, h2: 198.18.0.2}}}}
routers:
  edge:
    ports:
      left: {{address: 10.0.1.1/24, host: h1, interface: left}}
      near: {{address: 10.0.2.1/24, host: h1, interface: near}}
      far: {{address: 10.0.3.1/24, host: h2, interface: far}}
    routes:
{routes}
lab:
  machines:
    left: {{port: edge/left, address: 10.0.1.11/24, gateway: 10.0.1.1}}
    near: {{port: edge/near, address: [10.0.2.11/24, 10.9.0.1/32], gateway: 10.0.2.1}}
    far: {{port: edge/far, address: [10.0.3.11/24, 10.9.0.1/32], gateway: 10.0.3.1}}
"""
NEAR, FAR = "10.0.2.11", "10.0.3.11"


def document(*routes: str) -> str:
    """Return the topology with these routes."""
    return TEMPLATE.format(routes="\n".join(f"      - {{{route}}}" for route in routes))


def to(via: str, more: str = "") -> str:
    """Return a route to the address that two machines have."""
    return f"to: 10.9.0.0/24, via: {via}{more}"


def received(network: Network, machine: str) -> int:
    """Return how many echo requests a machine's stack has received."""
    code = "print(open('/proc/net/snmp').read())"
    rows = [
        line.split()
        for line in network.machine(machine).python(code).stdout.splitlines()
        if line.startswith("Icmp:")
    ]
    return int(dict(zip(*rows, strict=True))["InEchos"])


def goes_by(network: Network, ping: RunningPing, used: str, unused: str) -> None:
    """Wait until requests come in at one machine and none any more at the other.

    The agents hear of a change after the command that made it has ended, and a request may still
    be under way to where the one before it went; flows that nothing ended would last longer.
    """

    def is_so() -> bool:
        idle, busy = received(network, unused), received(network, used)
        ping.goes_on()
        return received(network, unused) == idle and received(network, used) > busy

    eventually(is_so, f"only {used} is reached")


def test_a_route_turns_to_a_blackhole_and_back(network: Network) -> None:
    network.up(document(to(NEAR)))
    with (
        pinging(network.machine("left"), "10.9.0.1") as ping,
        pinging(network.machine("left"), "10.0.3.11") as other,
    ):
        ping.goes_on()
        other.goes_on()
        first = other.goes_on()
        network.up(document("to: 10.9.0.0/24, action: blackhole"))
        ping.fails()
        network.up(document(to(NEAR)))
        ping.goes_on()
        network.up(document("to: 10.9.0.0/24, action: reject"))
        ping.told(UNREACHABLE, 13)
        network.up(document("to: 10.8.0.0/24, action: reject"))
        ping.told(UNREACHABLE, 0)
        network.up(document(to(FAR)))
        ping.goes_on()
        other.goes_on()
    assert not other.lost(first)


def test_a_route_turns_to_another_next_hop_on_another_host(network: Network) -> None:
    network.up(document(to(NEAR)))
    with pinging(network.machine("left"), "10.9.0.1") as ping:
        for via, used, unused in ((NEAR, "near", "far"), (FAR, "far", "near")) * 2:
            network.up(document(to(via)))
            goes_by(network, ping, used, unused)


def test_a_more_specific_or_a_lighter_route_wins_as_soon_as_it_comes(network: Network) -> None:
    network.up(document(to(NEAR)))
    with pinging(network.machine("left"), "10.9.0.1") as ping:
        ping.goes_on()
        for more in (
            (to(NEAR), "to: 10.9.0.1/32, via: " + FAR),
            (to(NEAR), to(FAR, ", weight: 50")),
            (to(NEAR), "from: 10.0.1.0/24, " + to(FAR)),
        ):
            network.up(document(*more))
            goes_by(network, ping, "far", "near")
            network.up(document(to(NEAR)))
            goes_by(network, ping, "near", "far")
    assert reaches(network.machine("left"), FAR)
