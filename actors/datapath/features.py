"""Features: what a datapath offers of all that this agent can use, and what it cannot do without.

Found out before anything relies on it: some from how the datapath describes itself, some by a
flow that is made to see what becomes of it, as ovs-vswitchd does (ofproto-dpif's check_ufid(),
dpif_probe_feature()). That flow matches no packet, since it asks for a port number that none has;
it carries OVS_FLOW_ATTR_PROBE, which keeps the kernel from logging a refusal, and is removed at
once. Flows that an earlier agent left are not touched.
"""

import os
import struct
from typing import Final, Literal

from msgspec import Struct

from actors.datapath.dialogue import DatapathUnavailableError, Dialogue
from actors.datapath.odp import constants as c
from actors.datapath.odp.actions import SetEthernet, encode_actions
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.replies import FlowInfo, NetlinkRefused
from actors.datapath.odp.requests import DeleteFlow, GetFlow, NewFlow

ENOENT, EEXIST, EINVAL = 2, 17, 22

_NOBODY: Final = bytes.fromhex("02fffffffffe")
_KEY: Final = b"".join(
    (
        # The highest that there may be (DP_MAX_PORTS - 1); ports get the lowest that are free.
        attribute(c.OVS_KEY_ATTR_IN_PORT, struct.pack("=I", 65_534)),
        attribute(c.OVS_KEY_ATTR_ETHERNET, _NOBODY + _NOBODY),
        attribute(c.OVS_KEY_ATTR_ETHERTYPE, struct.pack(">H", 0x88B5)),  # local experiments
    )
)
_MASK: Final = b"".join(
    (
        attribute(c.OVS_KEY_ATTR_IN_PORT, b"\xff" * 4),
        attribute(c.OVS_KEY_ATTR_ETHERNET, bytes(6) + b"\xff" * 6),
        attribute(c.OVS_KEY_ATTR_ETHERTYPE, b"\xff" * 2),
    )
)
_UFID: Final = b"ayatori's probe."
_OMIT_ALL: Final = c.OVS_UFID_F_OMIT_KEY | c.OVS_UFID_F_OMIT_MASK | c.OVS_UFID_F_OMIT_ACTIONS
_REWRITE: Final = encode_actions((SetEthernet(dst=_NOBODY),))

_REQUIRED: Final = {
    "megaflows": "flows with masks (megaflows)",
    "ufids": "unique identifiers of flows",
    "masked_rewrites": "rewrites under a mask",
}


class MissingFeatureError(DatapathUnavailableError):
    """The datapath lacks what the agent cannot do without; the message names it."""


class Features(Struct, frozen=True):
    """What a datapath offers, or what was agreed on with it."""

    megaflows: bool
    """Flows with masks; the datapath counts them (OVS_DP_ATTR_MEGAFLOW_STATS)."""
    ufids: bool
    """Flows are told apart by identifiers of ours, and replies leave out what is not asked for."""
    masked_rewrites: bool
    """OVS_ACTION_ATTR_SET_MASKED."""
    unaligned: bool
    """Upcalls come without padding behind the packet (OVS_DP_F_UNALIGNED)."""
    upcalls: Literal["cpu", "port", "shared"] = "port"
    """A socket for each CPU, for each port, or one for all."""


def require(features: Features) -> None:
    """Raise MissingFeatureError if the agent cannot do with these."""
    missing = [text for name, text in _REQUIRED.items() if not getattr(features, name)]
    if missing:
        raise MissingFeatureError(
            f"the datapath lacks {', '.join(missing)}: use a newer kernel, or the soft datapath"
        )


class FlowProbe:
    """Finds out what a datapath can do with flows. Each call leaves the datapath as it was.

    Raises DatapathUnavailableError if the datapath refuses for other reasons.
    """

    def __init__(self, dialogue: Dialogue, dp_ifindex: int) -> None:
        self._dialogue = dialogue
        self._dp_ifindex = dp_ifindex

    def ufids(self) -> bool:
        """Tell whether a flow is found by the identifier that we give it, and told without a key."""
        refused = self._make(b"")
        if refused == EEXIST:
            return self._knows_of_ufids()
        if refused:
            raise _refusal(refused)
        found = self._dialogue.ask(
            # With its key, by which it is found where the identifier is not understood.
            GetFlow(self._dp_ifindex, _UFID, _KEY, _OMIT_ALL, probe=True)
        )
        self._remove()
        return isinstance(found, FlowInfo) and found.ufid == _UFID and found.raw_key is None

    def masked_rewrites(self) -> bool:
        """Tell whether a flow may rewrite a header under a mask."""
        refused = self._make(_REWRITE)
        if not refused:
            self._remove()
        elif refused == EEXIST:
            return self._knows_of_ufids()  # both came with Linux 4.0
        elif refused != EINVAL:
            raise _refusal(refused)
        return not refused

    def _make(self, actions: bytes) -> int:
        """Make the flow; return 0 or an errno."""
        refused = self._ask_to_make(actions)
        if refused == EEXIST:
            self._remove()  # of an agent that was killed at this very place
            refused = self._ask_to_make(actions)
        return refused

    def _ask_to_make(self, actions: bytes) -> int:
        body = NewFlow(self._dp_ifindex, _KEY, actions, _MASK, _UFID, probe=True)
        reply = self._dialogue.ask(body, c.NLM_F_CREATE | c.NLM_F_ACK)
        return reply.errno if isinstance(reply, NetlinkRefused) else 0

    def _remove(self) -> None:
        # Never without the key: where identifiers are not understood that would take all flows.
        body = DeleteFlow(self._dp_ifindex, _UFID, _KEY, probe=True)
        reply = self._dialogue.ask(body, c.NLM_F_ACK)
        if isinstance(reply, NetlinkRefused) and reply.errno != ENOENT:
            raise _refusal(reply.errno)

    def _knows_of_ufids(self) -> bool:
        """Tell by how it misses a flow: somebody's flow matches everything, ours included."""
        reply = self._dialogue.ask(GetFlow(self._dp_ifindex, _UFID, probe=True))
        return isinstance(reply, NetlinkRefused) and reply.errno == ENOENT


def _refusal(errno: int) -> DatapathUnavailableError:
    return DatapathUnavailableError(f"the datapath takes no flows: {os.strerror(errno)}")
