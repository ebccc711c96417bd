"""Devices are held as long as something uses them, and leave nothing behind when they go."""

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.host import HostSettings
from actors.messages.flows import LocalPort, PortPluggedIn
from actors.messages.operator import FaultInjected
from actors.messages.tables import Row, RowsChanged
from actors.messages.time import ClockTicked, Tick
from actors.state.journal import JournalSettings, JournalWriter, Run
from actors.state.replay import Replay
from actors.values import (
    SECOND,
    ActorName,
    DatapathPort,
    HostId,
    Nanoseconds,
    PortId,
    stable_id,
)
from tests.network import START, Network, bridge, router
from tests.wire import is_arp_request, is_at, udp, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web:
    ports:
      a: {host: h1, interface: a}
      b: {host: h2, interface: b}
      gw: {peer: edge/web}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      c: {host: h1, interface: c, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
RA, RC = "02:00:00:00:ff:01", "02:00:00:00:ff:02"
TO_C = udp(A, RA, "10.0.1.11", "10.0.2.12")
IDLE = 300


def talk(net: Network) -> None:
    """Let A talk to C by bridge and router."""
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"), TO_C)
    net.send("c", is_at(C, "10.0.2.12", RC, "10.0.2.1"))


def held(net: Network, host: str = "h1") -> set[str]:
    """Return the devices that a host holds."""
    return {name for name in net.hosts[host].lane.names if "/" in name}


def sizes(value: Any) -> Any:
    """Return how much is in every container of a state, whatever it is that is in there."""
    if isinstance(value, dict):
        deep = {k: sizes(v) for k, v in value.items() if isinstance(v, dict | list)}
        return len(value), deep
    return len(value) if isinstance(value, list) else 0


def kept(net: Network, host: str = "h1") -> dict[str, Any]:
    """Return the sizes of all that a host's actors keep; but for what is a ring."""
    lane = net.hosts[host].lane
    found: dict[str, Any] = {}
    for name in lane.names:
        state = msgspec.to_builtins(net.hosts[host].actor(name).state)
        for ring in ("recent", "requests", "drops"):
            state.pop(ring, None)
        found[name] = sizes(state)
    return found


def wanted(net: Network, host: str = "h1") -> tuple[set[Any], set[Any]]:
    """Return what a host's end of the store watches: objects and tables."""
    end = net.hosts[host].store
    return set(end._objects), set(end._tables)


def test_devices_that_nothing_uses_go_and_leave_nothing_behind() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.advance(IDLE + 10)  # the router too, which was told that its port is plugged in
    assert held(net) == set()
    before, watched = kept(net), wanted(net)
    talk(net)
    assert held(net) == {bridge("web"), router("edge")}
    assert kept(net) != before
    net.advance(200)
    assert held(net) == {bridge("web"), router("edge")}
    net.advance(IDLE)
    assert held(net) == set()
    assert kept(net) == before
    assert wanted(net) == watched


def test_packet_after_that_loads_its_devices_again() -> None:
    net = Network.from_yaml(TOPOLOGY)
    talk(net)
    net.advance(IDLE + 200)
    assert held(net) == set()
    net.forget()
    net.send("a", TO_C)
    assert any(is_arp_request(frame, "10.0.2.12") for frame in net.delivered("c"))
    net.send("c", is_at(C, "10.0.2.12", RC, "10.0.2.1"))
    assert len(net.delivered("c")) == 1
    assert net.hosts["h1"].lane.undeliverable == 0


def test_device_whose_flows_carry_traffic_stays() -> None:
    net = Network.from_yaml(TOPOLOGY)
    talk(net)
    for _ in range(12):
        net.advance(50)
        net.send("a", TO_C)
        net.send("c", is_at(C, "10.0.2.12", RC, "10.0.2.1"))
    actor = net.hosts["h1"].actor(router("edge"))
    net.advance(IDLE - 10)
    assert net.hosts["h1"].actor(router("edge")) is actor


def test_device_with_rows_that_others_use_stays_until_they_expire() -> None:
    net = Network.from_yaml(
        TOPOLOGY, HostSettings(HostId(""), "", device_idle=5 * SECOND, mac_idle=40 * SECOND)
    )
    talk(net)
    net.advance(62)  # the last flow is gone
    assert net.macs("h1", "web") == {A: "a"}
    net.advance(30)
    assert bridge("web") in held(net)
    net.advance(20)
    assert held(net) == set()
    assert net.store.rows(f"mac/{stable_id('bridge', 'web')}") == {}


def test_packet_that_waits_keeps_its_device() -> None:
    net = Network.from_yaml(TOPOLOGY, HostSettings(HostId(""), "", device_idle=SECOND))
    net.hosts["h1"].hold_store()
    net.send("a", TO_C)
    net.advance(3)
    assert held(net) >= {bridge("web")}
    net.hosts["h1"].release_store()
    net.settle()
    assert any(is_arp_request(frame, "10.0.2.12") for frame in net.delivered("c"))


def test_late_answers_do_not_bring_a_device_back_but_a_port_that_is_plugged_in_does() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.advance(IDLE + 10)
    host = net.hosts["h1"]
    edge = ActorName(router("edge"))
    host.lane.send(edge, Tick(net.now))
    host.lane.send(edge, RowsChanged("arp/x", net.now, (Row(b"", None, HostId("")),)))
    net.advance(1)
    assert held(net) == set()
    assert host.lane.too_late == 2
    port = PortId(stable_id("port", "edge/c"))
    local = LocalPort(port, "edge/c", edge, DatapathPort(2), 7)
    host.lane.send(edge, PortPluggedIn(local, net.now))
    net.advance(1)
    assert held(net) == {edge}


def test_packet_on_its_way_while_its_device_goes_makes_it_afresh() -> None:
    net = Network.from_yaml(TOPOLOGY)
    talk(net)
    lane = net.hosts["h1"].lane
    name = ActorName(bridge("web"))
    net.send("a", udp(A, B, "10.0.1.11", "10.0.1.12"))
    net.forget()
    old = lane.actor(name)

    # Its last message lets it go while the packet's hop is queued behind it.
    def goes(to: ActorName, _message: object) -> None:
        if to == name and lane.actor(name) is old:
            lane.retire(name)

    lane.observer = goes
    net.send("a", udp(A, "02:00:00:00:00:77", "10.0.1.11", "10.0.1.13"))
    lane.observer = None
    assert lane.actor(name) is not old
    assert len(net.delivered("b")) == 1


def test_begun_afresh_or_restored_it_still_goes() -> None:
    net = Network.from_yaml(TOPOLOGY)
    talk(net)
    lane = net.hosts["h1"].lane
    net.crashes_expected = True
    for _ in range(3):
        lane.handle(ActorName("operator"), FaultInjected(net.now, ActorName(bridge("web")), 1))
        net.send("a", udp(A, B, "10.0.1.11", "10.0.1.12"), udp(A, B, "10.0.1.11", "10.0.1.13"))
    lane.restore(lane.snapshot())
    net.advance(IDLE + 200)
    assert held(net) == set()
    assert ActorName(bridge("web")) not in lane.policy.crashes


def test_journal_of_devices_that_come_and_go_replays(tmp_path: Path) -> None:
    net = Network(TOPOLOGY)
    host = net.hosts["h1"]
    encoded = msgspec.Raw(msgspec.msgpack.encode(host.settings))
    writer = JournalWriter(
        JournalSettings(tmp_path, segment_size=256 * 1024, segment_age=400.0),
        Run("test", "h1", START, 2048, encoded),
    )
    host.lane.journal = writer
    net.start()
    for _ in range(3):
        talk(net)
        net.advance(IDLE + 150)
        assert held(net) == set()
    writer.close(host.lane.snapshot())
    result = Replay(tmp_path).run()
    assert result.differences == []
    assert result.inputs == host.lane.inputs


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=400), st.integers(0, 3))
def test_thousands_of_devices_that_come_and_go_leave_every_table_as_it_was(
    chosen: list[int], pause: int
) -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.advance(IDLE + 10)
    before, watched = kept(net), wanted(net)
    host = net.hosts["h1"]
    for index, number in enumerate(chosen):
        kind = "bridge" if number % 2 else "router"
        host.lane.start_actor(ActorName(f"{kind}/{number:036d}"))
        if index % 7 == 0:
            host.handle("clock", ClockTicked(net.now))
            net.advance(pause)
    host.handle("clock", ClockTicked(net.now))
    net.settle()
    assert len(held(net)) <= len(set(chosen))
    talk(net)
    for _ in range(IDLE + 200):
        net.now = Nanoseconds(net.now + SECOND)
        host.handle("clock", ClockTicked(net.now))
        net.settle()
    assert held(net) == set()
    assert kept(net) == before
    assert wanted(net) == watched


def test_three_thousand_devices_leave_every_table_as_it_was() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.advance(IDLE + 10)
    before, watched = kept(net), wanted(net)
    host = net.hosts["h1"]
    for number in range(3_000):
        kind = "bridge" if number % 2 else "router"
        host.lane.start_actor(ActorName(f"{kind}/{number:036d}"))
    host.handle("clock", ClockTicked(net.now))
    net.settle()
    assert len(held(net)) == 3_000
    net.now = Nanoseconds(net.now + IDLE * SECOND)
    host.handle("clock", ClockTicked(net.now))
    net.settle()
    assert held(net) == set()
    assert kept(net) == before
    assert wanted(net) == watched
