"""Three hosts on an ensemble of three: servers die, a host is cut off, an agent is killed."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import permutations

import pytest

from tests.scenarios.echo import RunningPing, pinging, reaches
from tests.scenarios.network import Network, network_of
from tests.scenarios.test_restarts import agent_of, end
from tests.scenarios.test_three_hosts import ADDRESSES, DOCUMENT
from tests.scenarios.traffic import tcp_arrives_whole
from tests.scenarios.waiting import eventually
from tests.scenarios.zookeeper_agreement import HOSTS, agrees, connected, link
from tests.zookeeper.ensemble import Ensemble, running

pytestmark = pytest.mark.lab

EVERY = 0.1
"""Seconds between two requests of a ping."""
LEASE = 4.0
"""Seconds that a lab's sessions outlive their owners."""
ROUTE = "      - {to: 10.0.0.0/8, via: 192.0.2.1}\n"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("ensemble"), 3) as ensemble:
        yield ensemble


@pytest.fixture(scope="module")
def lab_of_module(datapath: str, ensemble: Ensemble) -> Iterator[Network]:
    """Run the lab for all scenarios of the module; every machine has reached every other."""
    with network_of(datapath=datapath) as network:
        network.up(DOCUMENT, "--store", ensemble.url())
        all_reach_all(network)
        agrees(network)
        yield network


def all_reach_all(network: Network) -> None:
    """Fail the test if a machine does not reach another."""
    for one, other in permutations(ADDRESSES, 2):
        assert reaches(network.machine(one), ADDRESSES[other]), f"{one} to {other}"


class Change:
    """A route that no other change has, as an update that hosts are to hear of."""

    def __init__(self, network: Network) -> None:
        """Apply it."""
        self._network = network
        self._to = f"10.77.{next(_numbers)}.0/24"
        route = f"      - {{to: {self._to}, via: 192.0.2.1}}\n"
        text = DOCUMENT.replace(ROUTE, ROUTE + route)
        assert text != DOCUMENT
        network.run("topology", "apply", str(network.document(text)))

    def known_at(self, host: str) -> bool:
        """Tell whether a host has heard, of this one and that the ones before are gone."""
        routes = self._network.tables(host)["routes"]
        return {row["to"] for row in routes if row["to"].startswith("10.77.")} == {self._to}

    def is_known(self, *hosts: str) -> None:
        """Wait until hosts have heard."""
        eventually(lambda: all(map(self.known_at, hosts)), f"{self._to} at {hosts}")


def failures(network: Network) -> dict[str, int]:
    """Return how often each agent's store has failed it."""
    return {host: link(network, host)["failures"] for host in HOSTS}


def away_for(network: Network, host: str) -> float:
    """Return the seconds that an agent has been without its store."""
    since = link(network, host)["since"]
    return (
        0.0
        if since is None
        else (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    )


def pings(stack: ExitStack, network: Network, *pairs: tuple[str, str]) -> list[RunningPing]:
    """Start pings that go on."""
    found = [
        stack.enter_context(pinging(network.machine(one), ADDRESSES[other], EVERY))
        for one, other in pairs
    ]
    for each in found:
        each.goes_on()
    return found


def test_no_ping_and_no_update_is_lost_with_the_leader(shared: Network, ensemble: Ensemble) -> None:
    with ExitStack() as stack:
        running_pings = pings(stack, shared, ("a1", "a2"), ("b3", "c1"), ("c3", "a1"))
        first = [each.goes_on() for each in running_pings]
        before = Change(shared)
        before.is_known(*HOSTS)
        leader = ensemble.leader()
        leader.kill()
        after = Change(shared)
        after.is_known(*HOSTS)
        connected(shared)
        for each in running_pings:
            each.goes_on()
        leader.start()
        leader.wait_ready()
        agrees(shared)
    assert [each.lost(mark) for each, mark in zip(running_pings, first, strict=True)] == [
        [],
        [],
        [],
    ]
    all_reach_all(shared)


def test_hosts_go_on_while_there_is_no_quorum_and_nothing_is_lost_when_there_is_one(
    shared: Network, ensemble: Ensemble
) -> None:
    agrees(shared)
    all_reach_all(shared)
    failed = failures(shared)
    with ExitStack() as stack:
        (ping,) = pings(stack, shared, ("a1", "c3"))
        first = ping.goes_on()
        for server in ensemble.servers[:2]:
            server.kill()
        eventually(lambda: all(away_for(shared, host) > 1.5 * LEASE for host in HOSTS), "expired")
        eventually(
            lambda: all(now > failed[host] for host, now in failures(shared).items()),
            "a call failed",
        )
        simulated = shared.simulated("h1")
        tcp_arrives_whole(shared.machine("a1"), shared.machine("b3"), ADDRESSES["b3"], 100_000)
        assert shared.simulated("h1") > simulated
        ping.goes_on()
        for server in ensemble.servers[:2]:
            server.start()
        ensemble.leader()
        connected(shared)
        Change(shared).is_known(*HOSTS)
        agrees(shared)
        ping.goes_on()
    assert ping.lost(first) == []
    all_reach_all(shared)


def test_a_host_that_loses_the_store_and_not_its_peers_misses_nothing(shared: Network) -> None:
    with ExitStack() as stack:
        local, others = pings(stack, shared, ("a1", "c1"), ("a2", "b3"))
        first = local.goes_on(), others.goes_on()
        shared.exec("h1", "ip", "link", "set", "store0", "down", check=True)
        eventually(lambda: away_for(shared, "h1") > 1.5 * LEASE, "expired")
        eventually(
            lambda: all(len(shared.tables(host)["active"]) == 4 for host in ("h2", "h3")),
            "only the ports of two hosts left",
        )
        change = Change(shared)
        change.is_known("h2", "h3")
        assert not change.known_at("h1")
        assert len(shared.tables("h1")["active"]) == 6
        local.goes_on()
        others.goes_on()
        shared.exec("h1", "ip", "link", "set", "store0", "up", check=True)
        change.is_known("h1")
        agrees(shared)
    assert (local.lost(first[0]), others.lost(first[1])) == ([], [])
    all_reach_all(shared)


def test_what_changed_while_an_agent_was_dead_is_known_to_it_in_its_next_life(
    shared: Network,
) -> None:
    with ExitStack() as stack:
        through, others = pings(stack, shared, ("a1", "b2"), ("b3", "c1"))
        first = others.goes_on()
        dead = agent_of(shared, "h2")
        end(dead, signal.SIGKILL)
        change = Change(shared)
        eventually(lambda: shared.agent_pid("h2") not in {None, dead}, "anew")
        shared.settle()
        through.goes_on()
        change.is_known(*HOSTS)
        agrees(shared)
    assert others.lost(first) == []
    all_reach_all(shared)
