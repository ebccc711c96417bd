"""Replies of a datapath: what they say, and the kernel's structures that they carry.

`reply_decoding` reads them for the agent's end, `reply_encoding` writes them for the soft datapath's.
"""

import struct
from typing import Final

from msgspec import Struct

DP_STATS: Final = struct.Struct("=4Q")
MEGAFLOW_STATS: Final = struct.Struct("=QI4xQ8x")
VPORT_STATS: Final = struct.Struct("=8Q")
FLOW_STATS: Final = struct.Struct("=2Q")
FLOW_USED: Final = struct.Struct("=Q")
STATUS: Final = struct.Struct("=i")
"""Minus an error number, or 0: of NLMSG_ERROR and NLMSG_DONE."""
MAX_ERRNO: Final = 4095


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
