"""Requests to a datapath, decoded for the soft datapath's end and for people who look at journals."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import parse, read_string, read_u16, read_u32
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families, NetlinkHeader, read_ifindex, split
from actors.datapath.odp.request_bodies import (
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
from actors.datapath.odp.requests import NAME_LIMIT


class NetlinkRequest(Struct, frozen=True):
    """One request of a datagram."""

    header: NetlinkHeader
    body: RequestBody


def decode_request(datagram: bytes, families: Families) -> list[NetlinkRequest]:
    """Read the requests of a datagram, in their order.

    One with bad attributes becomes Malformed and does not hide the others. At a corrupt
    length the rest is dropped, as the kernel does; OdpError if that leaves nothing.
    """
    requests = []
    try:
        for header, payload in split(datagram):
            requests.append(NetlinkRequest(header, _decode(header, payload, families)))
    except OdpError:
        if not requests:
            raise
    return requests


def _decode(header: NetlinkHeader, payload: bytes, families: Families) -> RequestBody:
    name = _family_name(header.type, families)
    decode = _DECODERS.get((name, header.cmd))
    if decode is None:
        return Unsupported()
    try:
        if name == "ctrl":
            return decode(0, parse(payload, 4))
        return decode(read_ifindex(payload), parse(payload, 8))
    except OdpError as error:
        return Malformed(str(error))


def _family_name(kind: int, families: Families) -> str | None:
    return {
        c.GENL_ID_CTRL: "ctrl",
        families.datapath: "datapath",
        families.vport: "vport",
        families.flow: "flow",
        families.packet: "packet",
    }.get(kind)


_Attributes = dict[int, bytes]


def _required(attributes: _Attributes, kind: int) -> bytes:
    payload = attributes.get(kind)
    if payload is None:
        raise OdpError(f"attribute {kind} is required")
    return payload


def _name(attributes: _Attributes, kind: int) -> str | None:
    payload = attributes.get(kind)
    return None if payload is None else read_string(payload, NAME_LIMIT)


def _number(attributes: _Attributes, kind: int) -> int | None:
    payload = attributes.get(kind)
    return None if payload is None else read_u32(payload)


def _pids(payload: bytes) -> tuple[int, ...]:
    if not payload or len(payload) & 3:
        raise OdpError(f"{len(payload)} bytes are no list of port ids")
    return tuple(read_u32(payload[at : at + 4]) for at in range(0, len(payload), 4))


def _ufid(attributes: _Attributes) -> bytes | None:
    ufid = attributes.get(c.OVS_FLOW_ATTR_UFID)
    if ufid is not None and not 1 <= len(ufid) <= c.UFID_LENGTH:
        raise OdpError(f"a ufid has {len(ufid)} bytes")
    return ufid


def _get_family(_: int, a: _Attributes) -> RequestBody:
    return GetFamily(read_string(_required(a, c.CTRL_ATTR_FAMILY_NAME), NAME_LIMIT))


def _new_datapath(_: int, a: _Attributes) -> RequestBody:
    return NewDatapath(
        read_string(_required(a, c.OVS_DP_ATTR_NAME), NAME_LIMIT),
        read_u32(_required(a, c.OVS_DP_ATTR_UPCALL_PID)),
        _number(a, c.OVS_DP_ATTR_USER_FEATURES),
    )


def _set_datapath(_: int, a: _Attributes) -> RequestBody:
    pids = a.get(c.OVS_DP_ATTR_PER_CPU_PIDS)
    return SetDatapath(
        read_string(_required(a, c.OVS_DP_ATTR_NAME), NAME_LIMIT),
        read_u32(_required(a, c.OVS_DP_ATTR_USER_FEATURES)),
        () if pids is None else _pids(pids),
    )


def _new_vport(dp_ifindex: int, a: _Attributes) -> RequestBody:
    options = a.get(c.OVS_VPORT_ATTR_OPTIONS)
    dst_port = None if options is None else parse(options).get(c.OVS_TUNNEL_ATTR_DST_PORT)
    return NewVport(
        dp_ifindex,
        read_u32(_required(a, c.OVS_VPORT_ATTR_TYPE)),
        read_string(_required(a, c.OVS_VPORT_ATTR_NAME), NAME_LIMIT),
        _pids(_required(a, c.OVS_VPORT_ATTR_UPCALL_PID)),
        _number(a, c.OVS_VPORT_ATTR_PORT_NO),
        None if dst_port is None else read_u16(dst_port),
    )


def _set_vport(dp_ifindex: int, a: _Attributes) -> RequestBody:
    pids = a.get(c.OVS_VPORT_ATTR_UPCALL_PID)
    return SetVport(
        dp_ifindex,
        _number(a, c.OVS_VPORT_ATTR_PORT_NO),
        _name(a, c.OVS_VPORT_ATTR_NAME),
        None if pids is None else _pids(pids),
    )


def _named_datapath(kind: type[GetDatapath | DeleteDatapath]) -> "_Decoder":
    return lambda dp_ifindex, a: kind(dp_ifindex, _name(a, c.OVS_DP_ATTR_NAME))


def _named_vport(kind: type[GetVport | DeleteVport]) -> "_Decoder":
    return lambda dp_ifindex, a: kind(
        dp_ifindex, _number(a, c.OVS_VPORT_ATTR_PORT_NO), _name(a, c.OVS_VPORT_ATTR_NAME)
    )


def _named_flow(kind: type[GetFlow | DeleteFlow]) -> "_Decoder":
    return lambda dp_ifindex, a: kind(
        dp_ifindex,
        _ufid(a),
        a.get(c.OVS_FLOW_ATTR_KEY),
        _number(a, c.OVS_FLOW_ATTR_UFID_FLAGS) or 0,
        c.OVS_FLOW_ATTR_PROBE in a,
    )


def _new_flow(dp_ifindex: int, a: _Attributes) -> RequestBody:
    return NewFlow(
        dp_ifindex,
        _required(a, c.OVS_FLOW_ATTR_KEY),
        _required(a, c.OVS_FLOW_ATTR_ACTIONS),
        a.get(c.OVS_FLOW_ATTR_MASK),
        _ufid(a),
        c.OVS_FLOW_ATTR_PROBE in a,
    )


def _set_flow(dp_ifindex: int, a: _Attributes) -> RequestBody:
    return SetFlow(
        dp_ifindex,
        a.get(c.OVS_FLOW_ATTR_KEY),
        a.get(c.OVS_FLOW_ATTR_ACTIONS),
        a.get(c.OVS_FLOW_ATTR_MASK),
        _ufid(a),
        c.OVS_FLOW_ATTR_CLEAR in a,
    )


def _execute(dp_ifindex: int, a: _Attributes) -> RequestBody:
    return ExecutePacket(
        dp_ifindex,
        _required(a, c.OVS_PACKET_ATTR_KEY),
        _required(a, c.OVS_PACKET_ATTR_ACTIONS),
        _required(a, c.OVS_PACKET_ATTR_PACKET),
    )


_Decoder = Callable[[int, _Attributes], RequestBody]
_DECODERS: Final[dict[tuple[str | None, int], _Decoder]] = {
    ("ctrl", c.CTRL_CMD_GETFAMILY): _get_family,
    ("datapath", c.OVS_DP_CMD_NEW): _new_datapath,
    ("datapath", c.OVS_DP_CMD_SET): _set_datapath,
    ("datapath", c.OVS_DP_CMD_GET): _named_datapath(GetDatapath),
    ("datapath", c.OVS_DP_CMD_DEL): _named_datapath(DeleteDatapath),
    ("vport", c.OVS_VPORT_CMD_NEW): _new_vport,
    ("vport", c.OVS_VPORT_CMD_GET): _named_vport(GetVport),
    ("vport", c.OVS_VPORT_CMD_SET): _set_vport,
    ("vport", c.OVS_VPORT_CMD_DEL): _named_vport(DeleteVport),
    ("flow", c.OVS_FLOW_CMD_NEW): _new_flow,
    ("flow", c.OVS_FLOW_CMD_SET): _set_flow,
    ("flow", c.OVS_FLOW_CMD_GET): _named_flow(GetFlow),
    ("flow", c.OVS_FLOW_CMD_DEL): _named_flow(DeleteFlow),
    ("packet", c.OVS_PACKET_CMD_EXECUTE): _execute,
}
