"""Two hosts on a ZooKeeper server of the lab's own: deaths, a cut, and the tables afterwards."""

import signal
from collections.abc import Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest

from actors.state.store.interface import EntryPut, Store
from actors.state.store.open import open_store
from actors.state.tables import ACTIVE_TABLE, decode_active, decode_mac, mac_table
from actors.values import DeviceId, format_mac, stable_id
from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.network import Network, network_of
from tests.scenarios.test_restarts import agent_of, end
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

DOCUMENT = (ROOT / "examples" / "two-hosts.yaml").read_text()
ADDRESSES = {"web1": "10.0.1.11", "web2": "10.0.1.12", "db1": "10.0.2.11", "db2": "10.0.2.12"}


@pytest.fixture(scope="module")
def lab_of_module(datapath: str) -> Iterator[Network]:
    """Run the lab for all scenarios of the module."""
    with network_of(datapath=datapath) as network:
        network.up(DOCUMENT, "--store", "zookeeper")
        yield network
        server = network.status()["store"]["pid"]
        network.down()
        assert not Path(f"/proc/{server}").exists()


def server_of(network: Network) -> int | None:
    """Return the process of the lab's ZooKeeper server, None between two lives."""
    pid: int | None = network.status()["store"]["pid"]
    return pid


def link_of(network: Network, host: str) -> str:
    """Return how a host's agent gets on with the store."""
    state: str = network.stats(host)["agent"]["store_link"]["state"]
    return state


def latest(store: Store, table: str) -> dict[bytes, EntryPut]:
    """Return the entry that counts for each key."""
    return {entry.key: entry for entry in store.entries(table)}


def tables_are_the_stores(network: Network, store: Store) -> bool:
    """Tell whether both hosts hold just what is in the store, and it is all that should be."""
    active = {decode_active(e.key, e.value) for e in latest(store, ACTIVE_TABLE).values()}
    if len(active) != len(ADDRESSES):
        return False
    ports = {(str(port), entry.tunnel_key) for port, entry in active}
    for host in ("h1", "h2"):
        tables = network.tables(host)
        if {(row["id"], row["tunnel_key"]) for row in tables["active"]} != ports:
            return False
        for bridge in {row["bridge"] for row in tables["macs"]}:
            rows = latest(
                store, mac_table(DeviceId(stable_id("bridge", bridge.removeprefix("bridge/"))))
            ).values()
            stored = {decode_mac(e.key, e.value) for e in rows}
            held = {
                (row["vlan"], row["mac"], stable_id("port", row["port"]))
                for row in tables["macs"]
                if row["bridge"] == bridge
            }
            if held != {(vlan, format_mac(mac), port) for vlan, mac, port in stored}:
                return False
    return True


def agrees(network: Network) -> None:
    """Wait until all is connected and all tables are the store's."""
    hosts = ("h1", "h2")
    eventually(lambda: all(link_of(network, host) == "connected" for host in hosts), "connected")
    with closing(open_store(network.status()["store"]["url"])) as store:
        eventually(lambda: tables_are_the_stores(network, store), "tables that are the store's")


def test_all_machines_ping_all_others_and_the_hosts_agree(shared: Network) -> None:
    for one, other in permutations(ADDRESSES, 2):
        assert reaches(shared.machine(one), ADDRESSES[other]), f"{one} to {other}"
    agrees(shared)


def test_commands_find_the_store_of_the_lab(shared: Network) -> None:
    status = shared.status()
    assert status["hosts"]["h1"]["store"] == "connected"
    assert status["store"]["url"].startswith("zookeeper://127.0.0.1:")
    assert shared.run("topology", "diff", str(shared.document(DOCUMENT))).stdout == ""
    again = shared.up(DOCUMENT, "--store", "zookeeper")
    assert "changed" in again.stdout
    assert server_of(shared) == status["store"]["pid"]
    refused = shared.up(DOCUMENT, "--store", "zookeeper://127.0.0.1:1/other", check=False)
    assert refused.returncode == 5


def test_a_running_lab_is_not_changed_to_an_underlay_in_the_stores_network(shared: Network) -> None:
    refused = shared.up(DOCUMENT.replace("198.18.0.2", "198.19.0.2"), check=False)
    assert refused.returncode == 2
    assert "the underlay address 198.19.0.2 is in 198.19.0.0/16" in refused.stderr
    assert shared.run("topology", "diff", str(shared.document(DOCUMENT))).stdout == ""


def test_a_killed_agent_comes_back_without_waiting_for_its_lease(shared: Network) -> None:
    with pinging(shared.machine("web1"), ADDRESSES["db2"]) as ping:
        ping.goes_on()
        before = agent_of(shared, "h1")
        end(before, signal.SIGKILL)
        eventually(lambda: shared.agent_pid("h1") not in {None, before}, "anew")
        shared.settle()
        ping.goes_on()
    log = shared.run("lab", "logs", "h1").stdout
    assert "waiting for the lease" not in log
    agrees(shared)


def test_a_killed_server_comes_back_and_no_packet_misses_it(shared: Network) -> None:
    near, far = shared.machine("web1"), shared.machine("db2")
    with pinging(near, ADDRESSES["web2"]) as tunnel, pinging(far, ADDRESSES["web2"]) as local:
        tunnel.goes_on()
        local.goes_on()
        first = max(tunnel.goes_on(), local.goes_on())
        before = server_of(shared)
        assert before is not None
        end(before, signal.SIGKILL)
        eventually(lambda: server_of(shared) not in {None, before}, "server anew")
        agrees(shared)
        tunnel.goes_on()
        local.goes_on()
    assert (tunnel.lost(first), local.lost(first)) == ([], [])


def test_a_host_cut_off_from_the_store_goes_on_and_is_found_again(shared: Network) -> None:
    with (
        pinging(shared.machine("web1"), ADDRESSES["db1"]) as local,
        pinging(shared.machine("web1"), ADDRESSES["web2"]) as tunnel,
    ):
        tunnel.goes_on()
        first = local.goes_on()
        shared.exec("h1", "ip", "link", "set", "store0", "down", check=True)
        eventually(lambda: link_of(shared, "h1") == "disconnected", "told")
        assert shared.status()["hosts"]["h1"]["store"].startswith("disconnected since 2")
        eventually(lambda: len(shared.tables("h2")["active"]) == 2, "h1's entries ended")
        tunnel.fails()  # by the far host's view h1 is gone
        assert len(shared.tables("h1")["active"]) == 4, "h1 goes on with what it knows"
        eventually(lambda: shared.stats("h1")["agent"]["store_link"]["failures"] > 0, "given up")
        local.goes_on()
        shared.exec("h1", "ip", "link", "set", "store0", "up", check=True)
        agrees(shared)
        tunnel.goes_on()
        local.goes_on()
    assert local.lost(first) == []
