"""All that the flow controller knows, and the form in which a snapshot keeps it."""

import msgspec

from actors.datapath.flow_counters import FlowCounters
from actors.datapath.flow_table import Flow
from actors.datapath.invalidations import RecentInvalidations
from actors.datapath.outgoing import Outgoing
from actors.datapath.packed_flows import PackedFlows, pack_flows, unpack_flows
from actors.datapath.reachability import Reachability
from actors.datapath.recent_requests import RecentRequests
from actors.messages.operator import Inspect
from actors.values import ActorName, Tag


class FlowControllerState(msgspec.Struct):
    """All that the flow controller knows."""

    flows: dict[int, Flow] = msgspec.field(default_factory=dict)
    next_flow: int = 1
    watched: dict[Tag, ActorName] = msgspec.field(default_factory=dict)
    requests: RecentRequests = msgspec.field(default_factory=RecentRequests)
    recent: RecentInvalidations = msgspec.field(default_factory=RecentInvalidations)
    where: Reachability = msgspec.field(default_factory=Reachability)
    connected: bool = False
    timer: bool = False
    counters: FlowCounters = msgspec.field(default_factory=FlowCounters)
    refusals: dict[int, int] = msgspec.field(default_factory=dict)
    """errno -> how often."""
    outgoing: Outgoing = msgspec.field(default_factory=Outgoing)
    """Empty between turns, and so in every snapshot."""
    inspecting: list[Inspect] = msgspec.field(default_factory=list)


class FlowControllerSnapshot(msgspec.Struct):
    """The state as a snapshot keeps it."""

    rest: FlowControllerState
    flows: PackedFlows


def pack_state(state: FlowControllerState) -> FlowControllerSnapshot:
    """Return the state with the flows packed."""
    rest = msgspec.structs.replace(state, flows={})
    return FlowControllerSnapshot(rest, pack_flows(state.flows))


def unpack_state(data: bytes) -> FlowControllerState:
    """Return the state of a snapshot in msgpack. Raises msgspec.DecodeError."""
    snapshot = msgspec.msgpack.decode(data, type=FlowControllerSnapshot)
    try:
        flows = unpack_flows(snapshot.flows)
    except IndexError as error:
        raise msgspec.DecodeError("a flow names tags or actions that are not there") from error
    return msgspec.structs.replace(snapshot.rest, flows=flows)
