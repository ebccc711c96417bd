"""FlowDump: a dump of the datapath's flows while it comes in. Pure."""

import struct

from msgspec import Struct, field

from actors.datapath.odp.constants import UFID_LENGTH
from actors.datapath.odp.replies import FlowInfo
from actors.messages.flows import FlowStatistics
from actors.values import Nanoseconds

_NUMBER = struct.Struct("=Q").unpack_from
MOST_DUMPED = 1_000_000
"""Flows of one dump that are kept."""


class FlowDump(Struct, tag="flows"):
    """What came so far; `foreign` are the UFIDs of flows that this agent did not make."""

    sequence: int
    deadline: Nanoseconds
    asked_at: Nanoseconds
    flows: list[FlowStatistics] = field(default_factory=list)
    foreign: list[bytes] = field(default_factory=list)

    def take(self, info: FlowInfo, epoch: int) -> bool:
        """Take in a flow, ours if its UFID begins with `epoch`; return False if it is one too many."""
        if len(self.flows) + len(self.foreign) >= MOST_DUMPED:
            return False
        ufid = info.ufid
        if ufid is None:
            return True
        if len(ufid) == UFID_LENGTH and int.from_bytes(ufid[:8]) == epoch:
            number = _NUMBER(ufid, 8)[0]
            self.flows.append(FlowStatistics(number, info.packets, info.bytes, info.used))
        else:
            self.foreign.append(ufid)
        return True
