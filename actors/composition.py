"""Which actor stands behind which name: the same in an agent, in a test and in a replay."""

from collections.abc import Callable

from actors.clock import ClockActor
from actors.datapath.datapath_ports import DatapathPorts
from actors.datapath.flow_controller import FlowController
from actors.datapath.netlink_broker import NetlinkBroker
from actors.datapath.request_buffer import RequestBuffer
from actors.devices.bridge import BridgeActor
from actors.devices.router import RouterActor
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.operator_desk import OperatorDesk
from actors.packet_workflow import PacketWorkflow
from actors.state.flow_state_replicator import FlowStateReplicator
from actors.state.state_tables import StateTables
from actors.state.topology_watcher import TopologyWatcher
from actors.tracing.trace_book import TraceBook
from actors.values import ActorName

ALWAYS_THERE = tuple(
    ActorName(name)
    for name in (
        "clock",
        "operator",
        "topology-watcher",
        "state-tables",
        "netlink-broker",
        "flow-controller",
        "flow-state-replicator",
        "packet-workflow",
        "datapath-ports",
        "trace-book",
    )
)
"""Actors that every agent has from its start, in the order of their creation."""


def actor_factory(
    host: HostSettings, requests: RequestBuffer
) -> Callable[[Lane, ActorName], LaneActor | None]:
    """Return the function by which a lane makes the actor of a name, or None if there is none.

    A device's actor, `bridge/<id>` or `router/<id>`, is made when the first message for it comes.
    """

    def create(lane: Lane, name: ActorName) -> LaneActor | None:
        match name.partition("/"):
            case ("bridge", "/", _):
                return BridgeActor.start_on(lane, name, host=host)
            case ("router", "/", _):
                return RouterActor.start_on(lane, name, host=host)
            case ("packet-workflow", "", ""):
                return PacketWorkflow.start_on(lane, name, host=host)
            case ("flow-controller", "", ""):
                return FlowController.start_on(lane, name, host=host)
            case ("netlink-broker", "", ""):
                return NetlinkBroker.start_on(lane, name, requests=requests)
            case ("datapath-ports", "", ""):
                return DatapathPorts.start_on(lane, name, host=host)
            case ("state-tables", "", ""):
                return StateTables.start_on(lane, name, host=host)
            case ("topology-watcher", "", ""):
                return TopologyWatcher.start_on(lane, name)
            case ("flow-state-replicator", "", ""):
                return FlowStateReplicator.start_on(lane, name, host=host)
            case ("trace-book", "", ""):
                return TraceBook.start_on(lane, name)
            case ("clock", "", ""):
                return ClockActor.start_on(lane, name)
            case ("operator", "", ""):
                return OperatorDesk.start_on(lane, name, always_there=ALWAYS_THERE)
            case _:
                return None

    return create
