"""RequestWriter: writes the requests of the packet path in place into the broker's buffer.

A request is a form and what differs: everything that repeats (headers, mask and actions with
their attributes) is encoded once for each combination of lengths, mask and actions, then one
Struct lays it out with the number, the flow's identity, key and frame. The forms are bounded;
when too many have gathered, all are forgotten. Never sends.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.sequence import CREATE_BITS, DELETE_BITS, EXECUTE_BITS, NUMBER_MASK

MOST_FORMS: Final = 4_096
"""Of each kind: more combinations of mask and actions than a host's flows take at one time."""
_MOST_LAYOUTS: Final = 4_096
_HEADERS: Final = 24
_UFID: Final = 20

_HEAD = struct.Struct("=IHH").pack
_TARGET = struct.Struct("=IBBHi").pack
_ATTRIBUTE = struct.Struct("=HH").pack
_OMIT_ALL: Final = c.OVS_UFID_F_OMIT_KEY | c.OVS_UFID_F_OMIT_MASK | c.OVS_UFID_F_OMIT_ACTIONS

_PackInto = Callable[..., None]
_Create = tuple[_PackInto, int, bytes, bytes, bytes]
"""How to lay it out, its length, its first 8 bytes, the key's header, all behind the key."""
_Execute = tuple[_PackInto, int, bytes, bytes, bytes]
"""Likewise, with the actions and the header of the frame behind the key."""


class RequestWriter:
    """See the module. For one datapath; the flows' UFIDs begin with `epoch`.

    Each method returns where the message ends that now stands at `requests.end`, for commit().
    Raises OdpError, and writes nothing, if a request cannot be expressed or is larger than a
    chunk.
    """

    def __init__(
        self, requests: RequestBuffer, families: Families, dp_ifindex: int, epoch: int
    ) -> None:
        self._requests = requests
        try:
            ufid = _ATTRIBUTE(_UFID, c.OVS_FLOW_ATTR_UFID) + epoch.to_bytes(8)
            create = _TARGET(0, c.OVS_FLOW_CMD_NEW, c.OVS_FLOW_VERSION, 0, dp_ifindex)
            delete = _TARGET(0, c.OVS_FLOW_CMD_DEL, c.OVS_FLOW_VERSION, 0, dp_ifindex)
            execute = _TARGET(0, c.OVS_PACKET_CMD_EXECUTE, c.OVS_PACKET_VERSION, 0, dp_ifindex)
            flags = c.NLM_F_REQUEST | c.NLM_F_ECHO
            self._delete_head = _HEAD(_DELETE_LENGTH, families.flow, flags)
            _HEAD(0, families.packet, 0)
        except (struct.error, OverflowError) as error:
            raise OdpError(f"the datapath's numbers are out of range: {error}") from error
        self._families = families
        self._create_target = create + ufid
        self._delete_target = delete + ufid
        self._execute_target = execute
        self._creates: dict[tuple[int, bytes, bytes], _Create] = {}
        self._executes: dict[tuple[int, bytes, int], _Execute] = {}

    def flow_create(self, flow: int, raw_key: bytes, mask: bytes, actions: bytes) -> int:
        """Write OVS_FLOW_CMD_NEW (attributes UFID, KEY, MASK, ACTIONS), not acknowledged.

        `raw_key`, `mask` and `actions` are attribute payloads, so their lengths are multiples
        of 4.
        """
        which = len(raw_key), mask, actions
        form = self._creates.get(which)
        if form is None:
            form = self._create_form(which)
        pack_into, length, head, key_header, behind = form
        requests = self._requests
        start = requests.end
        if start + length > requests.limit:
            start = requests.reserve(length)
            if start < 0:
                raise OdpError(f"a request of {length} bytes is larger than a chunk")
        pack_into(
            requests.buffer, start,
            head, CREATE_BITS | (flow & NUMBER_MASK), self._create_target, flow.to_bytes(8),
            key_header, raw_key, behind,
        )  # fmt: skip
        return start + length

    def flow_delete(self, flow: int) -> int:
        """Write OVS_FLOW_CMD_DEL by UFID, echoed for its statistics and nothing else."""
        requests = self._requests
        start = requests.end
        if start + _DELETE_LENGTH > requests.limit:
            start = requests.reserve(_DELETE_LENGTH)
            if start < 0:
                raise OdpError(f"a request of {_DELETE_LENGTH} bytes is larger than a chunk")
        _DELETE(
            requests.buffer, start,
            self._delete_head, DELETE_BITS | (flow & NUMBER_MASK), self._delete_target,
            flow.to_bytes(8), _OMITTED,
        )  # fmt: skip
        return start + _DELETE_LENGTH

    def packet_execute(self, number: int, raw_key: bytes, actions: bytes, frame: bytes) -> int:
        """Write OVS_PACKET_CMD_EXECUTE (attributes KEY, ACTIONS, PACKET).

        The message's length and the end returned have the frame's padding.
        """
        which = len(raw_key), actions, len(frame)
        form = self._executes.get(which)
        if form is None:
            form = self._execute_form(which)
        pack_into, length, head, key_header, behind = form
        requests = self._requests
        start = requests.end
        if start + length > requests.limit:
            start = requests.reserve(length)
            if start < 0:
                raise OdpError(f"a request of {length} bytes is larger than a chunk")
        pack_into(
            requests.buffer, start,
            head, EXECUTE_BITS | (number & NUMBER_MASK), self._execute_target,
            key_header, raw_key, behind, frame,
        )  # fmt: skip
        return start + length

    def _create_form(self, which: tuple[int, bytes, bytes]) -> _Create:
        key_length, mask, actions = which
        if (key_length | len(mask) | len(actions)) & 3:
            raise OdpError("a flow's key, mask or actions are no whole attributes")
        behind = attribute(c.OVS_FLOW_ATTR_MASK, mask) + attribute(c.OVS_FLOW_ATTR_ACTIONS, actions)
        length = _HEADERS + _UFID + 4 + key_length + len(behind)
        head = _HEAD(length, self._families.flow, c.NLM_F_REQUEST | c.NLM_F_CREATE)
        key_header = _header(c.OVS_FLOW_ATTR_KEY, key_length)
        form = _create_layout(key_length, len(behind)), length, head, key_header, behind
        if len(self._creates) >= MOST_FORMS:
            self._creates.clear()
        self._creates[which] = form
        return form

    def _execute_form(self, which: tuple[int, bytes, int]) -> _Execute:
        key_length, actions, frame_length = which
        if (key_length | len(actions)) & 3:
            raise OdpError("an execute's key or actions are no whole attributes")
        behind = attribute(c.OVS_PACKET_ATTR_ACTIONS, actions) + _header(
            c.OVS_PACKET_ATTR_PACKET, frame_length
        )
        padded = (frame_length + 3) & ~3
        length = _HEADERS + 4 + key_length + len(behind) + padded
        head = _HEAD(length, self._families.packet, c.NLM_F_REQUEST)
        key_header = _header(c.OVS_PACKET_ATTR_KEY, key_length)
        layout = _execute_layout(key_length, len(behind), padded)
        form = layout, length, head, key_header, behind
        if len(self._executes) >= MOST_FORMS:
            self._executes.clear()
        self._executes[which] = form
        return form


def _header(kind: int, length: int) -> bytes:
    """Return an attribute's header."""
    try:
        return _ATTRIBUTE(length + 4, kind)
    except struct.error as error:
        raise OdpError(f"{length} bytes do not fit an attribute") from error


# Struct zero-fills what is shorter than its place: a frame's padding comes by itself.


@lru_cache(_MOST_LAYOUTS)
def _create_layout(key: int, behind: int) -> _PackInto:
    return struct.Struct(f"=8sI24s8s4s{key}s{behind}s").pack_into


@lru_cache(_MOST_LAYOUTS)
def _execute_layout(key: int, behind: int, frame: int) -> _PackInto:
    return struct.Struct(f"=8sI12s4s{key}s{behind}s{frame}s").pack_into


_OMITTED: Final = attribute(c.OVS_FLOW_ATTR_UFID_FLAGS, struct.pack("=I", _OMIT_ALL))
_DELETE_LENGTH: Final = _HEADERS + _UFID + len(_OMITTED)
_DELETE = struct.Struct("=8sI24s8s8s").pack_into
