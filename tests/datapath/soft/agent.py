"""A small agent for tests: it speaks to a soft datapath through SoftChannel, one step at a time."""

from types import TracebackType
from typing import Self

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Action, Output, encode_actions
from actors.datapath.odp.attributes import attribute, u32
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.replies import (
    DatapathInfo,
    DatapathStats,
    FlowInfo,
    VportInfo,
)
from actors.datapath.odp.requests import (
    ExecutePacket,
    GetDatapath,
    GetFlow,
    GetVport,
    NewDatapath,
    NewFlow,
    NewVport,
)
from actors.datapath.odp.upcalls import Upcall
from actors.datapath.soft_channel import SoftChannel, spawn_soft_datapath
from actors.packets.extract import flow_key_of
from tests.datapath.conformance.dialogue import Dialogue
from tests.datapath.soft.namespaces import Namespace


class Agent(Dialogue):
    """One datapath, its ports and flows, in the network namespace of `host`."""

    channel: SoftChannel

    def __init__(self, host: Namespace) -> None:
        super().__init__(host.run(spawn_soft_datapath))
        self.dp_ifindex = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def make_datapath(self, name: str = "dp0") -> DatapathInfo:
        """Make the datapath that the other methods mean."""
        info = self.datapath(NewDatapath(name, self.upcall_pid))
        self.dp_ifindex = info.dp_ifindex
        return info

    def add_port(
        self,
        name: str,
        kind: int = odp.OVS_VPORT_TYPE_NETDEV,
        *,
        pid: int | None = None,
        dst_port: int | None = None,
    ) -> int:
        """Add a port and return its number."""
        pids = (self.upcall_pid if pid is None else pid,)
        return self.vport(NewVport(self.dp_ifindex, kind, name, pids, None, dst_port)).port_no

    def port(self, number: int) -> VportInfo:
        """A port as it describes itself."""
        return self.vport(GetVport(self.dp_ifindex, number))

    def stats(self) -> DatapathStats:
        """What the datapath has counted."""
        return self.datapath(GetDatapath(self.dp_ifindex)).stats

    def flows(self) -> list[FlowInfo]:
        """All flows."""
        found = []
        for info in self.ask(GetFlow(self.dp_ifindex), odp.NLM_F_DUMP):
            assert isinstance(info, FlowInfo)
            found.append(info)
        return found

    def add_flow(
        self, raw_key: bytes, *actions: Action, seen: int | None = 0, ufid: bytes | None = None
    ) -> None:
        """Make a flow for what was `seen` of the key (None: no mask), and wait for it."""
        mask = None if seen is None else mask_for(raw_key, seen)
        request = NewFlow(self.dp_ifindex, raw_key, encode_actions(actions), mask, ufid)
        self.ask(request, odp.NLM_F_CREATE)

    def execute(self, upcall: Upcall, *actions: Action) -> None:
        """Send the packet of an upcall on its way."""
        request = ExecutePacket(
            self.dp_ifindex, upcall.raw_key, encode_actions(actions), upcall.frame
        )
        self.ask(request)

    def wire(self, first: int, second: int) -> None:
        """Let everything without a VLAN tag flow between two ports."""
        self.steer(first, Output(second))
        self.steer(second, Output(first))

    def steer(self, in_port: int, *actions: Action) -> None:
        """Do this with everything without a VLAN tag that comes in by a port."""
        key = u32(odp.OVS_KEY_ATTR_IN_PORT, in_port)
        key += attribute(odp.OVS_KEY_ATTR_ETHERNET, bytes(12))
        mask = u32(odp.OVS_KEY_ATTR_IN_PORT, 0xFFFFFFFF)
        self.ask(NewFlow(self.dp_ifindex, key, encode_actions(actions), mask), odp.NLM_F_CREATE)

    def steer_like(self, in_port: int, frame: bytes, *actions: Action) -> None:
        """Do this with what comes in by a port and has the tags and ethertype of `frame`."""
        self.add_flow(encode_key(flow_key_of(frame, in_port)), *actions)
