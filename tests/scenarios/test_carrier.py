"""Machines' interfaces go down and up: their ports follow, and so do the routes by them."""

from typing import Any

import pytest

from tests.scenarios.echo import pinging, reaches
from tests.scenarios.machine import Machine
from tests.scenarios.network import Network
from tests.scenarios.test_routes import FAR, NEAR, document, received, to
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

UPLINKS = document(to(FAR, ", weight: 10"), to(NEAR, ", weight: 20"))


def set_link(machine: Machine, state: str) -> None:
    """Set a machine's eth0 up or down; give it its default route again, which going down took."""
    machine.python(f"""
from pyroute2 import IPRoute
with IPRoute() as route:
    index = route.link_lookup(ifname="eth0")[0]
    route.link("set", index=index, state="{state}")
    if "{state}" == "up":
        address = [a.get_attr("IFA_ADDRESS") for a in route.get_addr(index=index, family=2)][0]
        route.route("add", dst="default", gateway=address.rsplit(".", 1)[0] + ".1")
""")


def port(network: Network, host: str, name: str) -> dict[str, Any]:
    """Return what a host says of one of its own ports."""
    return next(each for each in network.tables(host)["ports"] if each["port"] == name)


def test_a_port_without_carrier_is_inactive_and_comes_back(network: Network) -> None:
    network.up(UPLINKS)
    left, far = network.machine("left"), network.machine("far")
    assert reaches(left, FAR)
    set_link(far, "down")
    eventually(lambda: port(network, "h2", "edge/far")["status"] == "no carrier", "no carrier")
    with pinging(left, FAR) as ping:
        ping.fails()
        set_link(far, "up")
        ping.goes_on(1)
    assert port(network, "h2", "edge/far")["status"] == "plugged"


def test_traffic_moves_to_the_second_uplink_and_back(network: Network) -> None:
    network.up(UPLINKS)
    left, far = network.machine("left"), network.machine("far")
    with pinging(left, "10.9.0.1") as ping:
        ping.goes_on()
        assert received(network, "far")
        assert not received(network, "near")
        set_link(far, "down")
        ping.goes_on()
        eventually(lambda: received(network, "near") > 0, "echo requests by the second uplink")
        before = received(network, "far")
        set_link(far, "up")
        eventually(lambda: received(network, "far") > before, "echo requests by the first again")
        ping.goes_on()
