"""`ayatori flows`, `tables`, `devices`, `stats` and `fault` against real agents."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.errors import ExitStatus
from tests.lab.runner import ROOT, LabRunner

pytestmark = pytest.mark.lab

PING = (sys.executable, "-m", "cli.lab.ping", "-c", "2", "-i", "0.05", "-W", "20")
COLUMNS = ["KIND", "AGE", "EXPIRES", "PACKETS", "BYTES", "MATCH", "ACTIONS"]


@pytest.fixture
def pinged(lab: LabRunner) -> LabRunner:
    """Give a lab of two hosts in which web1 on h1 has pinged db2 on h2, through the router."""
    lab.run("lab", "up", str(ROOT / "examples/two-hosts.yaml"))
    lab.exec("web1", *PING, "10.0.2.12", check=True)
    return lab


@pytest.fixture
def told(pinged: LabRunner) -> Callable[..., Any]:
    """Give a function that returns what a command tells with --json."""
    return lambda *words: json.loads(pinged.run(*words, "--json").stdout)


def test_what_agents_hold_is_shown_with_names(pinged: LabRunner, told: Callable[..., Any]) -> None:
    flows_are_whole_lines(pinged)
    flows_name_ports_peers_and_devices(told)
    tables_name_where_everything_is(told)
    devices_name_their_ports_and_peers(told)
    counters_grow_with_packets(pinged, told)
    lines_begin_with_what_they_are_of(pinged)


def flows_are_whole_lines(pinged: LabRunner) -> None:
    head, *lines = pinged.run("flows", "h1").stdout.splitlines()
    assert head.split() == COLUMNS
    routed = [line for line in lines if "src=10.0.1.11,dst=10.0.2.12" in line]
    assert len(routed) == 1
    kind, _, _, packets, octets, match, actions = routed[0].split()
    assert kind == "plain"
    assert (int(packets), int(octets)) >= (0, 0)
    assert match.startswith("in=web/web1,")
    assert actions.endswith("ttl(63),tunnel(to=h2,for=db/db2)")


def flows_name_ports_peers_and_devices(told: Callable[..., Any]) -> None:
    answer = told("flows", "h1")
    assert set(answer) == {"host", "flows"}
    assert set(answer["flows"][0]) == {
        "id", "kind", "age", "expires_in", "packets", "bytes", "match", "actions", "reason", "tags",
    }  # fmt: skip
    routed = [flow for flow in answer["flows"] if "dst=10.0.2.12" in flow["match"]]
    assert {"device:router/edge", "port:edge/db", "arp:edge/db:10.0.2.12", "peer:h2"} <= set(
        routed[0]["tags"]
    )
    far = [flow for flow in told("flows", "h2")["flows"] if flow["kind"] == "tunnel"]
    assert "tunnel(from=h1,for=db/db2),ethertype=0x0800" in {flow["match"] for flow in far}


def tables_name_where_everything_is(told: Callable[..., Any]) -> None:
    answer = told("tables", "h1")
    assert {port["port"]: port["status"] for port in answer["ports"]} == {
        "db/db1": "plugged",
        "web/web1": "plugged",
    }
    assert {port["port"]: port["host"] for port in answer["active"]} == {
        "db/db1": "h1",
        "db/db2": "h2",
        "web/web1": "h1",
        "web/web2": "h2",
    }
    assert [peer["host"] for peer in answer["peers"]] == ["h2"]
    assert {"bridge": "bridge/web", "mac": "02:00:00:00:01:11", "port": "web/web1"}.items() <= (
        next(row for row in answer["macs"] if row["own"] and row["port"] == "web/web1").items()
    )
    assert ("router/edge", "edge/web", "10.0.1.11") in {
        (row["router"], row["port"], row["address"]) for row in answer["arp"]
    }
    assert {(route["from"], route["to"], route["port"]) for route in answer["routes"]} == {
        ("0.0.0.0/0", "10.0.1.0/24", "edge/web"),
        ("0.0.0.0/0", "10.0.2.0/24", "edge/db"),
    }


def devices_name_their_ports_and_peers(told: Callable[..., Any]) -> None:
    devices = {f"{d['kind']}/{d['name']}": d for d in told("devices", "h1")["devices"]}
    assert {"bridge/web", "bridge/db", "router/edge"} <= set(devices)
    ports = {port["name"]: port for port in devices["bridge/web"]["ports"]}
    assert ports["web/gw"]["peer"] == "edge/web"
    assert (ports["web/web2"]["host"], ports["web/web2"]["interface"]) == ("h2", "web2")


def counters_grow_with_packets(pinged: LabRunner, told: Callable[..., Any]) -> None:
    before = told("stats", "h1")
    waited = {"waited_topology", "waited_arp", "waited_share"}
    assert set(before) == {"host", "simulated", "agent", "actors", *waited}
    assert 0 < before["waited_share"] <= 1
    assert before["agent"]["ready"] is True
    workflow = before["actors"]["packet-workflow"]
    assert 0 < before["simulated"] <= workflow["packets"] - workflow["from_tunnel"]
    pinged.exec("web1", *PING, "10.0.2.11", check=True)
    assert told("stats", "h1")["simulated"] > before["simulated"]


def lines_begin_with_what_they_are_of(pinged: LabRunner) -> None:
    tables = pinged.run("tables", "h1").stdout.splitlines()
    assert {line.split()[0] for line in tables} >= {"port", "peer", "active", "mac", "arp", "route"}
    assert "router/edge" in pinged.run("devices", "h1").stdout
    stats = dict(line.split(maxsplit=1) for line in pinged.run("stats", "h1").stdout.splitlines()
                 if len(line.split()) > 1)  # fmt: skip
    assert int(stats["packet-workflow.packets"]) > 0


def test_a_fault_crashes_an_actor_that_mends(pinged: LabRunner, told: Callable[..., Any]) -> None:
    said = pinged.run("fault", "h1", "bridge/web").stdout
    assert said == "the next message to bridge/web on h1 will crash it\n"
    # A machine without an entry asks by broadcast: that message is for the bridge.
    pinged.exec("web1", *PING, "10.0.1.99")
    assert told("stats", "h1")["agent"]["crashes"] == {"bridge/web": 1}
    assert told("stats", "h2")["agent"]["crashes"] == {}
    assert told("devices", "h1")["devices"]  # and it answers again


def test_what_is_not_there_is_named_with_what_is(pinged: LabRunner, tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        done = pinged.run(*words, check=False)
        assert done.returncode == ExitStatus.NOT_FOUND
        assert done.stdout == ""
        return done.stderr

    assert "no host 'h3' (hosts: h1, h2)" in refused("flows", "h3")
    no_such_bridge = refused("fault", "h1", "bridge/wab")
    assert "bridge/web, clock," in no_such_bridge
    assert no_such_bridge.rstrip().endswith("it holds bridges and routers that a packet has met")
    assert "no lab 'other' is running" in refused("tables", "h1", "--name", "other")
    assert "No such file" in refused("stats", "h1", "--socket", str(tmp_path / "none"))
    control = pinged.journal("h2").with_name("control")
    assert "is the socket of h2's agent" in refused("devices", "h1", "--socket", str(control))
    assert pinged.run("devices", "h2", "--socket", str(control)).stdout.startswith("DEVICE")
