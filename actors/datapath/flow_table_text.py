"""What operators are shown of the flow controller's book, as JSON."""

import msgspec

from actors.datapath.flow_controller_state import FlowControllerState
from actors.datapath.flow_text import count_kinds, describe_flow
from actors.messages.flows import FlowStatistics
from actors.values import Nanoseconds


def describe_flows(
    state: FlowControllerState, statistics: dict[int, FlowStatistics], at: Nanoseconds
) -> bytes:
    """Return all flows, with the datapath's statistics of those that it told of."""
    names = {port.number: port.name for port in state.where.local.values()}
    return msgspec.json.encode(
        [
            describe_flow(flow, statistics.get(flow.number), names, at)
            for flow in state.flows.values()
        ]
    )


def describe_counts(state: FlowControllerState, tags: int) -> bytes:
    """Return how many there are of what, and what became of others; `tags` are those in use."""
    return msgspec.json.encode(
        {
            "flows": len(state.flows),
            "by_kind": count_kinds(state.flows.values()),
            "tags": tags,
            "refusals_by_errno": {str(k): v for k, v in state.refusals.items()},
            **msgspec.structs.asdict(state.counters),
        }
    )
