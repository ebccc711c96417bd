"""Requests to a datapath: typed, encoded for the agent's end and decoded for the soft datapath's.

The packet path's own (flow create and delete, packet execute) have faster writers in
hot_requests.py. Key, mask and actions stay attribute payloads here: key.py and actions.py read
them.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import (
    attribute,
    parse,
    read_string,
    read_u16,
    read_u32,
    string,
    u16,
    u32,
)
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import (
    Families,
    NetlinkHeader,
    genl_message,
    ovs_message,
    read_ifindex,
    split,
)
from actors.datapath.odp.request_bodies import (
    DeleteDatapath,
    DeleteFlow,
    DeleteVport,
    Encodable,
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
    SetFlow,
    SetVport,
    Unsupported,
)

__all__ = [
    "NAME_LIMIT",
    "DeleteDatapath",
    "DeleteFlow",
    "DeleteVport",
    "Encodable",
    "ExecutePacket",
    "GetDatapath",
    "GetFamily",
    "GetFlow",
    "GetVport",
    "Malformed",
    "NetlinkRequest",
    "NewDatapath",
    "NewFlow",
    "NewVport",
    "RequestBody",
    "SetFlow",
    "SetVport",
    "Unsupported",
    "decode_request",
    "encode_request",
    "pid_list",
    "tunnel_options",
]

NAME_LIMIT: Final = 16
"""Of interfaces and families, in bytes with the NUL (IFNAMSIZ, GENL_NAMSIZ)."""


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
    )


def _new_flow(dp_ifindex: int, a: _Attributes) -> RequestBody:
    return NewFlow(
        dp_ifindex,
        _required(a, c.OVS_FLOW_ATTR_KEY),
        _required(a, c.OVS_FLOW_ATTR_ACTIONS),
        a.get(c.OVS_FLOW_ATTR_MASK),
        _ufid(a),
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


def encode_request(
    body: Encodable, *, families: Families, seq: int, pid: int, flags: int = 0
) -> bytes:
    """Return the message of a request; NLM_F_REQUEST is added to `flags`.

    Raises OdpError if a field cannot be expressed.
    """
    flags |= c.NLM_F_REQUEST
    if isinstance(body, GetFamily):
        name = string(c.CTRL_ATTR_FAMILY_NAME, body.name, NAME_LIMIT)
        return genl_message(
            c.GENL_ID_CTRL, c.CTRL_CMD_GETFAMILY, c.CTRL_VERSION, name,
            seq=seq, pid=pid, flags=flags,
        )  # fmt: skip
    cmd, attributes = _COMMANDS[type(body)], _attributes(body)
    if isinstance(body, NewDatapath | GetDatapath | DeleteDatapath):
        family, version = families.datapath, c.OVS_DATAPATH_VERSION
    elif isinstance(body, NewVport | GetVport | SetVport | DeleteVport):
        family, version = families.vport, c.OVS_VPORT_VERSION
    elif isinstance(body, ExecutePacket):
        family, version = families.packet, c.OVS_PACKET_VERSION
    else:
        family, version = families.flow, c.OVS_FLOW_VERSION
    dp_ifindex = 0 if isinstance(body, NewDatapath) else body.dp_ifindex
    return ovs_message(
        family, cmd, version, attributes,
        dp_ifindex=dp_ifindex, seq=seq, pid=pid, flags=flags,
    )  # fmt: skip


_COMMANDS: Final[dict[type, int]] = {
    NewDatapath: c.OVS_DP_CMD_NEW,
    GetDatapath: c.OVS_DP_CMD_GET,
    DeleteDatapath: c.OVS_DP_CMD_DEL,
    NewVport: c.OVS_VPORT_CMD_NEW,
    GetVport: c.OVS_VPORT_CMD_GET,
    SetVport: c.OVS_VPORT_CMD_SET,
    DeleteVport: c.OVS_VPORT_CMD_DEL,
    NewFlow: c.OVS_FLOW_CMD_NEW,
    SetFlow: c.OVS_FLOW_CMD_SET,
    GetFlow: c.OVS_FLOW_CMD_GET,
    DeleteFlow: c.OVS_FLOW_CMD_DEL,
    ExecutePacket: c.OVS_PACKET_CMD_EXECUTE,
}


def _attributes(body: RequestBody) -> bytes:
    match body:
        case NewDatapath(name, upcall_pid, user_features):
            parts = [
                string(c.OVS_DP_ATTR_NAME, name, NAME_LIMIT),
                u32(c.OVS_DP_ATTR_UPCALL_PID, upcall_pid),
                _optional_u32(c.OVS_DP_ATTR_USER_FEATURES, user_features),
            ]
        case GetDatapath(_, name) | DeleteDatapath(_, name):
            parts = [_optional_string(c.OVS_DP_ATTR_NAME, name)]
        case NewVport():
            parts = [
                _optional_u32(c.OVS_VPORT_ATTR_PORT_NO, body.port_no),
                u32(c.OVS_VPORT_ATTR_TYPE, body.type),
                string(c.OVS_VPORT_ATTR_NAME, body.name, NAME_LIMIT),
                pid_list(body.upcall_pids),
                b"" if body.dst_port is None else tunnel_options(body.dst_port),
            ]
        case GetVport(_, port_no, name) | DeleteVport(_, port_no, name):
            parts = [
                _optional_u32(c.OVS_VPORT_ATTR_PORT_NO, port_no),
                _optional_string(c.OVS_VPORT_ATTR_NAME, name),
            ]
        case SetVport(_, port_no, name, pids):
            parts = [
                _optional_u32(c.OVS_VPORT_ATTR_PORT_NO, port_no),
                _optional_string(c.OVS_VPORT_ATTR_NAME, name),
                b"" if pids is None else pid_list(pids),
            ]
        case NewFlow() | SetFlow():
            parts = [
                _ufid_attribute(body.ufid),
                _optional(c.OVS_FLOW_ATTR_KEY, body.raw_key),
                _optional(c.OVS_FLOW_ATTR_MASK, body.mask),
                _optional(c.OVS_FLOW_ATTR_ACTIONS, body.actions),
            ]
            if isinstance(body, SetFlow) and body.clear:
                parts.append(attribute(c.OVS_FLOW_ATTR_CLEAR, b""))
        case GetFlow(_, ufid, raw_key, ufid_flags) | DeleteFlow(_, ufid, raw_key, ufid_flags):
            parts = [
                _ufid_attribute(ufid),
                _optional(c.OVS_FLOW_ATTR_KEY, raw_key),
                u32(c.OVS_FLOW_ATTR_UFID_FLAGS, ufid_flags) if ufid_flags else b"",
            ]
        case ExecutePacket():
            # The kernel reads the frame last, and so do those who copy its order.
            parts = [
                attribute(c.OVS_PACKET_ATTR_KEY, body.raw_key),
                attribute(c.OVS_PACKET_ATTR_ACTIONS, body.actions),
                attribute(c.OVS_PACKET_ATTR_PACKET, body.frame),
            ]
        case _:
            raise OdpError(f"{type(body).__name__} is no request to send")
    return b"".join(parts)


def pid_list(pids: tuple[int, ...]) -> bytes:
    """Return OVS_VPORT_ATTR_UPCALL_PID: an array of netlink port ids."""
    if not pids or not all(0 <= pid <= 0xFFFFFFFF for pid in pids):
        raise OdpError("a port's upcalls need at least one netlink port id of 32 bits")
    return attribute(c.OVS_VPORT_ATTR_UPCALL_PID, b"".join(_native_u32(pid) for pid in pids))


def tunnel_options(dst_port: int) -> bytes:
    """Return OVS_VPORT_ATTR_OPTIONS with a UDP port, which the uapi has in native order."""
    return attribute(c.OVS_VPORT_ATTR_OPTIONS, u16(c.OVS_TUNNEL_ATTR_DST_PORT, dst_port))


def _native_u32(value: int) -> bytes:
    return u32(0, value)[4:]


def _optional(kind: int, payload: bytes | None) -> bytes:
    return b"" if payload is None else attribute(kind, payload)


def _optional_u32(kind: int, value: int | None) -> bytes:
    return b"" if value is None else u32(kind, value)


def _optional_string(kind: int, text: str | None) -> bytes:
    return b"" if text is None else string(kind, text, NAME_LIMIT)


def _ufid_attribute(ufid: bytes | None) -> bytes:
    if ufid is None:
        return b""
    if not 1 <= len(ufid) <= c.UFID_LENGTH:
        raise OdpError(f"a ufid has {len(ufid)} bytes")
    return attribute(c.OVS_FLOW_ATTR_UFID, ufid)
