"""A device's actor crashes on a packet: that packet is lost, and nothing else."""

import json

import pytest

from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.network import Network
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

TWO_HOSTS = (ROOT / "examples" / "two-hosts.yaml").read_text()


def crashes(network: Network, host: str) -> int:
    """Return how many crashes a host's journal holds, by its replay."""
    done = network.run("replay", "--json", str(network.journal(host)))
    count: int = json.loads(done.stdout.splitlines()[-1])["crashes"]
    return count


@pytest.mark.parametrize("actor", ["bridge/web", "router/edge"])
def test_a_device_that_crashes_on_one_packet_goes_on_with_the_next(
    network: Network, actor: str
) -> None:
    network.up(TWO_HOSTS)
    network.expect_log("actor crashed")
    web1 = network.machine("web1")
    assert reaches(web1, "10.0.2.12")
    assert reaches(web1, "10.0.1.12")
    with pinging(web1, "10.0.2.12") as through, pinging(web1, "10.0.1.12") as beside:
        through.goes_on()
        beside.goes_on()
        first = through.goes_on(), beside.goes_on()
        network.run("fault", "h1", actor)
        with pinging(web1, "10.0.2.1") as hit:
            eventually(lambda: crashes(network, "h1") == 1, "a crash in the journal")
            hit.goes_on()
        through.goes_on()
        beside.goes_on()
    assert not through.lost(first[0])
    assert not beside.lost(first[1])
    assert network.stats("h1")["agent"]["crashes"]
    assert any("InjectedFault" in line for line in network.run("lab", "logs", "h1").stdout.split())


@pytest.mark.parametrize("actor", ["flow-controller", "packet-workflow"])
def test_an_actor_that_every_packet_needs_crashes_and_mends(network: Network, actor: str) -> None:
    network.up(TWO_HOSTS)
    network.expect_log("actor crashed")
    web1 = network.machine("web1")
    assert reaches(web1, "10.0.2.12")
    with pinging(web1, "10.0.2.12") as ping:
        ping.goes_on()
        network.run("fault", "h1", actor, "--times", "2")
        assert reaches_in_the_end(network, "web1", "10.0.2.11")
        assert reaches_in_the_end(network, "db1", "10.0.1.12")
        eventually(lambda: crashes(network, "h1") == 2, "two crashes in the journal")
        ping.goes_on()
        network.up(TWO_HOSTS)


def reaches_in_the_end(network: Network, machine: str, address: str) -> bool:
    """Ping until an answer comes."""
    with pinging(network.machine(machine), address) as ping:
        ping.goes_on(1)
    return True


@pytest.mark.parametrize("actor", ["packet-workflow", "netlink-broker"])
def test_an_actor_that_crashes_beyond_its_limits_ends_an_agent_that_comes_back(
    network: Network, actor: str
) -> None:
    network.up(TWO_HOSTS)
    for event in ("actor crashed", "the lane ended", "giving up"):
        network.expect_log(event)
    before = network.agent_pid("h1")
    with pinging(network.machine("web1"), "10.0.2.12") as ping:
        ping.goes_on()
        network.run("fault", "h1", actor, "--times", "1000")
        with pinging(network.machine("web1"), "10.0.1.1", 0.02):
            eventually(lambda: network.agent_pid("h1") != before, "the agent's end", 60)
        network.settle()
        ping.goes_on()
