"""The topology watcher: what the store says reaches who asked, and garbage reaches nobody."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.topology import ObjectState, TopologyChanged, UnwatchObject
from actors.state.document import compile_document, encode_object, parse_document
from actors.state.topology import Bridge, Router
from actors.values import ActorName, IpAddress, IpInterface, Mac, stable_id
from tests.network import Network, bridge
from tests.wire import udp

TOPOLOGY = """
ayatori: 1
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}}}
routers:
  edge: {ports: {c: {host: h1, interface: c, address: 10.0.0.1/24}}}
"""
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
AB = udp(A, B, "10.0.0.1", "10.0.0.2")
WEB, EDGE = stable_id("bridge", "web"), stable_id("router", "edge")


def objects() -> tuple[Bridge, Router]:
    compiled = compile_document(parse_document(TOPOLOGY, "t"))
    (web,) = (each for each in compiled if isinstance(each, Bridge))
    (edge,) = (each for each in compiled if isinstance(each, Router))
    return web, edge


def watcher(net: Network) -> dict[str, int]:
    malformed: dict[str, int] = net.ask("h1", "stats")["topology-watcher"]["malformed"]
    return malformed


def test_object_that_cannot_be_read_is_counted_and_the_last_good_one_stays() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", AB)
    net.forget()
    net.store.put_object("bridge", WEB, b"\xc1 no msgpack", 7)
    net.settle()
    assert watcher(net) == {f"bridge/{WEB}": 7}
    net.send("a", AB, udp(A, B, "10.0.0.1", "10.0.0.9"))
    assert len(net.delivered("b")) == 2
    net.store.put_object("bridge", WEB, encode_object(objects()[0]), 8)
    net.settle()
    assert watcher(net) == {}


def test_object_whose_addresses_have_wrong_lengths_is_refused() -> None:
    net = Network.from_yaml(TOPOLOGY)
    _, edge = objects()
    for wrong in (
        {"mac": Mac(b"abc")},
        {"address": IpInterface(IpAddress(b"\x0a"), 24)},
        {"address": IpInterface(IpAddress(b"\x0a\0\0\1"), 77)},
    ):
        port = msgspec.structs.replace(edge.ports[0], **wrong)
        spoiled = msgspec.structs.replace(edge, ports=(port,))
        host = net.hosts["h1"]
        state = ObjectState("router", EDGE, 5, encode_object(spoiled))
        host.give(ActorName("topology-watcher"), TopologyChanged(net.now, (state,)))
        net.settle()
        assert watcher(net) == {f"router/{EDGE}": 5}


def test_object_under_another_objects_key_is_refused() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", AB)
    net.forget()
    _, edge = objects()
    net.store.put_object("bridge", WEB, encode_object(edge), 9)
    net.settle()
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    assert watcher(net) == {f"bridge/{WEB}": 9}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_any_bytes_in_the_store_are_survived(data: bytes, at: int, patch: bytes) -> None:
    net = Network.from_yaml(TOPOLOGY)
    good = encode_object(objects()[0])
    spoiled = good[: at % len(good)] + patch + good[at % len(good) + len(patch) :]
    for version, bad in enumerate((data, spoiled), 2):
        net.store.put_object("bridge", WEB, bad, version)
        net.settle()
        net.send("a", AB)
    net.store.put_object("bridge", WEB, good, 9)
    net.settle()
    net.forget()
    net.send("a", AB)
    assert net.delivered("b") == [AB]


def test_device_that_begins_afresh_is_told_again_without_the_store() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", AB)
    net.inject("h1", bridge("web"), 2)
    net.send("a", udp(A, B, "10.0.0.1", "10.0.0.3"), udp(B, A, "10.0.0.1", "10.0.0.4"))
    net.forget()
    net.advance(6)
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    assert not [o for o in net.hosts["h1"].store.outputs if isinstance(o, UnwatchObject)]
