"""A bridge's port is removed while it carries traffic: what used it ends, and nothing else."""

import time
from functools import partial
from typing import Any

import pytest

from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.network import Network
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

BEFORE = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  lan:
    ports:
      a: {host: h1, interface: a}
      b: {host: h1, interface: b}
      c: {host: h2, interface: c}
      gone: {host: h1, interface: gone}
lab:
  machines:
    a: {port: lan/a, address: 10.0.0.1/24, mac: "02:00:00:00:00:01"}
    b: {port: lan/b, address: 10.0.0.2/24, mac: "02:00:00:00:00:02"}
    c: {port: lan/c, address: 10.0.0.3/24, mac: "02:00:00:00:00:03"}
    gone: {port: lan/gone, address: 10.0.0.4/24, mac: "02:00:00:00:00:04"}
"""
AFTER = "\n".join(line for line in BEFORE.splitlines() if "gone" not in line)
UNPLUGGED = "\n".join(line for line in BEFORE.splitlines() if "gone: {port" not in line)
GONE = "02:00:00:00:00:04"


@pytest.mark.parametrize("after", [AFTER, UNPLUGGED], ids=["port", "machine"])
def test_the_flows_of_a_removed_port_are_gone_and_only_its(network: Network, after: str) -> None:
    network.up(BEFORE)
    a, b = network.machine("a"), network.machine("b")
    with (
        pinging(a, "10.0.0.2", 0.01) as near,
        pinging(b, "10.0.0.3", 0.01) as far,
        pinging(a, "10.0.0.4", 0.01) as doomed,
        pinging(network.machine("c"), "10.0.0.4", 0.01) as doomed_far,
    ):
        pings = (near, far, doomed, doomed_far)
        for ping in pings:
            ping.goes_on()
        first = [ping.goes_on() for ping in pings]
        looked_at = time.monotonic()
        before = {host: network.flows(host) for host in ("h1", "h2")}
        assert any(GONE in flow["match"] for flow in before["h1"])
        network.up(after)
        doomed.fails()
        doomed_far.fails()
        near.goes_on()
        far.goes_on()
        for host, flows in before.items():
            eventually(partial(_nothing_leads_there, network, host), f"its flows left {host}")
            left = {flow["id"] for flow in network.flows(host)}
            passed = time.monotonic() - looked_at
            young = [flow for flow in flows if flow["expires_in"] > passed]
            others = {flow["id"] for flow in young if not _uses_gone(flow)}
            assert others, host
            assert others <= left, [flow for flow in flows if flow["id"] in others - left]
    assert not near.lost(first[0])
    assert not far.lost(first[1])


def _nothing_leads_there(network: Network, host: str) -> bool:
    """Tell whether no flow is left to or from the port that was removed."""
    flows = network.flows(host)
    return not any("lan/gone" in f"{flow['match']}{flow['actions']}" for flow in flows)


def _uses_gone(flow: dict[str, Any]) -> bool:
    return GONE in flow["match"] or any("gone" in tag for tag in flow["tags"])


def test_a_port_that_is_taken_away_and_given_back_works_again(network: Network) -> None:
    document = (ROOT / "examples" / "two-hosts.yaml").read_text()
    without = "\n".join(
        line for line in document.splitlines() if not line.strip().startswith("web2:")
    )
    network.up(document)
    assert reaches(network.machine("web1"), "10.0.1.12")
    with pinging(network.machine("web1"), "10.0.2.12") as ping:
        for _ in range(2):
            network.up(without)
            assert "web2" not in network.status()["machines"]
            network.up(document)
            assert reaches(network.machine("web1"), "10.0.1.12")
            assert reaches(network.machine("db2"), "10.0.1.12")
            ping.goes_on()
