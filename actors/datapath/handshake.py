"""Handshake: what an agent says to a datapath before anything else, waiting for each answer.

Resolves the generic netlink families by name, and creates the datapath, or takes over the one
that an earlier agent left: its ports and flows work on meanwhile. Agrees on features.
"""

import os
from typing import Final

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp import constants as c
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import DatapathInfo, FamilyInfo, NetlinkRefused, Reply
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import (
    DeleteDatapath,
    Encodable,
    GetFamily,
    NewDatapath,
    SetDatapath,
    encode_request,
)
from actors.messages.netlink import DatapathConnected
from actors.values import Nanoseconds

DATAPATH_NAME: Final = "ayatori"
EEXIST: Final = 17
NOBODY: Final = 0
_GONE: Final = frozenset({2, 19})
_NOT_OFFERED: Final = frozenset({22, 95})
"""EINVAL and EOPNOTSUPP: how kernels refuse a feature that they do not know."""
_MOST_REPLIES: Final = 1_000
"""Replies to somebody else's requests that are passed over while waiting for ours."""


class DatapathUnavailableError(Exception):
    """The datapath cannot be set up; the message says what it refused."""


def shake_hands(
    channel: DatapathChannel, at: Nanoseconds, *, upcalls_by_cpu: bool = False
) -> DatapathConnected:
    """Set the datapath up; return what the lane has to know of it.

    `upcalls_by_cpu` asks for one upcall socket for each CPU instead of one for each port, and gets
    it where the kernel offers that (Linux 5.15). Raises DatapathUnavailableError.
    """
    dialogue = _Dialogue(channel)
    families = tuple(dialogue.family(name) for name in c.OVS_FAMILIES)
    datapath, vport, flow, packet = (family.id for family in families)
    dialogue.families = Families(datapath=datapath, vport=vport, flow=flow, packet=packet)
    for family in families[:2]:  # of datapaths and vports: what becomes of them unasked
        for name, group in family.groups:
            if name == family.name:
                channel.listen(group)
    index, inherited = dialogue.datapath()
    upcall_pid = channel.upcall_pid
    if upcalls_by_cpu and not upcall_pid:
        upcall_pid = dialogue.dispatch_by_cpu()
    return DatapathConnected(
        at, datapath, vport, flow, packet, index, channel.reply_pid, upcall_pid, inherited
    )


def has_openvswitch(channel: DatapathChannel) -> bool:
    """Tell whether the far end knows the protocol. Raises DatapathUnavailableError."""
    return _Dialogue(channel).knows(c.OVS_DATAPATH_FAMILY)


def deletion(connected: DatapathConnected) -> bytes:
    """Return the request that deletes the datapath with its ports and flows."""
    families = Families(datapath=connected.datapath_family)
    return encode_request(DeleteDatapath(name=DATAPATH_NAME), families=families, seq=0, pid=0)


class _Dialogue:
    """Requests one after the other. Their numbers lie above those that the broker gives out."""

    def __init__(self, channel: DatapathChannel) -> None:
        self._channel = channel
        self._sequence = 0x3FFF0000
        self.families = Families(0, 0, 0, 0)

    def family(self, name: str) -> FamilyInfo:
        """Return a generic netlink family and its groups."""
        reply = self._ask(GetFamily(name))
        if not isinstance(reply, FamilyInfo):
            raise DatapathUnavailableError(
                f"this kernel has no {name}: its openvswitch module is missing"
            )
        return reply

    def knows(self, name: str) -> bool:
        """Tell whether there is such a family."""
        return isinstance(self._ask(GetFamily(name)), FamilyInfo)

    def datapath(self) -> tuple[int, bool]:
        """Create the datapath; return its ifindex, and whether it was there already."""
        body = NewDatapath(DATAPATH_NAME, NOBODY, c.OVS_DP_F_UNALIGNED)
        reply = self._ask(body, c.NLM_F_ECHO)
        inherited = isinstance(reply, NetlinkRefused) and reply.errno == EEXIST
        if inherited:
            body_again = SetDatapath(DATAPATH_NAME, c.OVS_DP_F_UNALIGNED)
            reply = self._ask(body_again, c.NLM_F_ECHO)
            if isinstance(reply, NetlinkRefused) and reply.errno in _GONE:
                raise DatapathUnavailableError(
                    f"no datapath: another kind of interface is called {DATAPATH_NAME}"
                )
        if isinstance(reply, NetlinkRefused):
            raise DatapathUnavailableError(f"no datapath: {os.strerror(reply.errno)}")
        if not isinstance(reply, DatapathInfo):
            raise DatapathUnavailableError(f"no datapath: {reply}")
        return reply.dp_ifindex, inherited

    def dispatch_by_cpu(self) -> int:
        """Have upcalls sent by CPU; return a port id for vports to name, 0 if it is not offered."""
        pids = tuple(self._channel.open_upcalls() for _ in range(os.cpu_count() or 1))
        features = c.OVS_DP_F_UNALIGNED | c.OVS_DP_F_DISPATCH_UPCALL_PER_CPU
        reply = self._ask(SetDatapath(DATAPATH_NAME, features, pids), c.NLM_F_ECHO)
        if isinstance(reply, NetlinkRefused):
            for pid in pids:
                self._channel.close_upcalls(pid)
            if reply.errno in _NOT_OFFERED:
                return 0
            raise DatapathUnavailableError(f"no upcalls by CPU: {os.strerror(reply.errno)}")
        return pids[0]

    def _ask(self, body: Encodable, flags: int = 0) -> Reply:
        self._sequence += 1
        message = encode_request(
            body, families=self.families, seq=self._sequence, pid=0, flags=flags
        )
        error = self._channel.send(message)
        if error:
            raise DatapathUnavailableError(f"the datapath takes no requests: {os.strerror(error)}")
        for _ in range(_MOST_REPLIES):
            datagram = self._channel.receive_reply()
            if not datagram:
                raise DatapathUnavailableError("the datapath ended")
            try:
                replies = decode_replies(datagram, self.families, self._channel.reply_pid)
            except OdpError as malformed:
                raise DatapathUnavailableError(f"the datapath answers {malformed}") from malformed
            for reply in replies:
                if reply.seq == self._sequence:
                    return reply
        raise DatapathUnavailableError("the datapath does not answer")
