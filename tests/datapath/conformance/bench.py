"""Bench: a datapath with ports, and a far end for each, to put frames in and see what comes of them.

Nothing waits for time to pass: behind the frames that a test puts in goes a marker, which leaves
by every port and to user space. What has not come before the marker does not come.
"""

import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Action, Output, Userspace, encode_actions
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.replies import DatapathInfo, Described, FlowInfo, VportInfo
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteFlow,
    ExecutePacket,
    GetDatapath,
    GetFlow,
    GetVport,
    NewDatapath,
    NewFlow,
    NewVport,
)
from actors.datapath.odp.upcalls import Upcall
from tests.datapath.conformance.dialogue import Dialogue
from tests.datapath.conformance.frames import ethernet
from tests.datapath.conformance.wire import Wire
from tests.datapath.soft.namespaces import Namespace

OpenChannel = Callable[[], DatapathChannel]

_MARKER_MAC = b"\xfe" + b"\xaa" * 5
"""No test's flow may match this: its address has the bit 0x80 that other frames lack."""
_MARKER_TYPE = 0x88B5
_MARKER = b"the marker"


class Outcome(Struct, frozen=True):
    """What came of some frames."""

    frames: tuple[list[bytes], ...]
    """By the place of the port."""
    upcalls: list[Upcall]

    def only(self, place: int) -> list[bytes]:
        """The frames of one port, none having come elsewhere."""
        assert not self.upcalls
        assert not any(frames for at, frames in enumerate(self.frames) if at != place)
        return self.frames[place]

    def upcall(self) -> Upcall:
        """The one upcall, nothing else having come."""
        assert not any(self.frames)
        (upcall,) = self.upcalls
        return upcall


class Bench:
    """A datapath called `dp0` in a namespace of its own, with `ports` veth ports numbered 1, 2, …"""

    def __init__(self, open_channel: OpenChannel, ports: int = 3) -> None:
        with ExitStack() as stack:
            self.host = stack.enter_context(Namespace())
            self.host.run(_silence)
            self.dialogue = self.host.run(lambda: Dialogue(open_channel()))
            stack.callback(self.dialogue.close)
            self.pid = self.dialogue.upcall_pid
            self.dp = self.dialogue.datapath(NewDatapath("dp0", self.pid)).dp_ifindex
            stack.callback(lambda: self.dialogue.ask(DeleteDatapath(name="dp0")))
            self.wires: list[Wire] = []
            self._markers = 0
            self.ports = [self._add_port(f"port{place}", stack) for place in range(ports)]
            self.reset()
            self._stack = stack.pop_all()

    def _add_port(self, name: str, stack: ExitStack) -> int:
        self.host.veth(name, self.host, f"{name}-far", mtu=1500)
        wire = Wire(self.host, f"{name}-far")
        stack.callback(wire.close)
        self.wires.append(wire)
        return self.add_vport(name)

    def close(self) -> None:
        """Take everything down."""
        self._stack.close()

    def reset(self) -> None:
        """Take all flows away but the marker's, forget what has come."""
        self.dialogue.ask(DeleteFlow(self.dp))
        key = attribute(odp.OVS_KEY_ATTR_ETHERNET, bytes(6) + _MARKER_MAC)
        key += attribute(odp.OVS_KEY_ATTR_ETHERTYPE, struct.pack("!H", _MARKER_TYPE))
        mask = attribute(odp.OVS_KEY_ATTR_ETHERNET, bytes(6) + b"\xff" * 6)
        mask += attribute(odp.OVS_KEY_ATTR_ETHERTYPE, b"\xff\xff")
        outputs = [Output(port) for port in self.ports]
        actions = encode_actions((*outputs, Userspace(self.pid, _MARKER)))
        self.dialogue.ask(NewFlow(self.dp, key, actions, mask), odp.NLM_F_CREATE)
        for wire in self.wires:
            wire.drain()
        self.dialogue.drain()

    def add_vport(
        self, name: str, kind: int = odp.OVS_VPORT_TYPE_NETDEV, *, dst_port: int | None = None
    ) -> int:
        """Make a port of a link, or a tunnel; return its number."""
        request = NewVport(self.dp, kind, name, (self.pid,), None, dst_port)
        return self.dialogue.vport(request).port_no

    def vport(self, number: int) -> VportInfo:
        """A port as it describes itself."""
        return self.dialogue.vport(GetVport(self.dp, number))

    def info(self) -> DatapathInfo:
        """The datapath as it describes itself."""
        return self.dialogue.datapath(GetDatapath(self.dp))

    def inject(self, place: int, *frames: bytes) -> Outcome:
        """Put frames in at a port's far end; return all that comes of them."""
        for frame in frames:
            self.wires[place].send(frame)
        return self.outcome(place)

    def outcome(self, place: int) -> Outcome:
        """What came of all that was put in at a port before."""
        self._markers += 1
        marker = ethernet(_MARKER_TYPE, struct.pack("!Q", self._markers) + bytes(40), _MARKER_MAC)
        self.wires[place].send(marker)
        received: list[list[bytes]] = []
        for wire in self.wires:
            frames: list[bytes] = []
            while (frame := wire.receive()) != marker:
                frames.append(frame)
            received.append(frames)
        upcalls: list[Upcall] = []
        while (upcall := self.dialogue.next_upcall()).userdata != _MARKER:
            upcalls.append(upcall)
        assert upcall.frame == marker
        return Outcome(tuple(received), upcalls)

    def key_of(self, frame: bytes, place: int = 0) -> bytes:
        """The key that the datapath itself gives a frame that no flow matches."""
        return self.inject(place, frame).upcall().raw_key

    def add_flow(
        self,
        raw_key: bytes,
        *actions: Action,
        mask: bytes | None = None,
        ufid: bytes | None = None,
        flags: int = odp.NLM_F_CREATE,
    ) -> None:
        """Make a flow, RefusedError if it is refused."""
        request = NewFlow(self.dp, raw_key, encode_actions(actions), mask, ufid)
        self.dialogue.ask(request, flags)

    def execute(self, raw_key: bytes, frame: bytes, *actions: Action) -> None:
        """Send a packet on its way."""
        request = ExecutePacket(self.dp, raw_key, encode_actions(actions), frame)
        self.dialogue.ask(request)

    def flows(self, ufid_flags: int = 0) -> list[FlowInfo]:
        """All flows but the marker's."""
        found = _flows(self.dialogue.ask(GetFlow(self.dp, ufid_flags=ufid_flags), odp.NLM_F_DUMP))
        return [flow for flow in found if flow.raw_key is None or _MARKER_MAC not in flow.raw_key]

    def delete(self, ufid: bytes | None = None, raw_key: bytes | None = None) -> FlowInfo:
        """Delete a flow; its last description."""
        request = DeleteFlow(self.dp, ufid, raw_key)
        (flow,) = _flows(self.dialogue.ask(request, odp.NLM_F_ECHO))
        return flow


def _flows(described: Sequence[Described]) -> list[FlowInfo]:
    found = []
    for info in described:
        assert isinstance(info, FlowInfo)
        found.append(info)
    return found


def _silence() -> None:
    """Keep the namespace's links from speaking by themselves (router solicitations, MLD)."""
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
