"""The journal's format on disk, and its total, bounded reader.

A journal is a folder of segments, `00000001.journal` and on. A segment is a header and records:

    header   8 bytes magic "AYATORIJ", u16 version, u16 reserved, u32 CRC-32 of the 12 before
    record   u32 length of the body, u32 CRC-32 of the body, body
    body     one byte of kind, then msgpack

All numbers are little-endian. A segment begins with a RUN record (who wrote it, and the settings
that decisions depend on), SNAPSHOT records (one for the lane, one an actor) and a BEGIN record;
inputs, outputs and crashes follow in the lane's order; an END record closes it. A segment that
was not closed, since its writer was killed, ends at the first record that is not whole.
"""

import fnmatch
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAGIC: Final = b"AYATORIJ"
VERSION: Final = 1
HEADER: Final = struct.Struct("<8sHHI")
RECORD: Final = struct.Struct("<II")
MOST_BODY: Final = 256 * 1024 * 1024
"""A length above this is damage, not a record: the largest body is an actor's snapshot."""

KIND_RUN: Final = ord("R")
KIND_SNAPSHOT: Final = ord("S")
KIND_BEGIN: Final = ord("B")
KIND_INPUT: Final = ord("I")
KIND_OUTPUT: Final = ord("O")
KIND_NETLINK: Final = ord("N")
KIND_CUT: Final = ord("T")
KIND_CRASH: Final = ord("C")
KIND_END: Final = ord("E")


class JournalError(Exception):
    """A journal cannot be read, or not written; the message says which file and why."""


class JournalUnreadable(JournalError):  # noqa: N818 - it names the file's state
    """There is no such journal, or it may not be read."""


def header_bytes() -> bytes:
    """Return the header of a new segment."""
    head = HEADER.pack(MAGIC, VERSION, 0, 0)[:12]
    return head + zlib.crc32(head).to_bytes(4, "little")


def check_header(data: bytes | memoryview, name: str) -> None:
    """Raise JournalError unless `data` begins with the header of a segment of this version."""
    if len(data) < HEADER.size:
        raise JournalError(f"{name} is too short for a journal segment")
    magic, version, _, checksum = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise JournalError(f"{name} is no journal segment")
    if checksum != zlib.crc32(data[:12]):
        raise JournalError(f"{name} has a damaged header")
    if version != VERSION:
        raise JournalError(f"{name} has format {version}; this program reads {VERSION}")


def records(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (kind, body) of each whole record behind the header; end at the first that is not."""
    view = memoryview(data)
    position = HEADER.size
    end = len(view)
    while position + RECORD.size <= end:
        length, checksum = RECORD.unpack_from(view, position)
        position += RECORD.size
        if not 0 < length <= MOST_BODY or position + length > end:
            return
        body = view[position : position + length]
        if zlib.crc32(body) != checksum:
            return
        yield body[0], body[1:]
        position += length


def segments(path: Path) -> tuple[Path, ...]:
    """Return the segments of a journal folder in order, or the one segment that `path` is.

    Raises JournalError if there is none.
    """
    try:
        if path.is_file():
            return (path,)
        # Not by glob, for which a folder that may not be read is an empty one.
        names = fnmatch.filter((each.name for each in path.iterdir()), "[0-9]*.journal")
    except FileNotFoundError as error:
        raise JournalUnreadable(f"{path} does not exist") from error
    except OSError as error:
        raise JournalUnreadable(f"{path}: cannot be read: {error.strerror}") from error
    found = tuple(path / name for name in sorted(names))
    if not found:
        raise JournalError(f"{path} holds no journal segments")
    return found
