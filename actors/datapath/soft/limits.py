"""The bounds of the soft datapath, each with its reason."""

from typing import Final

MAX_FLOWS: Final = 200_000
"""About 1 KB each; a further flow is refused with ENOSPC."""
MAX_MASKS: Final = 256
"""A lookup that misses visits every mask; a flow with a further mask is refused with EFBIG."""
MAX_PORTS: Final = 65_535
"""DP_MAX_PORTS - 1 of net/openvswitch/datapath.h; more are refused with EFBIG."""
MAX_DATAPATHS: Final = 16
"""An agent has one; a further datapath is refused with EMFILE."""
RECENT_FLOWS: Final = 8_192
"""Exact keys whose flow is remembered; when full, all are forgotten."""
FRAMES_PER_TURN: Final = 32
"""Frames read from one port before the next port has its turn."""
REQUESTS_PER_TURN: Final = 16
"""Request datagrams handled before frames have their turn."""
REPLY_BYTES: Final = 16_384
"""Replies to one datagram of requests are joined up to this size, as a netlink dump's skb is."""
UPCALLS_PER_SECOND: Final = 2_000
UPCALL_BURST: Final = 500
"""One port's share of the upcalls: an agent simulates some 10,000 packets a second."""
ALL_UPCALLS_PER_SECOND: Final = 10_000
ALL_UPCALLS_BURST: Final = 2_500
"""What all ports together may ask of the agent."""
SOCKET_BUFFER: Final = 8 << 20
"""Bytes asked of the kernel for a port's receive buffer: about 120 of the largest GSO frames."""
