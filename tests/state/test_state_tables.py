"""The state tables actor: rows of this host stay published, others' are told to who asked."""

from actors.messages.tables import (
    EntryState,
    PutEntry,
    RemoveEntry,
    SessionEnded,
    SettleSession,
    TableChanged,
    UnwatchTable,
)
from actors.state.tables import ACTIVE_TABLE, arp_table, encode_mac, mac_table
from actors.values import ActorName, DeviceId, PortId, parse_mac, stable_id
from tests.network import Network, bridge
from tests.wire import announce, ether, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, c: {host: h2, interface: c}}}
"""
ROUTED = """
ayatori: 1
routers:
  edge:
    ports:
      a: {host: h1, interface: a, address: 10.0.1.1/24}
      b: {host: h1, interface: b, address: 10.0.2.1/24}
"""
PORT_B = "      b: {host: h1, interface: b, address: 10.0.2.1/24}\n"
A = "02:00:00:00:00:0a"
TABLE = mac_table(DeviceId(stable_id("bridge", "web")))
BROADCAST = "ff:ff:ff:ff:ff:ff"


def test_rows_are_written_again_into_a_new_session() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, BROADCAST))
    host = net.hosts["h1"]
    host.store.lose_session()
    net.settle()
    assert TABLE not in net.store.entries or not net.store.rows(TABLE)
    assert len(net.store.rows(ACTIVE_TABLE)) == 1
    host.store.open_session()
    net.settle()
    assert len(net.store.rows(TABLE)) == 1
    assert len(net.store.rows(ACTIVE_TABLE)) == 2


def test_rows_learned_while_the_store_is_out_of_reach_are_written_later() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    host.store.lose_session()
    net.settle()
    net.send("a", ether(A, BROADCAST))
    assert net.macs("h1", "web") == {A: "a"}
    host.store.open_session()
    net.settle()
    assert len(net.store.rows(TABLE)) == 1


def test_traffic_on_one_host_goes_on_while_the_store_is_out_of_reach() -> None:
    net = Network.from_yaml(TOPOLOGY.replace("host: h2, interface: c", "host: h1, interface: c"))
    net.hosts["h1"].store.lose_session()
    net.settle()
    frame = ether(A, BROADCAST)
    net.send("a", frame)
    assert net.delivered("c") == [frame]


def test_row_that_crossed_another_hosts_newer_row_is_taken_back() -> None:
    net = Network.from_yaml(TOPOLOGY)
    one, other = net.hosts["h1"], net.hosts["h2"]
    net.send("a", ether("02:00:00:00:00:01", BROADCAST))
    one.hold_store()
    net.send("a", ether(A, BROADCAST))
    net.send("c", announce(A, "10.0.0.1"))
    one.release_store()
    net.settle()
    assert net.macs("h1", "web")[A] == net.macs("h2", "web")[A] == "c"
    owners = [owner for key, owner in net.store.entries[TABLE] if key[2:] == parse_mac(A)]
    assert owners == [other.settings.host]


def test_table_is_watched_once_however_often_a_device_begins_afresh() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, BROADCAST))
    net.inject("h1", bridge("web"), 2)
    net.send("a", ether(A, BROADCAST, b"one"), ether(A, A), ether(A, "02:00:00:00:00:99"))
    watched = [o for o in net.hosts["h1"].store.outputs if getattr(o, "table", "") == TABLE]
    assert sum(type(o).__name__ == "WatchTable" for o in watched) == 1


def test_whole_table_replaces_what_was_known() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, BROADCAST))
    key, value = encode_mac(0, parse_mac("02:00:00:00:00:77"), PortId("p"))
    stray = EntryState(key, value, "h9", 50, False)
    host = net.hosts["h1"]
    host.give(ActorName("state-tables"), TableChanged(net.now, TABLE, (stray,), False))
    net.settle()
    assert len(net.hosts["h1"].actor(bridge("web")).state.macs) == 2
    host.give(ActorName("state-tables"), TableChanged(net.now, TABLE, (), True))
    net.settle()
    assert net.macs("h1", "web") == {A: "a"}, "this host's own row stays its own"


def test_own_row_is_put_once_and_removed_once() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, BROADCAST), ether(A, BROADCAST, vlan=3))
    net.advance(90)
    outputs = net.hosts["h1"].store.outputs
    puts = [o for o in outputs if isinstance(o, PutEntry) and o.table == TABLE]
    removals = [o for o in outputs if isinstance(o, RemoveEntry) and o.table == TABLE]
    assert len(puts) == len(removals) == 2


def test_table_of_a_port_that_went_is_watched_no_more() -> None:
    net = Network.from_yaml(ROUTED)
    net.send("a", announce(A, "10.0.1.11"))
    net.apply(ROUTED.replace(PORT_B, ""))
    outputs = net.hosts["h1"].store.outputs
    (gone,) = [o for o in outputs if isinstance(o, UnwatchTable)]
    assert gone.table.startswith("arp/")


def test_row_of_a_port_that_went_and_came_back_is_known_to_nobody() -> None:
    net = Network.from_yaml(ROUTED)
    net.send("b", who_has("10.0.2.1", A, "10.0.2.11"))
    assert net.arp("h1", "edge") == {"10.0.2.11": A}
    net.apply(ROUTED.replace(PORT_B, ""))
    assert net.arp("h1", "edge") == {}
    net.apply(ROUTED)
    assert net.arp("h1", "edge") == {}
    assert not net.store.rows(arp_table(PortId(stable_id("port", "edge/b"))))


def test_rows_that_make_no_sense_are_counted_and_do_no_harm() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, BROADCAST))
    for garbage in (
        b"",
        b"\xff",
        b"\xc1" * 40,
        b"\x92\xa1\xff\x01",
        b"\x92\xa1h\xcf" + b"\xff" * 8,
    ):
        net.store.put(TABLE, garbage, garbage, "stranger")
        net.store.put(ACTIVE_TABLE, garbage, garbage, "stranger")
    port = stable_id("port", "web/c").encode()
    net.store.put(ACTIVE_TABLE, port, b"\x92\xa1h\x00", "stranger")
    net.settle()
    net.send("a", ether(A, "02:00:00:00:00:99"))
    assert net.hosts["h1"].drops(bridge("web"))["malformed MAC row"] >= 1
    assert net.hosts["h1"].counters.malformed_rows >= 1


def test_rows_that_go_and_come_back_with_the_session_leave_this_hosts_flows() -> None:
    net = Network.from_yaml(TOPOLOGY.replace("{a: {host: h1, interface: a}",
                                             "{a: {host: h1, interface: a}, b: {host: h1, interface: b}"))  # fmt: skip
    other = "02:00:00:00:00:0b"
    net.send("b", ether(other, BROADCAST))
    net.send("a", ether(A, other))
    host = net.hosts["h1"]
    before = host.counters.installed
    host.store.lose_session()
    net.settle()
    net.send("a", ether(A, other))
    for table in (TABLE, ACTIVE_TABLE):
        host.give(ActorName("state-tables"), TableChanged(net.now, table, (), True))
    host.store.open_session()
    net.settle()
    net.send("a", ether(A, other))
    assert host.counters.installed == before
    assert len(net.store.rows(TABLE)) == 2


def test_other_hosts_keep_their_flows_while_a_host_changes_its_session() -> None:
    net = Network.from_yaml(TOPOLOGY)
    other = "02:00:00:00:00:0b"
    net.send("a", ether(A, BROADCAST))
    net.send("c", ether(other, BROADCAST))
    net.send("a", ether(A, other))
    one, far = net.hosts["h1"], net.hosts["h2"]
    before = one.counters.installed, one.counters.invalidated
    far.store.session = False
    far.give(ActorName("state-tables"), SessionEnded(net.now, "out of reach"))
    far.store.open_session()
    net.settle()
    net.send("a", ether(A, other))
    assert (one.counters.installed, one.counters.invalidated) == before
    assert far.store.outputs[-1] == SettleSession()


def test_rows_that_no_longer_hold_go_once_the_others_are_in_the_new_session() -> None:
    net = Network.from_yaml(ROUTED)
    host = net.hosts["h1"]
    assert len(net.store.rows(ACTIVE_TABLE)) == 2
    host.store.session = False
    host.give(ActorName("state-tables"), SessionEnded(net.now, "out of reach"))
    net.store.apply(ROUTED.replace(PORT_B, ""))
    net.settle()
    assert len(net.store.rows(ACTIVE_TABLE)) == 2
    host.store.open_session()
    net.settle()
    assert len(net.store.rows(ACTIVE_TABLE)) == 1


def test_row_that_another_host_took_while_this_one_was_cut_off_is_not_taken_back() -> None:
    net = Network.from_yaml(TOPOLOGY)
    one, other = net.hosts["h1"], net.hosts["h2"]
    net.send("a", ether(A, BROADCAST))
    one.hold_store()
    one.store.lose_session()
    net.send("c", announce(A, "10.0.0.1"))
    entries = tuple(net.store.entries[TABLE].values())
    one.release_store()
    one.give(ActorName("state-tables"), TableChanged(net.now, TABLE, entries, True))
    one.store.open_session()
    net.settle()
    assert net.macs("h1", "web")[A] == net.macs("h2", "web")[A] == "c"
    owners = [owner for key, owner in net.store.entries[TABLE] if key[2:] == parse_mac(A)]
    assert owners == [other.settings.host]
