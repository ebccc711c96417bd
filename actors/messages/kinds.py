"""All stored kinds: what a journal's records may be, each named by its tag."""

from actors.messages.flow_state import FlowStateRestored
from actors.messages.netlink import (
    CloseUpcalls,
    DatapathConnected,
    DatapathGone,
    DatapathLost,
    NetlinkReplied,
    NetlinkRepliesLost,
    NetlinkSendFailed,
    OpenUpcalls,
    PortFailed,
    PortsSettled,
    UpcallsOpened,
)
from actors.messages.operator import (
    AgentStarted,
    FaultInjected,
    OperatorAnswered,
    OperatorAsked,
    StopComplete,
    StopRequested,
)
from actors.messages.packet_in import PacketIn
from actors.messages.tables import (
    PutEntry,
    RemoveEntry,
    SessionEnded,
    SessionOpened,
    SettleSession,
    TableChanged,
    UnwatchTable,
    WatchTable,
)
from actors.messages.time import ClockTicked
from actors.messages.topology import (
    LinksChanged,
    LinksChanged1,
    TopologyChanged,
    UnwatchObject,
    WatchKind,
    WatchObject,
)
from actors.messages.traces import TraceAsked, TracesAsked, TraceStopAsked

AnyInput = (
    AgentStarted
    | PacketIn
    | ClockTicked
    | TopologyChanged
    | TableChanged
    | LinksChanged
    | LinksChanged1
    | DatapathConnected
    | DatapathLost
    | NetlinkReplied
    | NetlinkRepliesLost
    | NetlinkSendFailed
    | UpcallsOpened
    | SessionOpened
    | SessionEnded
    | OperatorAsked
    | FaultInjected
    | StopRequested
    | FlowStateRestored
    | TraceAsked
    | TraceStopAsked
    | TracesAsked
)

AnyOutput = (
    WatchObject
    | UnwatchObject
    | WatchKind
    | WatchTable
    | UnwatchTable
    | PutEntry
    | RemoveEntry
    | SettleSession
    | OpenUpcalls
    | CloseUpcalls
    | DatapathGone
    | PortFailed
    | PortsSettled
    | OperatorAnswered
    | StopComplete
)
