"""One host with a bridge: all that two machines may send each other, in one agent's hands."""

import pytest

from tests.lab.runner import ROOT
from tests.scenarios.echo import reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole, udp_echoes

pytestmark = pytest.mark.lab

DOCUMENT = (ROOT / "examples" / "one-host.yaml").read_text()


def test_two_machines_ping_each_other_and_the_second_ping_needs_no_simulation(
    shared: Network,
) -> None:
    one, two = shared.machine("vm1"), shared.machine("vm2")
    assert reaches(one, "10.0.0.2")
    assert reaches(two, "10.0.0.1")
    assert reaches(one, "10.0.0.2")

    def talk() -> None:
        for _ in range(20):
            assert reaches(one, "10.0.0.2")

    assert shared.unheard(talk, "h1")


def test_datagrams_of_any_size_arrive_whole(shared: Network) -> None:
    one, two = shared.machine("vm1"), shared.machine("vm2")
    udp_echoes(one, two, "10.0.0.2", (0, 1, 2, 17, 1000, 1422, 1423, 1473, 4000, 8000, 60000))


@pytest.mark.parametrize("size", [1, 20_000, 4_000_000])
def test_a_tcp_stream_arrives_as_it_was_sent(shared: Network, size: int) -> None:
    tcp_arrives_whole(shared.machine("vm1"), shared.machine("vm2"), "10.0.0.2", size)
