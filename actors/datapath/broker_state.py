"""BrokerState: all that the netlink broker and its parts know of a datapath."""

import msgspec

from actors.datapath.datapath_counters import AskedCounters
from actors.datapath.dumps import DumpState
from actors.datapath.inherited_flows import Inherited
from actors.datapath.odp.messages import Families
from actors.datapath.port_requests import PendingRequest


class BrokerState(msgspec.Struct):
    """All that the netlink broker knows."""

    connected: bool = False
    families: Families = msgspec.field(default_factory=lambda: Families(0, 0, 0, 0))
    datapath: int = 0
    reply_pid: int = 0
    upcall_pid: int = 0
    """Where all upcalls go; 0: each vport's to a port id of its own."""
    epoch: int = 0
    next_request: int = 1
    next_execute: int = 1
    next_flow: int = 1
    """One above the highest flow number seen."""
    pending: dict[int, PendingRequest] = msgspec.field(default_factory=dict)
    opening: dict[str, PendingRequest] = msgspec.field(default_factory=dict)
    """Vports to be made once there is a port id for their upcalls, by link."""
    upcall_pids: dict[str, int] = msgspec.field(default_factory=dict)
    dumps: DumpState = msgspec.field(default_factory=DumpState)
    inherited: Inherited | None = None
    asked: AskedCounters | None = None
    counters: dict[str, int] = msgspec.field(default_factory=dict)
