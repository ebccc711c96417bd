"""Agents end and begin again, while the kernel's datapath goes on: what stays, and what goes."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.kernel_requests import KernelRequests
from tests.scenarios.network import Network
from tests.scenarios.test_restarts import agent_of, end
from tests.scenarios.waiting import eventually

pytestmark = [pytest.mark.lab, pytest.mark.kernel]

DOCUMENT = (ROOT / "examples" / "two-hosts.yaml").read_text()
WEB1, WEB2, DB1, DB2 = "10.0.1.11", "10.0.1.12", "10.0.2.11", "10.0.2.12"


def config_of(network: Network, host: str) -> Path:
    """Return the configuration file of a host's agent."""
    return network.journal(host).parent / "agent.yaml"


def configure(network: Network, host: str, **settings: Any) -> None:
    """Change an agent's configuration; it counts from its next start on."""
    path = config_of(network, host)
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@contextmanager
def without_keeper(network: Network, host: str) -> Iterator[int]:
    """Keep ended agents from being started again; give the pid of a host's agent."""
    agent = agent_of(network, host)
    status = Path(f"/proc/{agent}/status").read_text()
    keeper = int(status.split("PPid:")[1].split()[0])
    os.kill(keeper, signal.SIGSTOP)
    try:
        yield agent
    finally:
        os.kill(keeper, signal.SIGCONT)
    eventually(lambda: network.agent_pid(host) not in {None, agent}, "another agent")
    network.settle()


def expired(network: Network, host: str) -> bool:
    """Tell whether an agent has ended all flows that it found when it began."""
    return "inherited flows expired" in network.stats(host)["actors"]["netlink-broker"]


def test_traffic_flows_while_an_agent_is_dead_and_the_next_takes_its_datapath_over(
    shared: Network, kernel: KernelRequests
) -> None:
    web1 = shared.machine("web1")
    with pinging(web1, DB2, 0.1) as routed, pinging(web1, WEB2, 0.1) as bridged:
        first = routed.goes_on(10), bridged.goes_on(10)
        datapath, vports = kernel.datapath(), kernel.vports()
        with without_keeper(shared, "h1") as agent:
            end(agent, signal.SIGKILL)
            flows = kernel.flows()
            routed.goes_on(10)
            bridged.goes_on(10)
            assert kernel.flows() == flows
            last = min(routed.sent, bridged.sent) - 2
        eventually(lambda: expired(shared, "h1"), "the earlier agent's flows expired")
        eventually(lambda: not kernel.flows() & flows, "they are gone")
        routed.goes_on(10)
        bridged.goes_on(10)
    assert kernel.datapath() == datapath
    after = kernel.vports()
    assert {n: v.port_no for n, v in after.items()} == {n: v.port_no for n, v in vports.items()}
    for name in ("web1", "db1", "ayatori-vxlan"):
        assert after[name].upcall_pids != vports[name].upcall_pids
    for ping, begin in zip((routed, bridged), first, strict=True):
        assert not [number for number in ping.lost(begin) if number <= last]


def test_a_port_whose_binding_went_while_the_agent_was_down_is_unplugged(
    shared: Network, kernel: KernelRequests
) -> None:
    without = (
        "\n".join(
            line for line in DOCUMENT.splitlines() if not line.strip().startswith("db1: {host")
        )
        .replace("db1: {port: db/db1", "db1: {port: db/db2")
        .replace("db2: {port: db/db2", "db2: {port: db/db3")
    )
    without = without.replace(
        "db2: {host: h2, interface: db2}",
        "db2: {host: h2, interface: db2}\n      db3: {host: h2, interface: db3}",
    )
    assert "db1" in kernel.vports()
    store = shared.status()["store"]["url"]
    with without_keeper(shared, "h1") as agent:
        end(agent, signal.SIGKILL)
        path = shared.document(without)
        shared.run("topology", "apply", str(path), "--store", store)
    eventually(lambda: "db1" not in kernel.vports(), "db1 is unplugged")
    assert reaches(shared.machine("web1"), WEB2)
    shared.up(DOCUMENT)
    assert reaches(shared.machine("web1"), DB1)


def test_a_clean_stop_leaves_nothing_behind_or_with_keep_flows_a_datapath_that_forwards(
    shared: Network, kernel: KernelRequests
) -> None:
    session = json.loads(config_of(shared, "h1").read_text())["session"]
    configure(shared, "h1", keep_flows=True, session={"ttl": 60.0})
    with without_keeper(shared, "h1") as agent:
        end(agent, signal.SIGTERM)  # of one that was not told yet
        assert not kernel.datapath()
        assert not kernel.has_link()
    configure(shared, "h1", keep_flows=False, session=session)
    web1 = shared.machine("web1")
    with pinging(web1, DB1, 0.1) as near, pinging(web1, DB2, 0.1) as far:
        first = near.goes_on(5), far.goes_on(5)
        datapath = kernel.datapath()
        with without_keeper(shared, "h1") as agent:
            end(agent, signal.SIGTERM)
            near.goes_on(10)
            far.goes_on(10)
            last = min(near.sent, far.sent) - 2
        near.goes_on(10)
        far.goes_on(10)
    for ping, begin in zip((near, far), first, strict=True):
        assert not [number for number in ping.lost(begin) if number <= last]
    assert kernel.datapath() == datapath


def test_a_second_agent_is_refused(shared: Network) -> None:
    config = config_of(shared, "h1")
    other = config.with_name("other.yaml")
    settings = json.loads(config.read_text())
    settings["control"] = str(config.with_name("other.sock"))
    settings["journal"]["directory"] = str(config.with_name("other-journal"))
    for datapath in ("kernel", "auto"):
        other.write_text(json.dumps(settings | {"datapath": datapath}))
        refused = shared.exec(
            "h1", sys.executable, "-m", "cli.main", "agent", "--config", str(other)
        )
        assert refused.returncode == 5
        assert refused.stderr == (
            "ayatori: another agent drives the datapath of this network namespace\n"
        )
    assert not config.with_name("other-journal").exists()


def test_an_agent_takes_upcalls_by_cpu_if_told(shared: Network, kernel: KernelRequests) -> None:
    configure(shared, "h1", upcalls="cpu", datapath="auto")
    with without_keeper(shared, "h1") as agent:
        end(agent, signal.SIGTERM)
    assert shared.stats("h1")["agent"]["datapath"] == "kernel"
    web1 = shared.machine("web1")
    for address in (WEB2, DB1, DB2, WEB2):
        assert reaches(web1, address)
    pids = {vport.upcall_pids for name, vport in kernel.vports().items() if name != "ayatori"}
    assert len(pids) == 1
    configure(shared, "h1", upcalls="port")
    with without_keeper(shared, "h1") as agent:
        end(agent, signal.SIGKILL)
    assert reaches(web1, DB2)
    pids = {vport.upcall_pids for name, vport in kernel.vports().items() if name != "ayatori"}
    assert len(pids) == 3
