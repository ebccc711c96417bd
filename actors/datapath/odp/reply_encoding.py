"""Encode a datapath's replies, for the soft datapath's end.

Attribute orders are those of ovs_dp_cmd_fill_info(), ovs_vport_cmd_fill_info() and
ovs_flow_cmd_fill_info() in net/openvswitch/datapath.c.
"""

import struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute, string, u16, u32
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import (
    NLMSG_HEADER,
    NLMSG_HEADER_LENGTH,
    Families,
    NetlinkHeader,
    genl_message,
    ovs_message,
)
from actors.datapath.odp.replies import (
    DP_STATS,
    FLOW_STATS,
    FLOW_USED,
    MAX_ERRNO,
    MEGAFLOW_STATS,
    STATUS,
    VPORT_STATS,
    DatapathInfo,
    Described,
    FamilyInfo,
    FlowInfo,
    VportInfo,
)
from actors.datapath.odp.requests import NAME_LIMIT, pid_list, tunnel_options


def encode_reply(info: Described, *, families: Families, pid: int, multi: bool = False) -> bytes:
    """Return the message that describes `info`; `multi` marks it as part of a dump.

    Raises OdpError if a field cannot be expressed.
    """
    flags = c.NLM_F_MULTI if multi else 0
    try:
        if isinstance(info, FamilyInfo):
            return genl_message(
                c.GENL_ID_CTRL, c.CTRL_CMD_NEWFAMILY, c.CTRL_VERSION, _family(info),
                seq=info.seq, pid=pid, flags=flags,
            )  # fmt: skip
        if isinstance(info, DatapathInfo):
            family, version = families.datapath, c.OVS_DATAPATH_VERSION
            attributes = _datapath(info)
        elif isinstance(info, VportInfo):
            family, version = families.vport, c.OVS_VPORT_VERSION
            attributes = _vport(info)
        else:
            family, version = families.flow, c.OVS_FLOW_VERSION
            attributes = _flow(info)
    except struct.error as error:
        raise OdpError(f"a reply's field is out of range: {error}") from error
    return ovs_message(
        family, info.cmd, version, attributes,
        dp_ifindex=info.dp_ifindex, seq=info.seq, pid=pid, flags=flags,
    )  # fmt: skip


def encode_ack(request: NetlinkHeader, pid: int, errno: int = 0) -> bytes:
    """Return the NLMSG_ERROR to port id `pid` that answers `request`; an errno refuses it.

    It quotes the request's header only, as for a socket with NETLINK_CAP_ACK.
    """
    if not 0 <= errno <= MAX_ERRNO:
        raise OdpError(f"{errno} is no error number")
    length = NLMSG_HEADER_LENGTH + STATUS.size + NLMSG_HEADER_LENGTH
    return b"".join(
        (
            NLMSG_HEADER.pack(length, c.NLMSG_ERROR, c.NLM_F_CAPPED, request.seq, pid),
            STATUS.pack(-errno),
            request.quoted(),
        )
    )


def encode_done(seq: int, pid: int) -> bytes:
    """Return the NLMSG_DONE that ends a dump."""
    try:
        return NLMSG_HEADER.pack(20, c.NLMSG_DONE, c.NLM_F_MULTI, seq, pid) + STATUS.pack(0)
    except struct.error as error:
        raise OdpError(f"a netlink header field is out of range: {error}") from error


def _family(info: FamilyInfo) -> bytes:
    groups = b"".join(
        attribute(
            number,
            u32(c.CTRL_ATTR_MCAST_GRP_ID, group) + string(c.CTRL_ATTR_MCAST_GRP_NAME, name, 16),
        )
        for number, (name, group) in enumerate(info.groups, 1)
    )
    return b"".join(
        (
            string(c.CTRL_ATTR_FAMILY_NAME, info.name, NAME_LIMIT),
            u16(c.CTRL_ATTR_FAMILY_ID, info.id),
            u32(c.CTRL_ATTR_VERSION, info.version),
            attribute(c.CTRL_ATTR_MCAST_GROUPS, groups) if groups else b"",
        )
    )


def _datapath(info: DatapathInfo) -> bytes:
    stats, megaflows = info.stats, info.megaflows
    return b"".join(
        (
            string(c.OVS_DP_ATTR_NAME, info.name, NAME_LIMIT),
            attribute(
                c.OVS_DP_ATTR_STATS,
                DP_STATS.pack(stats.hits, stats.misses, stats.lost, stats.flows),
            ),
            b""
            if megaflows is None
            else attribute(
                c.OVS_DP_ATTR_MEGAFLOW_STATS,
                MEGAFLOW_STATS.pack(megaflows.mask_lookups, megaflows.masks, megaflows.cache_hits),
            ),
            u32(c.OVS_DP_ATTR_USER_FEATURES, info.user_features),
        )
    )


def _vport(info: VportInfo) -> bytes:
    s = info.stats
    stats = VPORT_STATS.pack(
        s.rx_packets, s.tx_packets, s.rx_bytes, s.tx_bytes,
        s.rx_errors, s.tx_errors, s.rx_dropped, s.tx_dropped,
    )  # fmt: skip
    return b"".join(
        (
            u32(c.OVS_VPORT_ATTR_PORT_NO, info.port_no),
            u32(c.OVS_VPORT_ATTR_TYPE, info.type),
            string(c.OVS_VPORT_ATTR_NAME, info.name, NAME_LIMIT),
            u32(c.OVS_VPORT_ATTR_IFINDEX, info.ifindex),
            attribute(c.OVS_VPORT_ATTR_STATS, stats),
            pid_list(info.upcall_pids),
            b"" if info.dst_port is None else tunnel_options(info.dst_port),
        )
    )


def _flow(info: FlowInfo) -> bytes:
    parts = []
    for kind, payload in (
        (c.OVS_FLOW_ATTR_UFID, info.ufid),
        (c.OVS_FLOW_ATTR_KEY, info.raw_key),
        (c.OVS_FLOW_ATTR_MASK, info.mask),
    ):
        if payload is not None:
            parts.append(attribute(kind, payload))
    # The kernel leaves out what is zero.
    if info.used:
        parts.append(attribute(c.OVS_FLOW_ATTR_USED, FLOW_USED.pack(info.used)))
    if info.packets or info.bytes:
        stats = FLOW_STATS.pack(info.packets, info.bytes)
        parts.append(attribute(c.OVS_FLOW_ATTR_STATS, stats))
    if info.tcp_flags:
        parts.append(attribute(c.OVS_FLOW_ATTR_TCP_FLAGS, struct.pack("B", info.tcp_flags)))
    if info.actions is not None:
        parts.append(attribute(c.OVS_FLOW_ATTR_ACTIONS, info.actions))
    return b"".join(parts)
