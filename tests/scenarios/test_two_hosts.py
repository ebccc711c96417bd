"""Two hosts, bridges and a router: every machine reaches every other through the tunnel."""

from itertools import permutations

import pytest

from tests.lab.runner import ROOT
from tests.scenarios.echo import reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole, udp_echoes

pytestmark = [pytest.mark.lab, pytest.mark.both_datapaths]

DOCUMENT = (ROOT / "examples" / "two-hosts.yaml").read_text()
ADDRESSES = {"web1": "10.0.1.11", "web2": "10.0.1.12", "db1": "10.0.2.11", "db2": "10.0.2.12"}
ACROSS = [("web1", "web2"), ("web1", "db2"), ("db2", "web2")]
"""Over the tunnel by the bridge; by bridge, router, bridge; by the router on one host."""
HEADERS = 20 + 8
"""Bytes of the IPv4 and ICMP headers before a ping's data."""
MTU = 1450


def test_all_machines_ping_all_others(shared: Network) -> None:
    for one, other in permutations(ADDRESSES, 2):
        assert reaches(shared.machine(one), ADDRESSES[other]), f"{one} to {other}"


def test_the_second_ping_needs_no_simulation_on_either_host(shared: Network) -> None:
    machine = shared.machine("web1")
    for _ in range(3):
        assert reaches(machine, ADDRESSES["db2"])

    def talk() -> None:
        for _ in range(20):
            assert reaches(machine, ADDRESSES["db2"])

    assert shared.unheard(talk, "h1", "h2")


def test_the_egress_host_needs_no_simulation_at_all(shared: Network) -> None:
    """Its flow follows from the tunnel's key alone."""
    near, far = shared.machine("web1"), shared.machine("web2")
    assert reaches(far, ADDRESSES["web1"])  # the far machine's MAC and ARP are known
    assert reaches(near, ADDRESSES["web2"])
    with near.udp() as out, far.udp() as into:
        into.bind((ADDRESSES["web2"], 0))

        def talk() -> None:
            out.sendto(b"one way", into.getsockname())
            assert into.recv(100) == b"one way"

        assert shared.unheard(talk, "h2")


@pytest.mark.parametrize(("one", "other"), ACROSS)
def test_datagrams_of_1_to_8000_bytes_arrive_whole(shared: Network, one: str, other: str) -> None:
    sizes = [*range(1, 40, 13), *range(1400, 1440, 7), *range(1470, 8001, 653), 8000]
    udp_echoes(shared.machine(one), shared.machine(other), ADDRESSES[other], sizes)


@pytest.mark.parametrize(("one", "other"), ACROSS)
def test_a_tcp_stream_arrives_as_it_was_sent(shared: Network, one: str, other: str) -> None:
    tcp_arrives_whole(shared.machine(one), shared.machine(other), ADDRESSES[other], 2_000_000)


@pytest.mark.parametrize(("one", "other"), ACROSS)
def test_a_packet_of_the_whole_mtu_goes_unfragmented(shared: Network, one: str, other: str) -> None:
    size = MTU - HEADERS
    assert reaches(shared.machine(one), ADDRESSES[other], size=size, dont_fragment=True)
