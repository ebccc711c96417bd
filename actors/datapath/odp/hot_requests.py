"""The requests of the packet path, written in place into the broker's buffer.

Each function returns where its message ends, or raises OdpError and leaves the buffer as it
was when the message does not fit. Keys, masks and actions come encoded, so whatever repeats is
encoded once.
"""

import struct
from typing import Final

from actors.datapath.odp import constants as c
from actors.datapath.odp.errors import OdpError

_HEADER = "IHHIIBBHi"
_CREATE = struct.Struct(f"={_HEADER}HH16sHH")
_DELETE = struct.Struct(f"={_HEADER}HH16sHHI")
_EXECUTE = struct.Struct(f"={_HEADER}HH")
_ATTRIBUTE = struct.Struct("=HH")

_OMIT_ALL: Final = c.OVS_UFID_F_OMIT_KEY | c.OVS_UFID_F_OMIT_MASK | c.OVS_UFID_F_OMIT_ACTIONS
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


def write_flow_create(  # noqa: PLR0913 - the fields of one message
    buffer: bytearray | memoryview, offset: int, *,
    family: int, seq: int, pid: int, dp_ifindex: int, ufid: bytes,
    raw_key: bytes, mask: bytes, actions: bytes, flags: int = c.NLM_F_REQUEST | c.NLM_F_CREATE,
) -> int:  # fmt: skip
    """Write OVS_FLOW_CMD_NEW (attributes UFID, KEY, MASK, ACTIONS) at `offset`.

    `ufid` has 16 bytes; `raw_key`, `mask` and `actions` are attribute payloads, so their
    lengths are multiples of 4.
    """
    key_length = len(raw_key)
    mask_length = len(mask)
    actions_length = len(actions)
    length = _CREATE.size + 8 + key_length + mask_length + actions_length
    end = offset + length
    if (key_length | mask_length | actions_length) & 3 or len(ufid) != c.UFID_LENGTH:
        raise OdpError("a flow's key, mask or actions are no whole attributes, or its ufid short")
    if end > len(buffer) or offset < 0:
        raise OdpError(f"a message of {length} bytes does not fit its buffer")
    try:
        buffer[offset:end] = b"".join(
            (
                _CREATE.pack(
                    length, family, flags, seq, pid,
                    c.OVS_FLOW_CMD_NEW, c.OVS_FLOW_VERSION, 0, dp_ifindex,
                    20, c.OVS_FLOW_ATTR_UFID, ufid, key_length + 4, c.OVS_FLOW_ATTR_KEY,
                ),
                raw_key,
                _ATTRIBUTE.pack(mask_length + 4, c.OVS_FLOW_ATTR_MASK),
                mask,
                _ATTRIBUTE.pack(actions_length + 4, c.OVS_FLOW_ATTR_ACTIONS),
                actions,
            )
        )  # fmt: skip
    except struct.error as error:
        raise OdpError(f"a flow request's field is out of range: {error}") from error
    return end


def write_flow_delete(
    buffer: bytearray | memoryview, offset: int, *,
    family: int, seq: int, pid: int, dp_ifindex: int, ufid: bytes,
) -> int:  # fmt: skip
    """Write OVS_FLOW_CMD_DEL by UFID, echoed for its statistics without key, mask and actions."""
    end = offset + _DELETE.size
    if end > len(buffer) or offset < 0:
        raise OdpError(f"a message of {_DELETE.size} bytes does not fit its buffer")
    if len(ufid) != c.UFID_LENGTH:
        raise OdpError(f"a ufid of {len(ufid)} bytes is none of ours")
    try:
        _DELETE.pack_into(
            buffer, offset,
            _DELETE.size, family, c.NLM_F_REQUEST | c.NLM_F_ECHO, seq, pid,
            c.OVS_FLOW_CMD_DEL, c.OVS_FLOW_VERSION, 0, dp_ifindex,
            20, c.OVS_FLOW_ATTR_UFID, ufid, 8, c.OVS_FLOW_ATTR_UFID_FLAGS, _OMIT_ALL,
        )  # fmt: skip
    except struct.error as error:
        raise OdpError(f"a flow request's field is out of range: {error}") from error
    return end


def write_packet_execute(  # noqa: PLR0913 - the fields of one message
    buffer: bytearray | memoryview, offset: int, *,
    family: int, seq: int, pid: int, dp_ifindex: int,
    raw_key: bytes, actions: bytes, frame: bytes,
) -> int:  # fmt: skip
    """Write OVS_PACKET_CMD_EXECUTE (attributes KEY, ACTIONS, PACKET) at `offset`.

    The end returned is behind the frame's padding, where the next message may begin; the
    message's own length has the padding too.
    """
    key_length = len(raw_key)
    actions_length = len(actions)
    frame_length = len(frame)
    padding = _PADDING[frame_length & 3]
    length = _EXECUTE.size + 8 + key_length + actions_length + frame_length + len(padding)
    end = offset + length
    if (key_length | actions_length) & 3:
        raise OdpError("an execute's key or actions are no whole attributes")
    if end > len(buffer) or offset < 0:
        raise OdpError(f"a message of {length} bytes does not fit its buffer")
    try:
        buffer[offset:end] = b"".join(
            (
                _EXECUTE.pack(
                    length, family, c.NLM_F_REQUEST, seq, pid,
                    c.OVS_PACKET_CMD_EXECUTE, c.OVS_PACKET_VERSION, 0, dp_ifindex,
                    key_length + 4, c.OVS_PACKET_ATTR_KEY,
                ),
                raw_key,
                _ATTRIBUTE.pack(actions_length + 4, c.OVS_PACKET_ATTR_ACTIONS),
                actions,
                _ATTRIBUTE.pack(frame_length + 4, c.OVS_PACKET_ATTR_PACKET),
                frame,
                padding,
            )
        )  # fmt: skip
    except struct.error as error:
        raise OdpError(f"an execute's field is out of range: {error}") from error
    return end
