"""Decode a datapath's replies, for the agent's end.

Receives datagrams; whatever is malformed or of another family is an OdpError.
"""

import struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import parse, read_string, read_u16, read_u32
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import (
    NLMSG_HEADER,
    NLMSG_HEADER_LENGTH,
    Families,
    NetlinkHeader,
    read_ifindex,
    split,
)
from actors.datapath.odp.replies import (
    DP_STATS,
    FLOW_STATS,
    FLOW_USED,
    MAX_ERRNO,
    MEGAFLOW_STATS,
    STATUS,
    VPORT_STATS,
    Acknowledged,
    DatapathInfo,
    DatapathStats,
    Described,
    Done,
    FamilyInfo,
    FlowInfo,
    MegaflowStats,
    NetlinkRefused,
    Notification,
    Reply,
    VportInfo,
    VportStats,
)
from actors.datapath.odp.requests import NAME_LIMIT


def decode_replies(
    datagram: bytes, families: Families, reply_pid: int | None = None
) -> tuple[Reply, ...]:
    """Read all replies of a datagram; OdpError if any is malformed or of another family.

    With `reply_pid` given, what carries another netlink port id is a Notification.
    """
    replies: list[Reply] = []
    for header, payload in split(datagram):
        if header.type == c.NLMSG_NOOP:
            continue
        reply = _decode(header, payload, families)
        if reply_pid in {None, header.pid}:
            replies.append(reply)
        elif isinstance(reply, Described):
            replies.append(Notification(reply))
    return tuple(replies)


def _decode(
    header: NetlinkHeader, payload: bytes, families: Families
) -> Described | NetlinkRefused | Acknowledged | Done:
    kind = header.type
    if kind == c.NLMSG_ERROR:
        return _decode_error(payload)
    if kind == c.NLMSG_DONE:
        # Old kernels end a dump without a status.
        errno = _errno(payload) if payload else 0
        return NetlinkRefused(header.seq, errno) if errno else Done(header.seq)
    if kind == c.GENL_ID_CTRL:
        return _decode_family(header, parse(payload, 4))
    # Protocol numbers below this are netlink's own (NLMSG_MIN_TYPE), and 0 is not resolved.
    if kind > c.GENL_ID_CTRL:
        if kind == families.flow:
            return _decode_flow(header, read_ifindex(payload), parse(payload, 8))
        if kind == families.vport:
            return _decode_vport(header, read_ifindex(payload), parse(payload, 8))
        if kind == families.datapath:
            return _decode_datapath(header, read_ifindex(payload), parse(payload, 8))
    raise OdpError(f"a reply of netlink type {kind} belongs to no ODP family")


def _errno(payload: bytes) -> int:
    """Return the positive errno that an error or the end of a dump carries; 0 is success."""
    if len(payload) < STATUS.size:
        raise OdpError("a netlink status is cut short")
    errno: int = -STATUS.unpack_from(payload)[0]
    if not 0 <= errno <= MAX_ERRNO:
        raise OdpError(f"{errno} is no error number")
    return errno


def _decode_error(payload: bytes) -> NetlinkRefused | Acknowledged:
    errno = _errno(payload)
    if len(payload) < STATUS.size + NLMSG_HEADER_LENGTH:
        raise OdpError("a netlink error does not quote its request")
    seq: int = NLMSG_HEADER.unpack_from(payload, STATUS.size)[3]
    return NetlinkRefused(seq, errno) if errno else Acknowledged(seq)


_Attributes = dict[int, bytes]


def _required(attributes: _Attributes, kind: int) -> bytes:
    payload = attributes.get(kind)
    if payload is None:
        raise OdpError(f"a reply lacks attribute {kind}")
    return payload


def _numbers(layout: struct.Struct, payload: bytes | None) -> tuple[int, ...]:
    """Read a counter structure; one that newer kernels have made longer is cut."""
    if payload is None:
        return ()
    if len(payload) < layout.size:
        raise OdpError(f"statistics of {len(payload)} bytes are too short")
    return layout.unpack_from(payload)


def _decode_family(header: NetlinkHeader, a: _Attributes) -> FamilyInfo:
    groups = []
    for nested in parse(a.get(c.CTRL_ATTR_MCAST_GROUPS, b"")).values():
        group = parse(nested)
        groups.append(
            (
                read_string(_required(group, c.CTRL_ATTR_MCAST_GRP_NAME), NAME_LIMIT),
                read_u32(_required(group, c.CTRL_ATTR_MCAST_GRP_ID)),
            )
        )
    version = a.get(c.CTRL_ATTR_VERSION)
    return FamilyInfo(
        header.seq,
        read_u16(_required(a, c.CTRL_ATTR_FAMILY_ID)),
        read_string(_required(a, c.CTRL_ATTR_FAMILY_NAME), NAME_LIMIT),
        0 if version is None else read_u32(version),
        tuple(groups),
    )


def _decode_datapath(header: NetlinkHeader, dp_ifindex: int, a: _Attributes) -> DatapathInfo:
    features = a.get(c.OVS_DP_ATTR_USER_FEATURES)
    megaflows = a.get(c.OVS_DP_ATTR_MEGAFLOW_STATS)
    return DatapathInfo(
        header.seq,
        header.cmd,
        dp_ifindex,
        read_string(_required(a, c.OVS_DP_ATTR_NAME), NAME_LIMIT),
        DatapathStats(*_numbers(DP_STATS, a.get(c.OVS_DP_ATTR_STATS))),
        0 if features is None else read_u32(features),
        None if megaflows is None else MegaflowStats(*_numbers(MEGAFLOW_STATS, megaflows)),
    )


def _decode_vport(header: NetlinkHeader, dp_ifindex: int, a: _Attributes) -> VportInfo:
    options = a.get(c.OVS_VPORT_ATTR_OPTIONS)
    dst_port = None if options is None else parse(options).get(c.OVS_TUNNEL_ATTR_DST_PORT)
    pids = a.get(c.OVS_VPORT_ATTR_UPCALL_PID, bytes(4))
    if not pids or len(pids) & 3:
        raise OdpError(f"{len(pids)} bytes are no list of port ids")
    ifindex = a.get(c.OVS_VPORT_ATTR_IFINDEX)
    return VportInfo(
        header.seq,
        header.cmd,
        dp_ifindex,
        read_u32(_required(a, c.OVS_VPORT_ATTR_PORT_NO)),
        read_u32(_required(a, c.OVS_VPORT_ATTR_TYPE)),
        read_string(_required(a, c.OVS_VPORT_ATTR_NAME), NAME_LIMIT),
        struct.unpack(f"={len(pids) // 4}I", pids),
        VportStats(*_numbers(VPORT_STATS, a.get(c.OVS_VPORT_ATTR_STATS))),
        None if dst_port is None else read_u16(dst_port),
        0 if ifindex is None else read_u32(ifindex),
    )


def _decode_flow(header: NetlinkHeader, dp_ifindex: int, a: _Attributes) -> FlowInfo:
    packets, size = _numbers(FLOW_STATS, a.get(c.OVS_FLOW_ATTR_STATS)) or (0, 0)
    (used,) = _numbers(FLOW_USED, a.get(c.OVS_FLOW_ATTR_USED)) or (0,)
    tcp_flags = a.get(c.OVS_FLOW_ATTR_TCP_FLAGS, b"\0")
    if len(tcp_flags) != 1:
        raise OdpError(f"a flow's TCP flags have {len(tcp_flags)} bytes")
    return FlowInfo(
        header.seq,
        header.cmd,
        dp_ifindex,
        a.get(c.OVS_FLOW_ATTR_UFID),
        a.get(c.OVS_FLOW_ATTR_KEY),
        a.get(c.OVS_FLOW_ATTR_MASK),
        a.get(c.OVS_FLOW_ATTR_ACTIONS),
        packets,
        size,
        used,
        tcp_flags[0],
    )
