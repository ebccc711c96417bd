"""RequestWriter: writes the requests of the packet path in place into the broker's buffer.

A request is a form and what differs: everything that repeats (headers, mask and actions with
their attributes) is encoded once for each combination of lengths, mask and actions, then one
Struct lays it out with the number, the key, the frame. The forms are bounded; when too many have
gathered, all are forgotten. What is written is recorded before the buffer may send it.
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
"""Takes a request that was written, and how long the frame at its end is."""


class RequestWriter:
    """See the module. For one datapath; the flows' UFIDs begin with `epoch`, 64 bits.

    Each method raises OdpError, and writes nothing, if a request cannot be expressed or is larger
    than a chunk.
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

    def flow_create(self, flow: int, raw_key: bytes, mask: bytes, actions: bytes) -> None:
        """Write OVS_FLOW_CMD_NEW (attributes KEY, MASK, ACTIONS, UFID), not acknowledged.

        `raw_key`, `mask` and `actions` are attribute payloads, so their lengths are multiples
        of 4.
        """
        which = len(raw_key), mask, actions
        form = self._creates.get(which)
        if form is None:
            form = self._create_form(which)
        pack_into, length, head, middle, behind = form
        requests = self._requests
        start = requests.end
        end = start + length
        if end > requests.limit:
            start = self._elsewhere(length)
            end = start + length
        pack_into(
            requests.buffer, start,
            head, CREATE_BITS | (flow & NUMBER_MASK), middle, raw_key, behind, flow,
        )  # fmt: skip
        if self._record is not None:
            self._record(requests.view[start:end], 0)
        requests.end = end
        if end >= requests.send_from:
            requests.flush()

    def flow_delete(self, flow: int) -> None:
        """Write OVS_FLOW_CMD_DEL by UFID, echoed for its statistics and nothing else."""
        requests = self._requests
        start = requests.end
        end = start + _DELETE_LENGTH
        if end > requests.limit:
            start = self._elsewhere(_DELETE_LENGTH)
            end = start + _DELETE_LENGTH
        _DELETE(
            requests.buffer, start,
            self._delete_head, DELETE_BITS | (flow & NUMBER_MASK), self._delete_middle, flow,
        )  # fmt: skip
        if self._record is not None:
            self._record(requests.view[start:end], 0)
        requests.end = end
        if end >= requests.send_from:
            requests.flush()

    def packet_execute(self, number: int, raw_key: bytes, actions: bytes, frame: bytes) -> None:
        """Write OVS_PACKET_CMD_EXECUTE (attributes KEY, ACTIONS, PACKET).

        The message's length has the frame's padding.
        """
        which = len(raw_key), actions, len(frame)
        form = self._executes.get(which)
        if form is None:
            form = self._execute_form(which)
        pack_into, length, head, middle, behind = form
        requests = self._requests
        start = requests.end
        end = start + length
        if end > requests.limit:
            start = self._elsewhere(length)
            end = start + length
        pack_into(
            requests.buffer, start,
            head, EXECUTE_BITS | (number & NUMBER_MASK), middle, raw_key, behind, frame,
        )  # fmt: skip
        if self._record is not None:
            self._record(requests.view[start:end], len(frame))
        requests.end = end
        if end >= requests.send_from:
            requests.flush()

    def _elsewhere(self, length: int) -> int:
        """Return where a request begins that does not fit behind the last one."""
        start = self._requests.reserve(length)
        if start < 0:
            raise OdpError(f"a request of {length} bytes is larger than a chunk")
        return start

    def _create_form(self, which: tuple[int, bytes, bytes]) -> _Form:
        key_length, mask, actions = which
        if (key_length | len(mask) | len(actions)) & 3:
            raise OdpError("a flow's key, mask or actions are no whole attributes")
        behind = b"".join(
            (
                attribute(c.OVS_FLOW_ATTR_MASK, mask),
                attribute(c.OVS_FLOW_ATTR_ACTIONS, actions),
                self._ufid,
            )
        )
        length = _HEADERS + 4 + key_length + len(behind) + _NUMBER
        form = (
            _create_layout(key_length, len(behind)),
            length,
            _HEAD(length, self._families.flow, c.NLM_F_REQUEST | c.NLM_F_CREATE),
            _TARGET(0, c.OVS_FLOW_CMD_NEW, c.OVS_FLOW_VERSION, 0, self._dp_ifindex)
            + _header(c.OVS_FLOW_ATTR_KEY, key_length),
            behind,
        )
        if len(self._creates) >= MOST_FORMS:
            self._creates.clear()
        self._creates[which] = form
        return form

    def _execute_form(self, which: tuple[int, bytes, int]) -> _Form:
        key_length, actions, frame_length = which
        if (key_length | len(actions)) & 3:
            raise OdpError("an execute's key or actions are no whole attributes")
        behind = attribute(c.OVS_PACKET_ATTR_ACTIONS, actions) + _header(
            c.OVS_PACKET_ATTR_PACKET, frame_length
        )
        padded = (frame_length + 3) & ~3
        length = _HEADERS + 4 + key_length + len(behind) + padded
        form = (
            _execute_layout(key_length, len(behind), padded),
            length,
            _HEAD(length, self._families.packet, c.NLM_F_REQUEST),
            _TARGET(0, c.OVS_PACKET_CMD_EXECUTE, c.OVS_PACKET_VERSION, 0, self._dp_ifindex)
            + _header(c.OVS_PACKET_ATTR_KEY, key_length),
            behind,
        )
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
