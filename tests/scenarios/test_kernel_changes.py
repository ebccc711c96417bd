"""The kernel's datapath while its surroundings change, by the lab's or by somebody else's hand."""

from typing import Any

import pytest

from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.kernel_requests import KernelRequests
from tests.scenarios.netlink_buffers import limit_netlink_buffers
from tests.scenarios.network import Network
from tests.scenarios.test_carrier import set_link
from tests.scenarios.test_tunnel_types import tunnels
from tests.scenarios.traffic import tcp_arrives_whole, udp_echoes
from tests.scenarios.waiting import eventually

pytestmark = [pytest.mark.lab, pytest.mark.kernel]

DOCUMENT = (
    (ROOT / "examples" / "two-hosts.yaml")
    .read_text()
    .replace("10.0.1.11/24", '[10.0.1.11/24, "2001:db8::11/64"]')
    .replace("10.0.1.12/24", '[10.0.1.12/24, "2001:db8::12/64"]')
)
WEB1, WEB2, DB1, DB2 = "10.0.1.11", "10.0.1.12", "10.0.2.11", "10.0.2.12"


def test_the_agent_tells_what_the_datapath_counted(shared: Network) -> None:
    def counted() -> dict[str, int]:
        told: dict[str, int] = broker(shared)["datapath"]
        return told

    before = counted()
    assert reaches(shared.machine("web1"), DB2)
    after = counted()
    assert set(after) == {"hits", "misses", "lost", "flows", "mask_lookups", "masks", "cache_hits"}
    assert before["misses"] < after["misses"]
    assert 0 < after["masks"] <= after["flows"]
    # Machines speak unasked, and flows end: between two looks there may be another one.
    eventually(lambda: counted()["flows"] == len(shared.flows("h1")), "as many flows")


def test_flows_count_packets_as_they_come(shared: Network) -> None:
    def packets() -> dict[str, int]:
        flows = shared.flows("h1")
        return {flow["id"]: flow["packets"] for flow in flows if "proto=1" in flow["match"]}

    web1 = shared.machine("web1")
    assert reaches(web1, DB2)
    before = packets()
    for _ in range(20):
        assert reaches(web1, DB2)
    assert sum(count - before.get(flow, 0) for flow, count in packets().items()) >= 20


def test_ipv6_is_bridged_over_the_tunnel(shared: Network) -> None:
    web1, web2 = shared.machine("web1"), shared.machine("web2")
    assert reaches(web1, "2001:db8::12")
    udp_echoes(web1, web2, "2001:db8::12", (0, 1, 1400, 4000))
    tcp_arrives_whole(web1, web2, "2001:db8::12", 300_000)


def test_a_machine_without_carrier_is_away_and_comes_back(shared: Network) -> None:
    web1, web2 = shared.machine("web1"), shared.machine("web2")
    with pinging(web1, WEB2) as ping:
        ping.goes_on()
        set_link(web2, "down")
        ping.fails()
        set_link(web2, "up")
        ping.goes_on()


def test_a_port_that_is_removed_under_traffic_takes_no_other_along(shared: Network) -> None:
    without = "\n".join(
        line for line in DOCUMENT.splitlines() if not line.strip().startswith("web2:")
    )
    with (
        pinging(shared.machine("web1"), WEB2) as doomed,
        pinging(shared.machine("web1"), DB2) as other,
    ):
        doomed.goes_on()
        first = other.goes_on()
        shared.up(without)
        doomed.fails()
        other.goes_on()
    assert not other.lost(first)
    shared.up(DOCUMENT)
    assert reaches(shared.machine("web1"), WEB2)


def test_a_machine_that_moves_to_the_other_host_and_back_is_followed(shared: Network) -> None:
    with (
        pinging(shared.machine("web1"), WEB2) as ping,
        pinging(shared.machine("db2"), WEB2) as routed,
    ):
        for where in ("web2: {host: h1", "web2: {host: h2"):
            shared.up(DOCUMENT.replace("web2: {host: h2", where))
            ping.goes_on()
            routed.goes_on()


def test_a_zone_that_changes_its_type_takes_its_hosts_along(shared: Network) -> None:
    web1, db2 = shared.machine("web1"), shared.machine("db2")
    for kind in ("geneve", "gre", "vxlan"):
        shared.up(DOCUMENT.replace("type: vxlan", f"type: {kind}"))
        wanted = {kind: "plugged"}
        eventually(lambda w=wanted: tunnels(shared, "h1") == tunnels(shared, "h2") == w, kind)  # type: ignore[misc]
        assert reaches(web1, DB2, size=1450 - 28, dont_fragment=True)
        assert reaches(web1, DB2, size=5000)
        tcp_arrives_whole(web1, db2, DB2, 500_000)


def test_an_interface_that_is_renamed_is_away_until_it_has_its_name_again(
    shared: Network,
) -> None:
    host = shared.machine("h1")
    with pinging(shared.machine("web1"), DB2) as ping:
        ping.goes_on()
        host.python(RENAME.format(old="web1", new="other"))
        ping.fails()
        host.python(RENAME.format(old="other", new="web1"))
        ping.goes_on()


RENAME = """
from pyroute2 import IPRoute
with IPRoute() as route:
    index = route.link_lookup(ifname="{old}")[0]
    route.link("set", index=index, state="down")
    route.link("set", index=index, ifname="{new}")
    route.link("set", index=index, state="up")
"""


def test_a_vport_that_somebody_deletes_is_plugged_in_again(
    shared: Network, kernel: KernelRequests
) -> None:
    with pinging(shared.machine("web1"), DB2) as ping:
        ping.goes_on()
        for name in ("web1", "ayatori-vxlan"):
            kernel.delete_vport(name)
            eventually(lambda n=name: n in kernel.vports(), name)  # type: ignore[misc]
            ping.goes_on()


def test_a_datapath_that_somebody_deletes_is_set_up_again(
    shared: Network, kernel: KernelRequests
) -> None:
    shared.expect_log("failed")
    agent, before = shared.agent_pid("h1"), kernel.datapath()
    with pinging(shared.machine("web1"), DB2) as ping:
        ping.goes_on()
        kernel.delete_datapath()
        eventually(lambda: kernel.datapath() not in {0, before}, "another datapath")
        ping.goes_on()
        eventually(lambda: len(kernel.vports()) == 4, "its ports")
    assert shared.agent_pid("h1") == agent
    assert reaches(shared.machine("db1"), WEB2)


FLOWS = 400


def test_replies_that_were_lost_are_made_up_for_by_dumps(
    shared: Network, kernel: KernelRequests
) -> None:
    web1, web2 = shared.machine("web1"), shared.machine("web2")
    assert reaches(web1, WEB2)
    with web1.wire() as wire:
        for number in range(FLOWS):
            source = bytes((2, 0, 0, 9)) + number.to_bytes(2)
            wire.send(bytes.fromhex("020000000112") + source + b"\x88\xb5" + bytes(46))
        eventually(lambda: len(kernel.flows()) > FLOWS, "the flows")
    agent = shared.agent_pid("h1")
    assert agent is not None
    limit_netlink_buffers(agent, 1)
    try:
        set_link(web2, "down")
        eventually(lambda: len(kernel.flows()) < FLOWS // 4, "the flows' end")
        eventually(lambda: "replies lost" in broker(shared), "lost replies")
    finally:
        limit_netlink_buffers(agent, 8 << 20)
    set_link(web2, "up")
    eventually(lambda: len(kernel.flows()) == len(shared.flows("h1")), "both sides agree")
    assert reaches(web1, WEB2)


def broker(network: Network) -> dict[str, Any]:
    """Return what the netlink broker of h1 counted."""
    told: dict[str, Any] = network.stats("h1")["actors"]["netlink-broker"]
    return told
