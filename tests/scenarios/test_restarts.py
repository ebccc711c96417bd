"""Agents and soft datapaths end, violently or not, under running pings."""

import os
import signal
from pathlib import Path

import pytest

from cli.lab import leftovers
from tests.lab.runner import ROOT
from tests.processes import soft_datapaths_of
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole
from tests.scenarios.waiting import PATIENCE, eventually

pytestmark = pytest.mark.lab

TWO_HOSTS = (ROOT / "examples" / "two-hosts.yaml").read_text()
FAR = "10.0.2.12"


def end(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and wait for its end."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, number)
        assert leftovers.wait_for_end([handle], PATIENCE)
    finally:
        os.close(handle)


def datapath_of(agent: int) -> int:
    """Return the process of an agent's soft datapath."""
    (found,) = soft_datapaths_of(agent)
    return found


def agent_of(network: Network, host: str) -> int:
    """Return the pid of a host's agent that runs."""
    pid = network.agent_pid(host)
    assert pid is not None
    return pid


@pytest.mark.parametrize("host", ["h1", "h2"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_ping_recovers_when_an_agent_ends_and_starts_again(
    network: Network, host: str, number: signal.Signals
) -> None:
    network.up(TWO_HOSTS)
    with pinging(network.machine("web1"), FAR) as ping:
        ping.goes_on()
        before = agent_of(network, host)
        end(before, number)
        eventually(lambda: network.agent_pid(host) not in {None, before}, "anew")
        network.settle()
        ping.goes_on()
    assert reaches(network.machine("db2"), "10.0.1.11")
    tcp_arrives_whole(network.machine("web1"), network.machine("db2"), FAR, 200_000)


def test_an_agent_that_is_told_to_stop_takes_its_flows_and_ports_along(network: Network) -> None:
    network.up(TWO_HOSTS)
    with pinging(network.machine("web1"), "10.0.1.12") as ping:
        ping.goes_on()
        agent = agent_of(network, "h1")
        datapath = datapath_of(agent)
        keeper = Path(f"/proc/{agent}/status").read_text().split("PPid:")[1].split()[0]
        os.kill(int(keeper), signal.SIGSTOP)  # it would start the agent again
        try:
            end(agent, signal.SIGTERM)
            eventually(lambda: not Path(f"/proc/{datapath}").exists(), "datapath's end")
            ping.fails()
        finally:
            os.kill(int(keeper), signal.SIGCONT)
        network.settle()
        ping.goes_on()
    assert any("stopping" in line for line in _log(network, "h1"))


def _log(network: Network, host: str) -> list[str]:
    return network.run("lab", "logs", host).stdout.splitlines()


def test_a_ping_recovers_when_the_soft_datapath_is_killed(network: Network) -> None:
    network.up(TWO_HOSTS)
    network.expect_log("failed")  # the part of the agent that is the datapath
    with (
        pinging(network.machine("web1"), FAR) as ping,
        pinging(network.machine("web2"), "10.0.2.11") as other,
    ):
        for host in ("h1", "h2"):
            ping.goes_on()
            other.goes_on()
            agent = agent_of(network, host)
            end(datapath_of(agent), signal.SIGKILL)
            ping.goes_on()
            other.goes_on()
            assert agent_of(network, host) == agent
    tcp_arrives_whole(network.machine("web1"), network.machine("db2"), FAR, 200_000)


def test_both_agents_of_a_lab_are_killed_at_once(network: Network) -> None:
    network.up(TWO_HOSTS)
    with pinging(network.machine("web1"), FAR) as ping:
        ping.goes_on()
        pids = [agent_of(network, host) for host in ("h1", "h2")]
        for pid in pids:
            end(pid, signal.SIGKILL)
        eventually(
            lambda: not {network.agent_pid(host) for host in ("h1", "h2")} & {None, *pids}, "anew"
        )
        ping.goes_on()


def test_a_machine_that_moves_while_its_new_hosts_agent_is_dead_is_found_in_the_end(
    network: Network,
) -> None:
    network.up(TWO_HOSTS)
    assert reaches(network.machine("web1"), "10.0.1.12")
    end(agent_of(network, "h1"), signal.SIGKILL)
    swapped = TWO_HOSTS.replace("web2: {host: h2", "web2: {host: h1")
    network.up(swapped)
    assert reaches(network.machine("web1"), "10.0.1.12")
    assert reaches(network.machine("db2"), "10.0.1.12")
