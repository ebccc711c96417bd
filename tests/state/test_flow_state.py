"""Flow state between hosts: frames that fit, and a reader that survives anything."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messages.flow_state import FlowStateKey, ShareFlowState
from actors.state.flow_state_replicator import FlowStateReplicator
from actors.state.flow_state_wire import (
    VERSION,
    FlowStateError,
    FlowStateMessage,
    decode_frame,
    encode_frames,
)
from actors.values import ActorName, DeviceId, HostId, IpAddress, stable_id
from tests.network import Network
from tests.wire import udp

H = HostId(stable_id("host", "h1"))
addresses = st.binary(min_size=4, max_size=4).map(IpAddress)
keys = st.builds(
    FlowStateKey,
    kind=st.sampled_from(["conntrack", "nat"]),
    device=st.just(DeviceId(stable_id("router", "edge"))),
    proto=st.integers(0, 255),
    src=addresses,
    src_port=st.integers(0, 65535),
    dst=addresses,
    dst_port=st.integers(0, 65535),
    value=st.binary(max_size=40),
)
TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, c: {host: h2, interface: c}}}
"""


def key(number: int, value: bytes = b"") -> FlowStateKey:
    return FlowStateKey(
        "nat", DeviceId("d"), 6, IpAddress(bytes(4)), number, IpAddress(bytes(4)), 80, value
    )


@given(st.lists(keys, max_size=80), st.sampled_from([600, 1500, 9000]))
def test_keys_are_read_back_in_order_and_every_frame_fits_the_underlay(
    sent: list[FlowStateKey], mtu: int
) -> None:
    frames = encode_frames(H, tuple(sent), mtu)
    assert [each for frame in frames for each in decode_frame(frame)] == sent
    assert all(len(frame) + 50 <= mtu for frame in frames)


@given(st.lists(keys, min_size=1, max_size=3), st.integers(0, 400), st.integers(0, 255))
def test_damaged_frames_are_read_or_refused(sent: list[FlowStateKey], at: int, byte: int) -> None:
    (frame,) = encode_frames(H, tuple(sent), 9000)
    at %= len(frame)
    for bad in (frame[:at], frame[:at] + bytes([byte]) + frame[at + 1 :]):
        try:
            decode_frame(bad)
        except FlowStateError:
            continue


@given(st.binary(max_size=80))
def test_any_payload_is_read_or_refused(payload: bytes) -> None:
    frame = udp(
        "02:00:00:00:00:01", "02:00:00:00:00:02", "1.1.1.1", "2.2.2.2", dport=2925, payload=payload
    )
    try:
        decode_frame(frame)
    except FlowStateError:
        return


def test_unknown_version_is_refused() -> None:
    payload = msgspec.msgpack.encode(FlowStateMessage(VERSION + 1, H, ()))
    frame = udp(
        "02:00:00:00:00:01", "02:00:00:00:00:02", "1.1.1.1", "2.2.2.2", dport=2925, payload=payload
    )
    with pytest.raises(FlowStateError, match="version"):
        decode_frame(frame)


def replicator(net: Network, host: str) -> FlowStateReplicator:
    found = net.hosts[host].actor("flow-state-replicator")
    assert isinstance(found, FlowStateReplicator)
    return found


def share(net: Network, *shared: FlowStateKey) -> None:
    host = net.hosts["h1"]
    lane = host.lane
    message = ShareFlowState(shared, (HostId(stable_id("host", "h2")), HostId("nowhere")))
    lane.send(ActorName("flow-state-replicator"), message)
    net.advance(0.25)


def test_keys_arrive_at_the_hosts_that_they_are_for() -> None:
    net = Network.from_yaml(TOPOLOGY)
    share(net, key(1, b"one"), key(2, b"two"))
    assert replicator(net, "h2").find(key(1)) == b"one"
    assert replicator(net, "h2").find(key(3)) is None
    assert replicator(net, "h1").state.dropped == 1
    assert net.delivered("c") == []


def test_key_that_is_not_heard_of_for_a_minute_is_forgotten() -> None:
    net = Network.from_yaml(TOPOLOGY)
    share(net, key(1, b"one"))
    net.advance(40)
    share(net, key(2, b"two"))
    net.advance(30)
    assert replicator(net, "h2").find(key(1)) is None
    assert replicator(net, "h2").find(key(2)) == b"two"
    net.advance(40)
    assert replicator(net, "h2").state.keys == {}
