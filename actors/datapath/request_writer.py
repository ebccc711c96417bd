"""RequestWriter: writes the requests of the packet path in place into the broker's buffer.

A request is a form and what differs: everything that repeats (headers, mask and actions with
their attributes) is encoded once for each combination of lengths, mask and actions, then one
Struct lays it out with the number, the key, the frame. The forms are bounded; when too many have
gathered, all are forgotten. Requests are written many at a time, since a call for each would cost
as much as the writing; for one alone, zip's keyword would. What is written is recorded before the
buffer may send it.
"""

import struct
from collections.abc import Callable, Sequence
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
_NUMBER: Final = 8
"""Bytes of a flow's number, the second half of its UFID."""

_HEAD = struct.Struct("=IHH").pack
_TARGET = struct.Struct("=IBBHi").pack
_ATTRIBUTE = struct.Struct("=HH").pack
_OMIT_ALL: Final = c.OVS_UFID_F_OMIT_KEY | c.OVS_UFID_F_OMIT_MASK | c.OVS_UFID_F_OMIT_ACTIONS

_PackInto = Callable[..., None]
_Form = tuple[_PackInto, int, bytes, bytes, bytes]
"""How to lay a request out, its length; its first 8 bytes, from its port id to the key, and what
is behind the key."""

Record = Callable[[memoryview, int], None]
"""Takes requests that were written one behind the other, and how long the frame at their end is:
a request with a frame comes alone."""


class RequestWriter:
    """See the module. For one datapath; the flows' UFIDs begin with `epoch`, 64 bits.

    Raises OdpError if the datapath's numbers are out of range.
    """

    __slots__ = (
        "_creates", "_delete_head", "_delete_middle", "_dp_ifindex", "_executes", "_families",
        "_record", "_requests", "_ufid",
    )  # fmt: skip

    def __init__(
        self,
        requests: RequestBuffer,
        families: Families,
        dp_ifindex: int,
        epoch: int,
        record: Record | None = None,
    ) -> None:
        self._requests = requests
        self._families = families
        self._dp_ifindex = dp_ifindex
        self._record = record
        flags = c.NLM_F_REQUEST | c.NLM_F_ECHO
        try:
            self._ufid = _ATTRIBUTE(4 + c.UFID_LENGTH, c.OVS_FLOW_ATTR_UFID) + epoch.to_bytes(8)
            self._delete_head = _HEAD(_DELETE_LENGTH, families.flow, flags)
            target = _TARGET(0, c.OVS_FLOW_CMD_DEL, c.OVS_FLOW_VERSION, 0, dp_ifindex)
            _HEAD(0, families.packet, 0)
        except (struct.error, OverflowError) as error:
            raise OdpError(f"the datapath's numbers are out of range: {error}") from error
        self._delete_middle = target + _OMITTED + self._ufid
        self._creates: dict[tuple[int, bytes, bytes], _Form] = {}
        self._executes: dict[tuple[int, bytes, int], _Form] = {}

    def flow_creates(
        self, flows: Sequence[int], raw_keys: Sequence[bytes], mask: bytes, actions: bytes
    ) -> bool:
        """Write an OVS_FLOW_CMD_NEW (KEY, MASK, ACTIONS, UFID) for each flow, not acknowledged.

        `flows` are their numbers. Keys, mask and actions are attribute payloads, so their lengths
        are multiples of 4; the keys must all have the same. Returns False, and writes nothing, if
        such flows cannot be expressed or are larger than a chunk.
        """
        which = len(raw_keys[0]), mask, actions
        form = self._creates.get(which) or self._create_form(which)
        if form is None:
            return False
        pack_into, length, head, middle, behind = form
        requests = self._requests
        buffer = requests.buffer
        begin = end = requests.end
        room = requests.room
        for flow, raw_key in zip(flows, raw_keys):  # noqa: B905 - see the module
            start = end
            end += length
            if end > room:
                begin = start = self._behind(begin, start, length)
                end, room = start + length, requests.room
            pack_into(
                buffer, start,
                head, CREATE_BITS | (flow & NUMBER_MASK), middle, raw_key, behind, flow,
            )  # fmt: skip
        if self._record is not None:
            self._record(requests.view[begin:end], 0)
        requests.end = end
        if end >= requests.send_from:
            requests.flush()
        return True

    def flow_deletes(self, flows: Sequence[int]) -> None:
        """Write OVS_FLOW_CMD_DEL by UFID for each flow, echoed for its statistics and no more."""
        requests = self._requests
        buffer = requests.buffer
        begin = end = requests.end
        room = requests.room
        head, middle = self._delete_head, self._delete_middle
        for flow in flows:
            start = end
            end += _DELETE_LENGTH
            if end > room:
                begin = start = self._behind(begin, start, _DELETE_LENGTH)
                end, room = start + _DELETE_LENGTH, requests.room
            _DELETE(buffer, start, head, DELETE_BITS | (flow & NUMBER_MASK), middle, flow)
        self._written(begin, end)

    def packet_executes(
        self,
        first: int,
        raw_keys: Sequence[bytes],
        actions: Sequence[bytes],
        frames: Sequence[bytes],
    ) -> int:
        """Write an OVS_PACKET_CMD_EXECUTE (KEY, ACTIONS, PACKET) for each packet, in their order.

        They are numbered from `first` on. A message's length has its frame's padding. Returns how
        many cannot be expressed or are larger than a chunk, which are not written.
        """
        requests, record = self._requests, self._record
        buffer = requests.buffer
        begin = end = requests.end
        room = requests.room
        actions_before = None
        key_length = frame_length = -1
        refused = 0
        number = first
        for raw_key, todo, frame in zip(raw_keys, actions, frames):  # noqa: B905 - as above
            # Most often a packet is of the same form as the one before it.
            if (
                todo is not actions_before
                or len(frame) != frame_length
                or len(raw_key) != key_length
            ):
                which = len(raw_key), todo, len(frame)
                form = self._executes.get(which) or self._execute_form(which)
                if form is None:
                    refused += 1
                    actions_before = None
                    continue
                key_length, actions_before, frame_length = which
                pack_into, length, head, middle, behind = form
            start = end
            end += length
            if end > room:
                begin = start = self._behind(begin, start, length)
                end, room = start + length, requests.room
            pack_into(
                buffer, start,
                head, EXECUTE_BITS | (number & NUMBER_MASK), middle, raw_key, behind, frame,
            )  # fmt: skip
            number += 1
            if record is not None:
                record(requests.view[start:end], frame_length)
                begin = end
        requests.end = end
        if end >= requests.send_from:
            requests.flush()
        return refused

    def _written(self, begin: int, end: int) -> None:
        """Record what was written between two offsets, and let the buffer have it."""
        if begin < end and self._record is not None:
            self._record(self._requests.view[begin:end], 0)
        self._requests.commit(end)

    def _behind(self, begin: int, end: int, length: int) -> int:
        """Return where the next request begins, what is before it having been dealt with."""
        self._written(begin, end)
        return self._requests.reserve(length)

    def _create_form(self, which: tuple[int, bytes, bytes]) -> _Form | None:
        """Make a form for flow creates; return None if there can be none."""
        key_length, mask, actions = which
        if (key_length | len(mask) | len(actions)) & 3:
            return None
        try:
            behind = b"".join(
                (
                    attribute(c.OVS_FLOW_ATTR_MASK, mask),
                    attribute(c.OVS_FLOW_ATTR_ACTIONS, actions),
                    self._ufid,
                )
            )
            before = _TARGET(
                0, c.OVS_FLOW_CMD_NEW, c.OVS_FLOW_VERSION, 0, self._dp_ifindex
            ) + _header(c.OVS_FLOW_ATTR_KEY, key_length)
        except OdpError:
            return None
        length = _HEADERS + 4 + key_length + len(behind) + _NUMBER
        if length > self._requests.chunk_size:
            return None
        head = _HEAD(length, self._families.flow, c.NLM_F_REQUEST | c.NLM_F_CREATE)
        form = _create_layout(key_length, len(behind)), length, head, before, behind
        if len(self._creates) >= MOST_FORMS:
            self._creates.clear()
        self._creates[which] = form
        return form

    def _execute_form(self, which: tuple[int, bytes, int]) -> _Form | None:
        """Make a form for packet executes; return None if there can be none."""
        key_length, actions, frame_length = which
        if (key_length | len(actions)) & 3:
            return None
        try:
            behind = attribute(c.OVS_PACKET_ATTR_ACTIONS, actions) + _header(
                c.OVS_PACKET_ATTR_PACKET, frame_length
            )
            before = _TARGET(
                0, c.OVS_PACKET_CMD_EXECUTE, c.OVS_PACKET_VERSION, 0, self._dp_ifindex
            ) + _header(c.OVS_PACKET_ATTR_KEY, key_length)
        except OdpError:
            return None
        padded = (frame_length + 3) & ~3
        length = _HEADERS + 4 + key_length + len(behind) + padded
        if length > self._requests.chunk_size:
            return None
        head = _HEAD(length, self._families.packet, c.NLM_F_REQUEST)
        form = _execute_layout(key_length, len(behind), padded), length, head, before, behind
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


@lru_cache(_MOST_LAYOUTS)
def _create_layout(key: int, behind: int) -> _PackInto:
    return struct.Struct(f"=8sI16s{key}s{behind}sQ").pack_into


@lru_cache(_MOST_LAYOUTS)
def _execute_layout(key: int, behind: int, padded_frame: int) -> _PackInto:
    # Struct fills up with zeros what is shorter than its place: that is the frame's padding.
    return struct.Struct(f"=8sI16s{key}s{behind}s{padded_frame}s").pack_into


_OMITTED: Final = attribute(c.OVS_FLOW_ATTR_UFID_FLAGS, struct.pack("=I", _OMIT_ALL))
_DELETE_LENGTH: Final = _HEADERS + len(_OMITTED) + 4 + c.UFID_LENGTH
_DELETE = struct.Struct("=8sI32sQ").pack_into
