"""Whether three hosts hold what their store holds, entry for entry, and no flow is older than that.

Knows the network of test_three_hosts. Every comparison is of one moment at the store and another
at an agent, so it is awaited: what differs for good is told by name.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from typing import Any

from actors.state.store.interface import EntryPut, Store
from actors.state.store.open import open_store
from actors.state.tables import (
    ACTIVE_TABLE,
    arp_table,
    decode_active,
    decode_arp,
    decode_mac,
    mac_table,
)
from actors.values import DeviceId, PortId, format_mac, stable_id
from tests.scenarios.network import Network
from tests.scenarios.waiting import eventually

HOSTS = ("h1", "h2", "h3")
PORTS = {"one/a1", "one/a2", "two/b2", "two/b3", "three/c3", "three/c1"}
_BRIDGES = ("one", "two", "three")
_ROUTER_PORTS = ("west/one", "west/east", "east/west", "east/two", "east/three")
_TABLES = {
    "active": ACTIVE_TABLE,
    **{f"mac/bridge/{name}": mac_table(DeviceId(stable_id("bridge", name))) for name in _BRIDGES},
    **{f"arp/{name}": arp_table(PortId(stable_id("port", name))) for name in _ROUTER_PORTS},
}
"""The tables of the network: as operators read them, and as they are stored."""
_OWNERS = {stable_id("host", name): name for name in HOSTS}
_TO_TUNNEL = re.compile(r"tunnel\(to=([^,)]+),for=([^,)]+)\)")
_FROM_TUNNEL = re.compile(r"tunnel\(from=[^,)]+,for=([^,)]+)\)")
_OUTPUT = re.compile(r"output\(([^)]+)\)")
_PATIENCE = 90.0
"""Seconds until all agree: one look is ten commands, which take their time on a busy machine."""


def link(network: Network, host: str) -> dict[str, Any]:
    """Return how a host's agent gets on with the store."""
    found: dict[str, Any] = network.stats(host)["agent"]["store_link"]
    return found


def connected(network: Network) -> None:
    """Wait until all agents are."""

    def all_are() -> bool:
        return all(link(network, host)["state"] == "connected" for host in HOSTS)

    eventually(all_are, "connected")


def agrees(network: Network) -> None:
    """Wait until all is connected, every table is the store's and no flow leads elsewhere."""
    found: list[str] = []
    with closing(open_store(network.status()["store"]["url"])) as store:

        def all_is_well() -> bool:
            found[:] = [*_wrong_in(store)]
            for host in HOSTS:
                found.extend(_wrong_at(network, store, host))
            return not found

        try:
            eventually(all_is_well, "tables that are the store's", _PATIENCE)
        except AssertionError as error:
            raise AssertionError("\n".join(found)) from error


def _wrong_in(store: Store) -> Iterator[str]:
    """Tell what no store should hold once all is well: strangers' rows, and superseded ones."""
    for name, table in _TABLES.items():
        entries = store.entries(table)
        keys = [entry.key for entry in entries]
        for entry in entries:
            if entry.owner not in _OWNERS:
                yield f"{name}: an entry of {entry.owner}"
            if keys.count(entry.key) > 1:
                yield f"{name}: {entry.key!r} again, by {_OWNERS.get(entry.owner)}"
    active = {decode_active(e.key, e.value)[0] for e in store.entries(ACTIVE_TABLE)}
    missing = {name for name in PORTS if PortId(stable_id("port", name)) not in active}
    if missing or len(active) != len(PORTS):
        yield f"active: {len(active)} ports, not {sorted(missing)}"


def _wrong_at(network: Network, store: Store, host: str) -> Iterator[str]:
    """Tell what is not at a host as it is in the store."""
    stats, tables = network.stats(host), network.tables(host)
    if stats["agent"]["store_link"]["state"] != "connected":
        yield f"{host}: {stats['agent']['store_link']}"
    counts = stats["actors"]["state-tables"]["tables"]
    held = _held(tables)
    for name, table in _TABLES.items():
        entries = store.entries(table)
        own = sum(_OWNERS.get(entry.owner) == host for entry in entries)
        count = counts.pop(name, None)
        if count is None:
            if own:
                yield f"{host} {name}: {own} of its own in the store, and none here"
            continue
        if count != {"entries": len({entry.key for entry in entries}), "own": own}:
            yield f"{host} {name}: {count}, in the store {len(entries)}, {own} its own"
        rows = {_row(name, entry) for entry in entries}
        if held.get(name, set()) != rows:
            yield f"{host} {name}: {held.get(name)}, in the store {rows}"
    if counts:
        yield f"{host}: tables {sorted(counts)}"
    yield from _stale(host, network.flows(host), tables)


def _row(name: str, entry: EntryPut) -> tuple[object, ...]:
    """Return what an entry says."""
    if name == "active":
        port, active = decode_active(entry.key, entry.value)
        return port, _OWNERS[active.host], active.tunnel_key
    if name.startswith("mac/"):
        vlan, mac, port = decode_mac(entry.key, entry.value)
        return vlan, format_mac(mac), port
    address, mac = decode_arp(entry.key, entry.value)
    return str(ip_address(address)), format_mac(mac)


def _held(tables: dict[str, Any]) -> dict[str, set[tuple[object, ...]]]:
    """Return the rows of `ayatori tables`, by table."""
    held: dict[str, set[tuple[object, ...]]] = {}
    for row in tables["active"]:
        held.setdefault("active", set()).add((row["id"], row["host"], row["tunnel_key"]))
    for row in tables["macs"]:
        learned = (row["vlan"], row["mac"], stable_id("port", row["port"]))
        held.setdefault(f"mac/{row['bridge']}", set()).add(learned)
    for row in tables["arp"]:
        held.setdefault(f"arp/{row['port']}", set()).add((row["address"], row["mac"]))
    return held


def _stale(host: str, flows: list[dict[str, Any]], tables: dict[str, Any]) -> Iterator[str]:
    """Tell which flows lead to where no port is, or take packets from where none is.

    Names of tunnels' ends are those of the active table; what is not in it is shown as a number.
    """
    places = {row["port"]: row["host"] for row in tables["active"]}
    for flow in flows:
        ends = [*_TO_TUNNEL.findall(flow["actions"])]
        ends += [(host, port) for port in _FROM_TUNNEL.findall(flow["match"])]
        ends += [(host, port) for port in _OUTPUT.findall(flow["actions"])]
        if any(places.get(port) != there for there, port in ends):
            yield f"{host}: {flow['match']} -> {flow['actions']}"
