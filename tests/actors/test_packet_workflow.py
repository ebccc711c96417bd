"""The packet workflow: any packet at all, duplicates of packets that wait, and tunnel keys."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.datapath.odp.key import encode_key
from actors.messages.packet_in import PacketIn
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import TunnelKey
from actors.tunnel_key import FLOW_STATE_KEY, TRACE_BIT, egress_port_key
from actors.values import ActorName, IpAddress, parse_ip
from tests.actors.story import tell
from tests.network import Network
from tests.packets.frames import broken_frames, frames, tunnels
from tests.wire import ether, is_at, udp

TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, c: {host: h2, interface: c}, gw: {peer: edge/web}}}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      b: {host: h1, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
    routes: [{to: 0.0.0.0/0, via: 10.0.2.11}]
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
RA, RB = "02:00:00:00:ff:01", "02:00:00:00:ff:02"
WORKFLOW = ActorName("packet-workflow")


def test_keys_that_cannot_be_read_are_counted() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    for garbage in (b"", b"\x04", b"\xff" * 40, b"\x06\0\x04\0\1\1\0\0"):
        host.give(WORKFLOW, PacketIn(net.now, garbage, b""))
    net.settle()
    assert sum(host.drops("packet-workflow").values()) == 4


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(frames(), broken_frames()).filter(lambda f: len(f) >= 14),
    st.one_of(st.none(), tunnels()),
    st.sampled_from([None, RA, RB, "ff:ff:ff:ff:ff:ff"]),
    st.sampled_from(["a", "b"]),
    st.booleans(),
)
def test_any_frame_is_survived(
    frame: bytes, tunnel: TunnelKey | None, to: str | None, link: str, cut: bool
) -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    if to is not None:
        frame = bytes.fromhex(to.replace(":", "")) + b"\x02" + frame[7:]
    port = host.datapath.port(link if tunnel is None else "ayatori-vxlan")
    assert port is not None
    raw_key = encode_key(flow_key_of(frame, port.number, tunnel))
    if cut:
        raw_key = raw_key[: len(frame) % len(raw_key)]
    for _ in range(2):
        host.give(WORKFLOW, PacketIn(net.now, raw_key, frame))
    net.settle()
    net.advance(4)
    good = udp(A, RA, "10.0.1.11", "10.0.1.99")
    net.send("a", good)
    assert not net.crashes


def test_duplicates_of_a_packet_that_waits_are_held_and_follow_it() -> None:
    net = Network.from_yaml(TOPOLOGY)
    frame = udp(A, RA, "10.0.1.11", "10.0.2.11")
    net.send("a", *[frame] * 5)
    assert net.hosts["h1"].actor("packet-workflow").state.held_frames == 4
    net.forget()
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    assert len(net.delivered("b")) == 5


def test_held_duplicates_are_bounded_and_let_go_when_nothing_is_heard() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    host.hold_store()
    net.send("a", *[udp(A, C, "10.0.1.11", "10.0.1.13")] * 40)
    assert host.drops("packet-workflow") == {"too many duplicates held": 7}
    net.advance(11)
    state = host.actor("packet-workflow").state
    assert state.held == {}
    assert state.held_frames == 0


def tunnelled(net: Network, key: int, src: str, frame: bytes) -> None:
    outer = TunnelKey(key, IpAddress(parse_ip(src)), parse_ip("198.18.0.1"))
    net.tunnel(frame, outer)
    net.settle()


def test_only_hosts_of_a_shared_zone_and_known_keys_are_believed() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    (key,) = (k for k, p in host.actor("packet-workflow").state.keys.items() if p.name == "web/a")
    frame = ether(C, A)
    tunnelled(net, egress_port_key(key), "198.18.0.66", frame)
    tunnelled(net, egress_port_key(key ^ 1), "198.18.0.2", frame)
    tunnelled(net, 5 << 20 | key, "198.18.0.2", frame)
    assert net.delivered("a") == []
    assert host.drops("packet-workflow") == {
        "unknown tunnel peer": 1,
        "unknown tunnel key": 1,
        "tunnel key of no port here": 1,
    }
    tunnelled(net, egress_port_key(key), "198.18.0.2", frame)
    tunnelled(net, egress_port_key(key) | TRACE_BIT, "198.18.0.2", frame)
    assert net.delivered("a") == [frame, frame]


def test_flow_state_of_any_bytes_is_counted() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    for payload in (b"", b"\xc1", b"\x93\x01\xa1\xff\x90", b"\x91" * 3000):
        frame = udp(C, A, "169.254.15.1", "169.254.15.2", dport=2925, payload=payload)
        tunnelled(net, FLOW_STATE_KEY, "198.18.0.2", frame)
    assert host.actor("flow-state-replicator").state.malformed == 4


def test_same_inputs_give_the_same_bytes_again() -> None:
    assert tell() == tell()


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_same_inputs_give_the_same_bytes_in_another_process(seed: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.actors.story"],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == tell()
