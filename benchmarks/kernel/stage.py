"""Stage: a datapath with two veths for the benchmarks, in the network namespace that they run in.

Port 1 is where frames come in (their sender holds the far end), port 2 where they go out.
"""

import errno
import socket
import struct

from actors.datapath.kernel_channel import KernelChannel
from actors.datapath.odp import constants as c
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import (
    Acknowledged,
    DatapathInfo,
    Done,
    FamilyInfo,
    FlowInfo,
    NetlinkRefused,
    Reply,
    VportInfo,
)
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteFlow,
    Encodable,
    GetFamily,
    GetFlow,
    NewDatapath,
    NewVport,
    SetVport,
    encode_request,
)
from actors.datapath.odp.upcalls import Upcall, decode_upcall
from actors.messages.netlink import DatapathConnected
from actors.values import Nanoseconds
from benchmarks.kernel.requests import frame
from benchmarks.kernel.wires import ENTRY, EXIT, RECEIVER, SENDER, Wires

NAME = "bench"
_BARRIER = struct.Struct("=IHHII")
_REQUESTS = 0x3FFF0000
"""Above the numbers of the requests that are measured."""


class Stage:
    """See the module. Raises OSError where the kernel lacks the module or refuses."""

    def __init__(self) -> None:
        self._sequence = _REQUESTS
        self.families = Families()
        self.channel = KernelChannel()
        self._wires = Wires()
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        ids = [self._family(name) for name in c.OVS_FAMILIES]
        self.families = Families(*ids)
        self.ask(DeleteDatapath(name=NAME), c.NLM_F_ACK)
        features = c.OVS_DP_F_UNALIGNED | c.OVS_DP_F_VPORT_PIDS
        made = self.ask(NewDatapath(NAME, 0, features), c.NLM_F_ECHO)
        if not isinstance(made, DatapathInfo):
            raise OSError(errno.EIO, f"no datapath: {made}")
        self.dp_ifindex = made.dp_ifindex
        self.pid = self.channel.open_upcalls()
        for number, link in ((1, ENTRY), (2, EXIT)):
            port = NewVport(
                self.dp_ifindex, c.OVS_VPORT_TYPE_NETDEV, link, (self.pid,), port_no=number
            )
            added = self.ask(port, c.NLM_F_ECHO)
            if not isinstance(added, VportInfo):
                raise OSError(errno.EIO, f"no port {link}: {added}")

        self.flush()
        self.upcall_key = self._one_upcall().raw_key

    def _one_upcall(self) -> Upcall:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind((SENDER, 0))
            wire.send(frame(0))
            return decode_upcall(self.channel.receive_upcalls()[0])

    def connected(self, at: Nanoseconds) -> DatapathConnected:
        """Return what tells the netlink broker of this datapath."""
        ids = self.families
        return DatapathConnected(
            at, ids.datapath, ids.vport, ids.flow, ids.packet,
            self.dp_ifindex, self.channel.reply_pid, self.pid,
        )  # fmt: skip

    def listen_again(self) -> None:
        """Have the upcalls of port 1 sent to this process (C takes them for itself)."""
        port = SetVport(self.dp_ifindex, port_no=1, upcall_pids=(self.pid,))
        answer = self.ask(port, c.NLM_F_ACK)
        if not isinstance(answer, Acknowledged):
            raise OSError(errno.EIO, f"no upcalls: {answer}")

    def _family(self, name: str) -> int:
        reply = self.ask(GetFamily(name))
        if not isinstance(reply, FamilyInfo):
            raise OSError(errno.EPROTONOSUPPORT, f"this kernel has no {name}")
        return reply.id

    def ask(self, body: Encodable, flags: int = 0) -> Reply:
        """Send a request and return its answer."""
        return self._exchange(body, flags)[0]

    def _exchange(self, body: Encodable, flags: int) -> list[Reply]:
        self._sequence += 1
        sequence = self._sequence
        error = self.channel.send(
            encode_request(body, families=self.families, seq=sequence, pid=0, flags=flags)
        )
        if error:
            raise OSError(error, "the datapath takes no requests")
        answers: list[Reply] = []
        while True:
            replies = decode_replies(self.channel.receive_reply(), self.families)
            answers += (reply for reply in replies if reply.seq == sequence)
            last = answers[-1] if answers else None
            dump = flags & c.NLM_F_DUMP == c.NLM_F_DUMP
            if last is not None and (not dump or isinstance(last, Done | NetlinkRefused)):
                return answers

    def barrier(self) -> int:
        """Wait until all that was sent is done; return how many requests were refused."""
        self._sequence += 1
        sequence = self._sequence
        self.channel.send(
            _BARRIER.pack(16, c.NLMSG_NOOP, c.NLM_F_REQUEST | c.NLM_F_ACK, sequence, 0)
        )
        refused = 0
        while True:
            for reply in decode_replies(self.channel.receive_reply(), self.families):
                if reply.seq == sequence:
                    return refused
                refused += isinstance(reply, NetlinkRefused)

    def flows(self) -> list[FlowInfo]:
        """Dump the datapath's flows."""
        answers = self._exchange(GetFlow(self.dp_ifindex), c.NLM_F_DUMP)
        return [flow for flow in answers if isinstance(flow, FlowInfo)]

    def flush(self) -> None:
        """Delete all flows."""
        answer = self.ask(DeleteFlow(self.dp_ifindex), c.NLM_F_ACK)
        if not isinstance(answer, Acknowledged):
            raise OSError(errno.EIO, f"the flows stay: {answer}")

    def delivered(self) -> int:
        """Return how many packets came out of port 2 so far."""
        path = f"/sys/class/net/{RECEIVER}/statistics/rx_packets"
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            return int(file.read())

    def close(self) -> None:
        """Remove the datapath and the veths."""
        if self.families.datapath:
            self.ask(DeleteDatapath(name=NAME), c.NLM_F_ACK)
        self._wires.close()
        self.channel.release()
