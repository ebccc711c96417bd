"""Handshake: what an agent says to a datapath before anything else, waiting for each answer.

Resolves the generic netlink families by name, and creates the datapath, after deleting one that
an earlier agent left.
"""

from typing import Final

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp import constants as c
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import DatapathInfo, FamilyInfo, NetlinkRefused, decode_replies
from actors.datapath.odp.requests import (
    DeleteDatapath,
    Encodable,
    GetFamily,
    NewDatapath,
    encode_request,
)
from actors.messages.netlink import DatapathConnected
from actors.values import Nanoseconds

DATAPATH_NAME: Final = "ayatori"
_GONE: Final = frozenset({2, 19})
_MOST_REPLIES: Final = 1_000
"""Replies to somebody else's requests that are passed over while waiting for ours."""


class DatapathUnavailableError(Exception):
    """The datapath cannot be set up; the message says what it refused."""


def shake_hands(channel: DatapathChannel, at: Nanoseconds) -> DatapathConnected:
    """Set the datapath up; return what the lane has to know of it.

    Raises DatapathUnavailableError.
    """
    dialogue = _Dialogue(channel)
    names = ("ovs_datapath", "ovs_vport", "ovs_flow", "ovs_packet")
    ids = [dialogue.family(name) for name in names]
    dialogue.families = Families(datapath=ids[0], vport=ids[1], flow=ids[2], packet=ids[3])
    dialogue.delete_datapath()
    index = dialogue.new_datapath(channel.upcall_pid)
    return DatapathConnected(at, ids[0], ids[1], ids[2], ids[3], index, channel.upcall_pid)


class _Dialogue:
    """Requests one after the other. Their numbers lie above those that the broker gives out."""

    def __init__(self, channel: DatapathChannel) -> None:
        self._channel = channel
        self._sequence = 0x3FFF0000
        self.families = Families(0, 0, 0, 0)

    def family(self, name: str) -> int:
        """Return the id of a generic netlink family."""
        reply = self._ask(GetFamily(name))
        if not isinstance(reply, FamilyInfo):
            raise DatapathUnavailableError(f"this kernel has no {name}")
        return reply.id

    def delete_datapath(self) -> None:
        """Delete an earlier datapath of our name."""
        reply = self._ask(DeleteDatapath(name=DATAPATH_NAME), c.NLM_F_ACK)
        if isinstance(reply, NetlinkRefused) and reply.errno not in _GONE:
            raise DatapathUnavailableError(f"the old datapath stays: errno {reply.errno}")

    def new_datapath(self, upcall_pid: int) -> int:
        """Create the datapath; return its ifindex."""
        body = NewDatapath(DATAPATH_NAME, upcall_pid, c.OVS_DP_F_UNALIGNED)
        reply = self._ask(body, c.NLM_F_ECHO)
        if isinstance(reply, NetlinkRefused):
            raise DatapathUnavailableError(f"no datapath: errno {reply.errno}")
        if not isinstance(reply, DatapathInfo):
            raise DatapathUnavailableError(f"no datapath: {reply}")
        return reply.dp_ifindex

    def _ask(self, body: Encodable, flags: int = 0) -> object:
        self._sequence += 1
        message = encode_request(
            body, families=self.families, seq=self._sequence, pid=0, flags=flags
        )
        error = self._channel.send(message)
        if error:
            raise DatapathUnavailableError(f"the datapath takes no requests: errno {error}")
        for _ in range(_MOST_REPLIES):
            datagram = self._channel.receive_reply()
            if not datagram:
                raise DatapathUnavailableError("the datapath ended")
            try:
                replies = decode_replies(datagram, self.families)
            except OdpError as malformed:
                raise DatapathUnavailableError(f"the datapath answers {malformed}") from malformed
            for reply in replies:
                if reply.seq == self._sequence:
                    return reply
        raise DatapathUnavailableError("the datapath does not answer")
