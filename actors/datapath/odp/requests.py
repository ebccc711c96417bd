"""Requests to a datapath, encoded for the agent's end; read_requests.py decodes them.

The packet path's own (flow create and delete, packet execute) have faster writers in
actors/datapath/request_writer.py. Key, mask and actions stay attribute payloads here: key.py and actions.py read
them.
"""

from typing import Final

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import (
    attribute,
    string,
    u16,
    u32,
)
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import (
    Families,
    genl_message,
    ovs_message,
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
    SetDatapath,
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
    "NewDatapath",
    "NewFlow",
    "NewVport",
    "RequestBody",
    "SetDatapath",
    "SetFlow",
    "SetVport",
    "Unsupported",
    "encode_request",
    "pid_list",
    "tunnel_options",
]

NAME_LIMIT: Final = 16
"""Of interfaces and families, in bytes with the NUL (IFNAMSIZ, GENL_NAMSIZ)."""


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
    if isinstance(body, NewDatapath | SetDatapath | GetDatapath | DeleteDatapath):
        family, version = families.datapath, c.OVS_DATAPATH_VERSION
    elif isinstance(body, NewVport | GetVport | SetVport | DeleteVport):
        family, version = families.vport, c.OVS_VPORT_VERSION
    elif isinstance(body, ExecutePacket):
        family, version = families.packet, c.OVS_PACKET_VERSION
    else:
        family, version = families.flow, c.OVS_FLOW_VERSION
    dp_ifindex = 0 if isinstance(body, NewDatapath | SetDatapath) else body.dp_ifindex
    return ovs_message(
        family, cmd, version, attributes,
        dp_ifindex=dp_ifindex, seq=seq, pid=pid, flags=flags,
    )  # fmt: skip


_COMMANDS: Final[dict[type, int]] = {
    NewDatapath: c.OVS_DP_CMD_NEW,
    SetDatapath: c.OVS_DP_CMD_SET,
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
        case SetDatapath(name, user_features, per_cpu_pids):
            parts = [
                string(c.OVS_DP_ATTR_NAME, name, NAME_LIMIT),
                u32(c.OVS_DP_ATTR_USER_FEATURES, user_features),
                pid_list(per_cpu_pids, c.OVS_DP_ATTR_PER_CPU_PIDS) if per_cpu_pids else b"",
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
            if isinstance(body, NewFlow):
                parts.append(_probe_attribute(probe=body.probe))
        case GetFlow(_, ufid, raw_key, ufid_flags, probe) | DeleteFlow(
            _, ufid, raw_key, ufid_flags, probe
        ):
            parts = [
                _ufid_attribute(ufid),
                _optional(c.OVS_FLOW_ATTR_KEY, raw_key),
                u32(c.OVS_FLOW_ATTR_UFID_FLAGS, ufid_flags) if ufid_flags else b"",
                _probe_attribute(probe=probe),
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


def pid_list(pids: tuple[int, ...], kind: int = c.OVS_VPORT_ATTR_UPCALL_PID) -> bytes:
    """Return an attribute that holds an array of netlink port ids."""
    if not pids or not all(0 <= pid <= 0xFFFFFFFF for pid in pids):
        raise OdpError("upcalls need at least one netlink port id of 32 bits")
    return attribute(kind, b"".join(_native_u32(pid) for pid in pids))


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


def _probe_attribute(*, probe: bool) -> bytes:
    return attribute(c.OVS_FLOW_ATTR_PROBE, b"") if probe else b""
