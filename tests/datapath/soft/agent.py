"""A small agent for tests: it speaks to a soft datapath through SoftChannel, one step at a time."""

import queue
import threading
from types import TracebackType
from typing import Self

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Action, Output, encode_actions
from actors.datapath.odp.attributes import attribute, u32
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import (
    Acknowledged,
    DatapathInfo,
    Done,
    FamilyInfo,
    FlowInfo,
    NetlinkRefused,
    Notification,
    Reply,
    VportInfo,
)
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import (
    Encodable,
    ExecutePacket,
    GetDatapath,
    GetFamily,
    GetFlow,
    GetVport,
    NewDatapath,
    NewFlow,
    NewVport,
    encode_request,
)
from actors.datapath.odp.upcalls import Upcall, decode_upcall
from actors.datapath.soft_channel import SoftChannel, spawn_soft_datapath
from actors.packets.extract import flow_key_of
from tests.datapath.soft.namespaces import Namespace

TIMEOUT = 30.0


class RefusedError(Exception):
    """The datapath answered with an errno."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Agent:
    """One datapath, its ports and flows, in the network namespace of `host`."""

    def __init__(self, host: Namespace) -> None:
        self.channel: SoftChannel = host.run(spawn_soft_datapath)
        self._seq = 0
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self.upcalls: queue.SimpleQueue[Upcall] = queue.SimpleQueue()
        self.families = Families()
        self._threads = [
            threading.Thread(target=self._read_replies),
            threading.Thread(target=self._read_upcalls),
        ]
        for thread in self._threads:
            thread.start()
        self.families = Families(
            *(self._family(f"ovs_{name}") for name in ("datapath", "vport", "flow", "packet"))
        )
        self.dp_ifindex = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.channel.close()
        for thread in self._threads:
            thread.join(TIMEOUT)
        self.channel.release()

    def _read_replies(self) -> None:
        while datagram := self.channel.receive_reply():
            for reply in decode_replies(datagram, self.families, self.channel.reply_pid):
                if not isinstance(reply, Notification):
                    self._replies.put(reply)

    def _read_upcalls(self) -> None:
        while datagrams := self.channel.receive_upcalls():
            for datagram in datagrams:
                self.upcalls.put(decode_upcall(datagram))

    def encode(self, body: Encodable, flags: int = 0) -> bytes:
        """A request under the next sequence number."""
        self._seq += 1
        return encode_request(
            body,
            families=self.families,
            seq=self._seq,
            pid=self.channel.upcall_pid,
            flags=flags,
        )

    def send(self, *messages: bytes) -> None:
        """Send messages in one datagram."""
        assert self.channel.send(b"".join(messages)) == 0

    def next_reply(self) -> Reply:
        """The next reply."""
        return self._replies.get(timeout=TIMEOUT)

    def ask(self, body: Encodable, flags: int = 0) -> list[Reply]:
        """Send a request with ACK (or a dump) and return what came before its end."""
        dump = flags & odp.NLM_F_DUMP == odp.NLM_F_DUMP
        self.send(self.encode(body, flags if dump else flags | odp.NLM_F_ACK))
        seq = self._seq
        replies: list[Reply] = []
        while True:
            reply = self.next_reply()
            assert reply.seq == seq, (reply, seq)
            if isinstance(reply, NetlinkRefused):
                raise RefusedError(reply.errno)
            if isinstance(reply, Acknowledged | Done):
                return replies
            replies.append(reply)

    def _family(self, name: str) -> int:
        (info,) = self.ask(GetFamily(name))
        assert isinstance(info, FamilyInfo)
        return info.id

    def make_datapath(self, name: str = "dp0") -> DatapathInfo:
        """Make the datapath that the other methods mean."""
        (info,) = self.ask(NewDatapath(name, self.channel.upcall_pid), odp.NLM_F_ECHO)
        assert isinstance(info, DatapathInfo)
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
        pids = (self.channel.upcall_pid if pid is None else pid,)
        (info,) = self.ask(
            NewVport(self.dp_ifindex, kind, name, pids, None, dst_port), odp.NLM_F_ECHO
        )
        assert isinstance(info, VportInfo)
        return info.port_no

    def port(self, number: int) -> VportInfo:
        """A port as it describes itself."""
        (info,) = self.ask(GetVport(self.dp_ifindex, number))
        assert isinstance(info, VportInfo)
        return info

    def datapath(self) -> DatapathInfo:
        """The datapath as it describes itself."""
        (info,) = self.ask(GetDatapath(self.dp_ifindex))
        assert isinstance(info, DatapathInfo)
        return info

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

    def next_upcall(self) -> Upcall:
        """The next upcall."""
        return self.upcalls.get(timeout=TIMEOUT)

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
