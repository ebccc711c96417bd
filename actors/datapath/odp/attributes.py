"""Netlink attributes: walking them and building them, every length checked before a slice.

An attribute is a 4-byte header in native byte order (length with header, type) and a payload
padded to 4 bytes; see nla_parse() in lib/nlattr.c.
"""

import struct
from collections.abc import Iterator
from typing import Final

from actors.datapath.odp.constants import NLA_TYPE_MASK
from actors.datapath.odp.errors import OdpError

NLA_HEADER = struct.Struct("=HH")
NLA_HEADER_LENGTH: Final = 4
NLA_MAX_LENGTH: Final = 0xFFFF
"""An attribute's length field has 16 bits."""

_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


def walk(raw: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Yield (type, payload start, payload end) of each attribute in raw[start:end].

    Types come without their flag bits. The last attribute may lack its padding, as the kernel
    allows. Raises OdpError at a length that does not fit.
    """
    if end is None:
        end = len(raw)
    while start < end:
        if end - start < NLA_HEADER_LENGTH:
            raise OdpError(f"{end - start} bytes are left behind the last attribute")
        length, kind = NLA_HEADER.unpack_from(raw, start)
        if length < NLA_HEADER_LENGTH or length > end - start:
            raise OdpError(f"attribute {kind & NLA_TYPE_MASK} claims {length} bytes")
        yield kind & NLA_TYPE_MASK, start + NLA_HEADER_LENGTH, start + length
        start += (length + 3) & ~3


def parse(raw: bytes, start: int = 0, end: int | None = None) -> dict[int, bytes]:
    """Return the payloads by type; of a repeated type the last counts, as in nla_parse()."""
    return {kind: raw[first:last] for kind, first, last in walk(raw, start, end)}


def attribute(kind: int, payload: bytes) -> bytes:
    """Return a whole attribute with its padding; OdpError if it is too long for one."""
    length = NLA_HEADER_LENGTH + len(payload)
    if length > NLA_MAX_LENGTH:
        raise OdpError(f"{len(payload)} bytes do not fit an attribute")
    return NLA_HEADER.pack(length, kind) + payload + _PADDING[length & 3]


def u32(kind: int, value: int) -> bytes:
    """Return an attribute that holds a native 32-bit number."""
    if not 0 <= value <= 0xFFFFFFFF:
        raise OdpError(f"{value} does not fit 32 bits")
    return attribute(kind, _U32.pack(value))


def u16(kind: int, value: int) -> bytes:
    """Return an attribute that holds a native 16-bit number."""
    if not 0 <= value <= 0xFFFF:
        raise OdpError(f"{value} does not fit 16 bits")
    return attribute(kind, _U16.pack(value))


def string(kind: int, text: str, limit: int) -> bytes:
    """Return an attribute that holds text and its NUL, at most `limit` bytes with it."""
    # Interface names are bytes to the kernel; what is no UTF-8 travels as surrogates.
    try:
        encoded = text.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise OdpError(f"{text!r} is no name") from error
    if not encoded or b"\0" in encoded or len(encoded) >= limit:
        raise OdpError(f"{text!r} is no name of 1 to {limit - 1} bytes")
    return attribute(kind, encoded + b"\0")


def read_u32(payload: bytes) -> int:
    """Read a native 32-bit number; OdpError unless it has exactly that size."""
    if len(payload) != 4:
        raise OdpError(f"a 32-bit attribute has {len(payload)} bytes")
    value: int = _U32.unpack(payload)[0]
    return value


def read_u16(payload: bytes) -> int:
    """Read a native 16-bit number; OdpError unless it has exactly that size."""
    if len(payload) != 2:
        raise OdpError(f"a 16-bit attribute has {len(payload)} bytes")
    value: int = _U16.unpack(payload)[0]
    return value


def read_string(payload: bytes, limit: int) -> str:
    """Read a name of at most `limit` bytes with its NUL; OdpError if it is none."""
    name = payload.removesuffix(b"\0")
    if not name or b"\0" in name or len(name) >= limit:
        raise OdpError("a name attribute is empty, too long or holds a NUL")
    return name.decode(errors="surrogateescape")
