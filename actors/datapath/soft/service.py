"""Service: takes datagrams of netlink requests and yields the datagrams of their answers.

It knows netlink's own rules (acknowledgement, echo, dump, one failure not hiding the rest) and
leaves what a request means to `port_requests.py` and `flow_requests.py`.
"""

import errno
import logging
from collections.abc import Iterable, Iterator

from msgspec.structs import astuple

from actors.datapath.odp import constants as odp
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import NetlinkHeader
from actors.datapath.odp.read_requests import NetlinkRequest, decode_request
from actors.datapath.odp.replies import Described, FamilyInfo
from actors.datapath.odp.reply_encoding import encode_ack, encode_done, encode_reply
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteFlow,
    DeleteVport,
    ExecutePacket,
    GetDatapath,
    GetFamily,
    GetFlow,
    GetVport,
    Malformed,
    NewDatapath,
    NewFlow,
    NewVport,
    RequestBody,
    SetDatapath,
    SetFlow,
    SetVport,
    Unsupported,
)
from actors.datapath.soft.families import AGENT_PID, FAMILIES, FAMILY_IDS, GROUP_IDS
from actors.datapath.soft.flow_requests import FlowRequests, describe_flow
from actors.datapath.soft.inventory import Inventory
from actors.datapath.soft.limits import REPLY_BYTES
from actors.datapath.soft.port_requests import PortRequests, describe_datapath, describe_port
from actors.datapath.soft.refusal import Refused

_LOG = logging.getLogger(__name__)


class Service:
    """Answers the agent."""

    def __init__(self, inventory: Inventory, ports: PortRequests, flows: FlowRequests) -> None:
        self._inventory = inventory
        self._ports = ports
        self._flows = flows

    def answer(self, datagram: bytes) -> Iterator[bytes]:
        """Perform all requests of a datagram; yield the datagrams to send back.

        The next request is performed when the answers before it have been taken.
        """
        try:
            requests = decode_request(datagram, FAMILIES)
        except OdpError as error:
            _LOG.warning("a datagram of %d bytes is no netlink request: %s", len(datagram), error)
            return
        joined: list[bytes] = []
        length = 0
        for request in requests:
            for message in self._messages(request):
                if joined and length + len(message) > REPLY_BYTES:
                    yield b"".join(joined)
                    joined.clear()
                    length = 0
                joined.append(message)
                length += len(message)
        if joined:
            yield b"".join(joined)

    def _messages(self, request: NetlinkRequest) -> Iterator[bytes]:
        header, body = request.header, request.body
        if not header.flags & odp.NLM_F_REQUEST or header.type < odp.GENL_ID_CTRL:
            # No request, or a control message: see netlink_rcv_skb() of net/netlink.
            if header.flags & odp.NLM_F_ACK:
                yield encode_ack(header, AGENT_PID)
            return
        try:
            if header.dump and isinstance(body, GetDatapath | GetVport | GetFlow):
                for info in self._dump(header.seq, body):
                    yield encode_reply(info, families=FAMILIES, pid=AGENT_PID, multi=True)
                yield encode_done(header.seq, AGENT_PID)
                return
            described = self._perform(header, body)
        except Refused as refused:
            _LOG.debug("refused %s: %s", type(body).__name__, refused)
            yield encode_ack(header, AGENT_PID, refused.code)
            return
        if described is not None and (
            header.flags & odp.NLM_F_ECHO
            or isinstance(body, GetFamily | GetDatapath | GetVport | GetFlow)
        ):
            yield encode_reply(described, families=FAMILIES, pid=AGENT_PID)
        if header.flags & odp.NLM_F_ACK:
            yield encode_ack(header, AGENT_PID)

    def _perform(self, header: NetlinkHeader, body: RequestBody) -> Described | None:
        seq = header.seq
        match body:
            case NewFlow():
                return self._flows.new_flow(seq, body, header.flags)
            case ExecutePacket():
                self._flows.execute(body)
                return None
            case DeleteFlow():
                return self._flows.delete_flow(seq, body)
            case SetFlow():
                return self._flows.set_flow(seq, body)
            case GetFlow():
                return self._flows.get_flow(seq, body)
            case NewVport():
                return self._ports.new_vport(seq, body)
            case GetVport():
                return self._ports.get_vport(seq, body)
            case SetVport():
                return self._ports.set_vport(seq, body)
            case DeleteVport():
                return self._ports.delete_vport(seq, body)
            case NewDatapath():
                return self._ports.new_datapath(seq, body)
            case SetDatapath():
                return self._ports.set_datapath(seq, body)
            case GetDatapath():
                return self._ports.get_datapath(seq, body)
            case DeleteDatapath():
                return self._ports.delete_datapath(seq, body)
            case GetFamily(name):
                return _family(seq, name)
            case Unsupported():
                known = header.type in {odp.GENL_ID_CTRL, *astuple(FAMILIES)}
                code = errno.EOPNOTSUPP if known else errno.ENOENT
                raise Refused(code, f"command {header.cmd} of type {header.type}")
            case Malformed(reason):
                raise Refused(errno.EINVAL, reason)

    def _dump(self, seq: int, body: GetDatapath | GetVport | GetFlow) -> Iterable[Described]:
        if isinstance(body, GetDatapath):
            return [describe_datapath(seq, odp.OVS_DP_CMD_NEW, dp) for dp in self._inventory]
        datapath = self._inventory.find(body.dp_ifindex)
        if isinstance(body, GetVport):
            ports = sorted(datapath.ports.values(), key=lambda port: port.number)
            return [describe_port(seq, odp.OVS_VPORT_CMD_NEW, datapath, port) for port in ports]
        flags = body.ufid_flags
        flows = tuple(datapath.table)
        return (describe_flow(seq, odp.OVS_FLOW_CMD_NEW, datapath, flow, flags) for flow in flows)


def _family(seq: int, name: str) -> FamilyInfo:
    if name not in FAMILY_IDS:
        raise Refused(errno.ENOENT, f"no family {name}")
    number, version = FAMILY_IDS[name]
    groups = ((name, GROUP_IDS[name]),) if name in GROUP_IDS else ()
    return FamilyInfo(seq=seq, id=number, name=name, version=version, groups=groups)
