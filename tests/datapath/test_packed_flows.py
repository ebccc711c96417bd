"""The flow table in a snapshot: packed, and whole again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.flow_controller_state import FlowControllerState, pack_state, unpack_state
from actors.datapath.flow_table import Flow
from actors.datapath.packed_flows import pack_flows, unpack_flows
from actors.values import Nanoseconds, Tag

blobs = st.sampled_from([b"", b"mask", b"actions", b"other actions"])
flows = st.builds(
    Flow,
    number=st.integers(1, 1 << 40),
    lifetime=st.integers(0, 3),
    made_at=st.integers(0, 1 << 62).map(Nanoseconds),
    raw_key=st.binary(max_size=20),
    mask=blobs,
    actions=blobs,
    tags=st.lists(st.sampled_from("abc").map(Tag), max_size=3).map(tuple),
    reason=st.sampled_from(["", "no route"]),
)


@given(st.lists(flows, unique_by=lambda flow: flow.number))
def test_packed_flows_are_the_same_flows_in_the_same_order(listed: list[Flow]) -> None:
    table = {flow.number: flow for flow in listed}
    packed = msgspec.msgpack.encode(pack_state(FlowControllerState(flows=table, next_flow=7)))
    state = unpack_state(packed)
    assert list(state.flows.items()) == list(table.items())
    assert state.next_flow == 7


def test_what_flows_have_in_common_is_kept_once() -> None:
    tags = tuple(Tag(f"device:{n}") for n in range(10))
    one = Flow(1, 1, Nanoseconds(5), b"key", b"m" * 100, b"a" * 100, tags)
    table = {n: msgspec.structs.replace(one, number=n, raw_key=b"%d" % n) for n in range(1000)}
    assert len(msgspec.msgpack.encode(pack_flows(table))) < 30_000


def test_a_flow_that_names_what_is_not_there_is_refused() -> None:
    packed = pack_flows({1: Flow(1, 1, Nanoseconds(5), b"k", b"m", b"a", ())})
    with pytest.raises(IndexError):
        unpack_flows(msgspec.structs.replace(packed, blobs=[]))
    snapshot = pack_state(FlowControllerState())
    broken = msgspec.structs.replace(snapshot, flows=msgspec.structs.replace(packed, tags=[]))
    with pytest.raises(msgspec.DecodeError):
        unpack_state(msgspec.msgpack.encode(broken))
