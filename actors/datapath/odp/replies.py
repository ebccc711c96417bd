"""Replies of a datapath: typed, decoded for the agent's end and encoded for the soft datapath's.

Attribute orders are those of ovs_dp_cmd_fill_info(), ovs_vport_cmd_fill_info() and
ovs_flow_cmd_fill_info() in net/openvswitch/datapath.c.
"""

import struct
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
    NLMSG_HEADER,
    NLMSG_HEADER_LENGTH,
    Families,
    NetlinkHeader,
    genl_message,
    ovs_message,
    read_ifindex,
    split,
)
from actors.datapath.odp.requests import NAME_LIMIT, pid_list, tunnel_options

_DP_STATS = struct.Struct("=4Q")
_MEGAFLOW_STATS = struct.Struct("=QI4xQ8x")
_VPORT_STATS = struct.Struct("=8Q")
_FLOW_STATS = struct.Struct("=2Q")
_U64 = struct.Struct("=Q")
_I32 = struct.Struct("=i")
_MAX_ERRNO: Final = 4095

# The echo of a flow delete with OVS_UFID_F_OMIT_*: UFID; if it was used, USED, STATS; TCP_FLAGS.
_ECHO_LENGTH: Final = 44
_USED_LENGTH: Final = 76
_USED_LENGTHS: Final = frozenset({76, 84})
_ECHO = struct.Struct("=IHHIIBBHi4s16s").unpack_from
_USED = struct.Struct("=4sQ4sQQ").unpack_from
_ECHOED_UFID, _ECHOED_USED, _ECHOED_STATS, _ECHOED_FLAGS = (
    struct.pack("=HH", length, kind)
    for length, kind in (
        (20, c.OVS_FLOW_ATTR_UFID),
        (12, c.OVS_FLOW_ATTR_USED),
        (20, c.OVS_FLOW_ATTR_STATS),
        (5, c.OVS_FLOW_ATTR_TCP_FLAGS),
    )
)


class DatapathStats(Struct, frozen=True):
    """struct ovs_dp_stats: packets that matched a flow, that did not, that were lost; flows."""

    hits: int = 0
    misses: int = 0
    lost: int = 0
    flows: int = 0


class MegaflowStats(Struct, frozen=True):
    """struct ovs_dp_megaflow_stats: how often a mask was tried, how many masks there are."""

    mask_lookups: int = 0
    masks: int = 0
    cache_hits: int = 0
    """Packets whose first mask was found in the cache (Linux 5.10)."""


class DatapathInfo(Struct, frozen=True, tag_field="kind", tag="datapath"):
    """A datapath as a reply or notification describes it."""

    seq: int
    cmd: int
    dp_ifindex: int
    name: str
    stats: DatapathStats = DatapathStats()
    user_features: int = 0
    megaflows: MegaflowStats | None = None


class VportStats(Struct, frozen=True):
    """struct ovs_vport_stats, as the datapath sees it: rx came in by the port."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


class VportInfo(Struct, frozen=True, tag_field="kind", tag="vport"):
    """A port as a reply or notification describes it."""

    seq: int
    cmd: int
    dp_ifindex: int
    port_no: int
    type: int
    name: str
    upcall_pids: tuple[int, ...] = (0,)
    stats: VportStats = VportStats()
    dst_port: int | None = None
    """UDP port of a tunnel."""
    ifindex: int = 0
    """Of the port's network device; 0 if not told."""


class FlowInfo(Struct, frozen=True, tag_field="kind", tag="flow"):
    """A flow as a dump, or the echo of its deletion, describes it."""

    seq: int
    cmd: int
    dp_ifindex: int
    ufid: bytes | None = None
    raw_key: bytes | None = None
    mask: bytes | None = None
    actions: bytes | None = None
    packets: int = 0
    bytes: int = 0
    used: int = 0
    """When last used, in milliseconds of the kernel's monotonic clock; 0 never."""
    tcp_flags: int = 0


class FamilyInfo(Struct, frozen=True, tag_field="kind", tag="family"):
    """A generic netlink family and its multicast groups, as (name, id)."""

    seq: int
    id: int
    name: str
    version: int = 0
    groups: tuple[tuple[str, int], ...] = ()


class NetlinkRefused(Struct, frozen=True, tag_field="kind", tag="refused"):
    """The request with this number failed."""

    seq: int
    errno: int


class Acknowledged(Struct, frozen=True, tag_field="kind", tag="acknowledged"):
    """The request with this number succeeded (it had NLM_F_ACK)."""

    seq: int


class Done(Struct, frozen=True, tag_field="kind", tag="done"):
    """The dump with this number is complete."""

    seq: int


Described = DatapathInfo | VportInfo | FlowInfo | FamilyInfo


class Notification(Struct, frozen=True, tag_field="kind", tag="notification"):
    """What somebody else, or the kernel by itself, did: no answer to a request of ours."""

    of: Described
    seq: int = 0
    """It answers no request."""


Reply = Described | NetlinkRefused | Acknowledged | Done | Notification


def decode_replies(
    datagram: bytes, families: Families, reply_pid: int | None = None
) -> tuple[Reply, ...]:
    """Read all replies of a datagram; OdpError if any is malformed or of another family.

    With `reply_pid` given, what carries another netlink port id is a Notification.
    """
    replies: list[Reply] = []
    at = _echoed_deletes(datagram, families.flow, reply_pid, replies)
    if at == len(datagram):
        return tuple(replies)
    for header, payload in split(datagram[at:] if at else datagram):
        if header.type == c.NLMSG_NOOP:
            continue
        reply = _decode(header, payload, families)
        if reply_pid in {None, header.pid}:
            replies.append(reply)
        elif isinstance(reply, Described):
            replies.append(Notification(reply))
    return tuple(replies)


def _echoed_deletes(
    datagram: bytes, family: int, reply_pid: int | None, replies: list[Reply]
) -> int:
    """Read the echoes of flow deletes that a datagram begins with; return where they end.

    They are the most frequent replies by far: by UFID, with statistics or, if the flow was never
    used, without. Whatever looks otherwise is left to the general way.
    """
    at = 0
    size = len(datagram)
    while size - at >= _ECHO_LENGTH:
        length, kind, _, seq, pid, cmd, _, _, dp_ifindex, ufid_header, ufid = _ECHO(datagram, at)
        if kind != family or ufid_header != _ECHOED_UFID or kind <= c.GENL_ID_CTRL:
            break
        if length == _ECHO_LENGTH:
            info = FlowInfo(seq, cmd, dp_ifindex, ufid)
        elif length in _USED_LENGTHS and length <= size - at:
            used_header, used, stats_header, packets, octets = _USED(datagram, at + _ECHO_LENGTH)
            flags = datagram[at + _USED_LENGTH : at + length - 3]
            if used_header != _ECHOED_USED or stats_header != _ECHOED_STATS:
                break
            if flags and flags[:4] != _ECHOED_FLAGS:
                break
            tcp_flags = flags[4] if flags else 0
            info = FlowInfo(
                seq, cmd, dp_ifindex, ufid, None, None, None, packets, octets, used, tcp_flags
            )
        else:
            break
        replies.append(info if reply_pid is None or pid == reply_pid else Notification(info))
        at += length
    return at


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
    if len(payload) < _I32.size:
        raise OdpError("a netlink status is cut short")
    errno: int = -_I32.unpack_from(payload)[0]
    if not 0 <= errno <= _MAX_ERRNO:
        raise OdpError(f"{errno} is no error number")
    return errno


def _decode_error(payload: bytes) -> NetlinkRefused | Acknowledged:
    errno = _errno(payload)
    if len(payload) < _I32.size + NLMSG_HEADER_LENGTH:
        raise OdpError("a netlink error does not quote its request")
    seq: int = NLMSG_HEADER.unpack_from(payload, _I32.size)[3]
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
        DatapathStats(*_numbers(_DP_STATS, a.get(c.OVS_DP_ATTR_STATS))),
        0 if features is None else read_u32(features),
        None if megaflows is None else MegaflowStats(*_numbers(_MEGAFLOW_STATS, megaflows)),
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
        VportStats(*_numbers(_VPORT_STATS, a.get(c.OVS_VPORT_ATTR_STATS))),
        None if dst_port is None else read_u16(dst_port),
        0 if ifindex is None else read_u32(ifindex),
    )


def _decode_flow(header: NetlinkHeader, dp_ifindex: int, a: _Attributes) -> FlowInfo:
    packets, size = _numbers(_FLOW_STATS, a.get(c.OVS_FLOW_ATTR_STATS)) or (0, 0)
    (used,) = _numbers(_U64, a.get(c.OVS_FLOW_ATTR_USED)) or (0,)
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
    if not 0 <= errno <= _MAX_ERRNO:
        raise OdpError(f"{errno} is no error number")
    length = NLMSG_HEADER_LENGTH + _I32.size + NLMSG_HEADER_LENGTH
    return b"".join(
        (
            NLMSG_HEADER.pack(length, c.NLMSG_ERROR, c.NLM_F_CAPPED, request.seq, pid),
            _I32.pack(-errno),
            request.quoted(),
        )
    )


def encode_done(seq: int, pid: int) -> bytes:
    """Return the NLMSG_DONE that ends a dump."""
    try:
        return NLMSG_HEADER.pack(20, c.NLMSG_DONE, c.NLM_F_MULTI, seq, pid) + _I32.pack(0)
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
                _DP_STATS.pack(stats.hits, stats.misses, stats.lost, stats.flows),
            ),
            b""
            if megaflows is None
            else attribute(
                c.OVS_DP_ATTR_MEGAFLOW_STATS,
                _MEGAFLOW_STATS.pack(megaflows.mask_lookups, megaflows.masks, megaflows.cache_hits),
            ),
            u32(c.OVS_DP_ATTR_USER_FEATURES, info.user_features),
        )
    )


def _vport(info: VportInfo) -> bytes:
    s = info.stats
    stats = _VPORT_STATS.pack(
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
        parts.append(attribute(c.OVS_FLOW_ATTR_USED, _U64.pack(info.used)))
    if info.packets or info.bytes:
        stats = _FLOW_STATS.pack(info.packets, info.bytes)
        parts.append(attribute(c.OVS_FLOW_ATTR_STATS, stats))
    if info.tcp_flags:
        parts.append(attribute(c.OVS_FLOW_ATTR_TCP_FLAGS, struct.pack("B", info.tcp_flags)))
    if info.actions is not None:
        parts.append(attribute(c.OVS_FLOW_ATTR_ACTIONS, info.actions))
    return b"".join(parts)
