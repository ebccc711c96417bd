"""Requests to a lab host's kernel datapath by somebody who is not its agent."""

import fcntl
import socket

from actors.datapath.handshake import DATAPATH_NAME
from actors.datapath.odp import constants as c
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import (
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
    DeleteVport,
    Encodable,
    GetDatapath,
    GetFamily,
    GetFlow,
    GetVport,
    encode_request,
)
from tests.scenarios.machine import Machine
from tests.scenarios.network import Network

_NETLINK_GENERIC = 16
_SIOCGIFINDEX = 0x8933


class KernelRequests:
    """Sockets in a host's namespace."""

    def __init__(self, host: Machine) -> None:
        self._socket = host.open(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        self._socket.bind((0, 0))
        self._inet = host.udp()
        self._sequence = 0
        self._families = Families()
        found = [self._ask(GetFamily(name))[0] for name in c.OVS_FAMILIES]
        self._families = Families(*(info.id for info in found if isinstance(info, FamilyInfo)))

    def close(self) -> None:
        """Close the sockets."""
        self._socket.close()
        self._inet.close()

    def datapath(self) -> int:
        """Return the ifindex of the agent's datapath, 0 if there is none."""
        (info,) = self._ask(GetDatapath(name=DATAPATH_NAME))
        return info.dp_ifindex if isinstance(info, DatapathInfo) else 0

    def vports(self) -> dict[str, VportInfo]:
        """Return the vports by name, none if there is no datapath."""
        found = self._ask(GetVport(self.datapath()), c.NLM_F_DUMP)
        return {info.name: info for info in found if isinstance(info, VportInfo)}

    def has_link(self) -> bool:
        """Tell whether the host has the datapath's own interface."""
        name = DATAPATH_NAME.encode().ljust(16, b"\0")
        try:
            fcntl.ioctl(self._inet, _SIOCGIFINDEX, name + bytes(24))
        except OSError:
            return False
        return True

    def flows(self) -> set[bytes]:
        """Return the unique ids of all flows."""
        found = self._ask(GetFlow(self.datapath()), c.NLM_F_DUMP)
        return {info.ufid or b"" for info in found if isinstance(info, FlowInfo)}

    def delete_datapath(self) -> None:
        """Delete the datapath."""
        self._do(DeleteDatapath(name=DATAPATH_NAME))

    def delete_vport(self, name: str) -> None:
        """Delete a vport."""
        self._do(DeleteVport(self.datapath(), name=name))

    def _do(self, body: Encodable) -> None:
        replies = self._ask(body, c.NLM_F_ACK)
        assert not [each for each in replies if isinstance(each, NetlinkRefused)], replies

    def _ask(self, body: Encodable, flags: int = 0) -> list[Reply]:
        self._sequence += 1
        self._socket.send(
            encode_request(body, families=self._families, seq=self._sequence, pid=0, flags=flags)
        )
        replies: list[Reply] = []
        while True:
            replies += decode_replies(self._socket.recv(1 << 16), self._families)
            if flags != c.NLM_F_DUMP or isinstance(replies[-1], Done | NetlinkRefused):
                return replies


def kernel_of(network: Network, host: str) -> KernelRequests:
    """Open a netlink socket in a host of a lab."""
    return KernelRequests(network.machine(host))
