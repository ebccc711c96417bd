"""JournalWriter: writes down what enters and leaves a lane, before it takes effect.

A segment is a file of its full size mapped into memory: appending is a copy into the page cache,
which a killed process leaves behind whole, and costs no system call. Space is reserved when the
segment is opened, so that a full disk is an error there and not a SIGBUS later. Segments rotate
by size and age; the oldest are deleted. Files are readable by their owner only.
"""

import errno
import mmap
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.lane_boundary import Snapshot
from actors.messages.packet_in import PacketIn
from actors.messages.stored import Input, Output
from actors.state.journal_format import (
    HEADER,
    KIND_BEGIN,
    KIND_CRASH,
    KIND_CUT,
    KIND_END,
    KIND_INPUT,
    KIND_NETLINK,
    KIND_OUTPUT,
    KIND_RUN,
    KIND_SNAPSHOT,
    RECORD,
    JournalError,
    header_bytes,
    segments,
)
from actors.values import SECOND, ActorName, Nanoseconds

LEAST_FRAME_LIMIT = 640
"""Bytes of a frame that a replay needs: Ethernet and VLAN headers and what an ICMP error quotes."""


class JournalSettings(msgspec.Struct, frozen=True):
    """Where and how much. Sizes in bytes, times in seconds."""

    directory: Path
    segment_size: int = 16 * 1024 * 1024
    segment_age: float = 3600.0
    keep_segments: int = 16
    frame_limit: int = 2048

    def __post_init__(self) -> None:
        if self.frame_limit < LEAST_FRAME_LIMIT:
            raise ValueError(f"frame_limit is at least {LEAST_FRAME_LIMIT}")
        if self.segment_size < 256 * 1024:
            raise ValueError("segment_size is at least 262144")
        if self.keep_segments < 2:
            raise ValueError("keep_segments is at least 2")


class Run(msgspec.Struct, frozen=True):
    """Who wrote a segment, and what replay must know to decide alike."""

    program: str
    host: str
    started: Nanoseconds
    """Tells runs apart: a restarted agent goes on in a new segment with another `started`."""
    frame_limit: int
    settings: msgspec.Raw
    """The agent's decision settings, see actors/host.py."""


class SegmentEnd(msgspec.Struct, frozen=True):
    """How a closed segment ended. `closing` is the CRC-32 of the lane's state, 0 if not taken."""

    inputs: int
    closing: int


class InputRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An input and whom it was for."""

    number: int
    to: ActorName
    message: Input


class CrashRecord(msgspec.Struct, frozen=True):
    """A crash of an actor, for people: replay does not compare it."""

    actor: ActorName
    message: str
    decision: str
    trace: str


class CutRecord(msgspec.Struct, frozen=True, array_like=True):
    """Follows a netlink request of whose frame the last `length` bytes were not kept."""

    length: int
    checksum: int


class JournalWriter:
    """See the module. One lane's thread uses it."""

    def __init__(self, settings: JournalSettings, run: Run) -> None:
        self._settings = settings
        self._run = run
        self._encoder = msgspec.msgpack.Encoder()
        self._encode = self._encoder.encode
        self._frame_limit = settings.frame_limit
        self._map: mmap.mmap | None = None
        self._path: Path | None = None
        self._position = 0
        self._room = 0
        self._rotate_at = Nanoseconds(0)
        self._inputs = 0
        self.records = 0
        """Records appended so far."""
        try:
            settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            existing = sorted(settings.directory.glob("[0-9]*.journal"))
            self._next = int(existing[-1].stem) + 1 if existing else 1
        except OSError as error:
            raise JournalError(f"journal folder {error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise JournalError(f"journal folder {settings.directory}: {error}") from error

    # --- actors.lane.Journal ------------------------------------------------------------------

    def begin_segment_if_due(self, at: Nanoseconds, snapshot: Callable[[], Snapshot]) -> None:
        """Start a new segment if there is none, or if the current one is full or old."""
        if self._position < self._room and at < self._rotate_at:
            return
        self._begin_segment(at, snapshot())

    def append_input(self, number: int, to: ActorName, message: Input) -> None:
        """Record an input; a long frame is cut to the limit."""
        if type(message) is PacketIn and len(message.frame) > self._frame_limit:
            message = _cut(message, self._frame_limit)
        self._inputs = number
        self._append(KIND_INPUT, self._encode(InputRecord(number, to, message)))

    def append_output(self, message: Output) -> None:
        """Record an output other than a netlink request."""
        self._append(KIND_OUTPUT, self._encode(message))

    def append_netlink(self, message: memoryview, frame_length: int, /) -> None:
        """Record netlink requests; a long frame at the end is cut to the limit."""
        if frame_length <= self._frame_limit:
            self._append(KIND_NETLINK, message)
            return
        # The frame is the last attribute: behind it stands its padding to four bytes.
        cut = frame_length + (-frame_length & 3) - self._frame_limit
        rest = message[len(message) - cut :]
        self._append(KIND_NETLINK, message[: len(message) - cut])
        self._append(KIND_CUT, self._encode(CutRecord(cut, zlib.crc32(rest))))

    def append_crash(self, actor: ActorName, kind: str, decision: str, trace: str) -> None:
        """Record a crash."""
        self._append(KIND_CRASH, self._encode(CrashRecord(actor, kind, decision, trace[-8192:])))

    # --- the segment --------------------------------------------------------------------------

    def close(self, snapshot: Snapshot | None = None) -> None:
        """Close the current segment, with the state's checksum where a snapshot is given."""
        if self._map is None:
            return
        closing = 0 if snapshot is None else state_checksum(snapshot)
        self._append(KIND_END, self._encode(SegmentEnd(self._inputs, closing)))
        self._finish()

    def _begin_segment(self, at: Nanoseconds, snapshot: Snapshot) -> None:
        if self._map is not None:
            self.close(snapshot)
        parts = [self._encode(part) for part in snapshot.actors]
        head = self._encode((snapshot.inputs, snapshot.policy, snapshot.faults))
        needed = sum(map(len, parts)) + len(head) + 64 * len(parts) + 4096
        size = max(self._settings.segment_size, 2 * needed)
        self._open(size)
        self._append(KIND_RUN, self._encode(self._run))
        self._append(KIND_SNAPSHOT, head)
        for part in parts:
            self._append(KIND_SNAPSHOT, part)
        self._append(KIND_BEGIN, self._encode(snapshot.inputs))
        self._rotate_at = Nanoseconds(at + int(self._settings.segment_age * SECOND))
        self._delete_old()

    def _open(self, size: int) -> None:
        path = self._settings.directory / f"{self._next:08d}.journal"
        try:
            self._create(path, size)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._give_up_oldest(path):
                raise JournalError(f"{path}: {error.strerror}") from error
            self._open(size)
            return
        self._next += 1
        self._path = path
        self._write_header(size)

    def _give_up_oldest(self, path: Path) -> bool:
        """Make room on a full disk by deleting the oldest segment, if there is one."""
        older = [p for p in self._settings.directory.glob("[0-9]*.journal") if p != path]
        if not older:
            return False
        min(older).unlink(missing_ok=True)
        return True

    def _create(self, path: Path, size: int) -> None:
        """Reserve and map a new file of `size` bytes; leave none behind if that fails."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
                self._map = mmap.mmap(handle, size)
            finally:
                os.close(handle)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _write_header(self, size: int) -> None:
        assert self._map is not None  # noqa: S101 - _create has just set it
        self._map[: HEADER.size] = header_bytes()
        self._position = HEADER.size
        # One input's records may still follow after this mark: they get an eighth of the segment,
        # and _append grows the file in the rare case that this is not enough.
        self._room = size - size // 8

    def _append(self, kind: int, body: bytes | memoryview) -> None:
        segment = self._map
        if segment is None:
            raise JournalError("a journal record before the first segment")
        position = self._position
        length = len(body) + 1
        end = position + 8 + length
        if end > len(segment):
            self._grow(end)
        head = _KIND_BYTES[kind]
        segment[position + 8 : position + 9] = head
        segment[position + 9 : end] = body
        RECORD.pack_into(segment, position, length, zlib.crc32(body, _KIND_CRCS[kind]))
        self._position = end
        self.records += 1

    def _grow(self, end: int) -> None:
        segment, path = self._map, self._path
        assert segment is not None and path is not None  # noqa: S101, PT018
        size = max(2 * len(segment), end + 4096)
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            segment.resize(size)
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from error

    def _finish(self) -> None:
        segment, path = self._map, self._path
        assert segment is not None and path is not None  # noqa: S101, PT018
        segment.close()  # the kernel writes it out in its own time: a lane does not wait for disks
        os.truncate(path, self._position)
        self._map = None
        self._position = self._room = 0

    def _delete_old(self) -> None:
        try:
            paths = segments(self._settings.directory)
            for path in paths[: -self._settings.keep_segments]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(f"{self._settings.directory}: {error.strerror}") from error


def state_checksum(snapshot: Snapshot) -> int:
    """Return a CRC-32 over the state of all actors."""
    checksum = zlib.crc32(snapshot.policy)
    for name, state in snapshot.actors:
        checksum = zlib.crc32(state, zlib.crc32(name.encode(), checksum))
    return checksum or 1


def _cut(packet: PacketIn, limit: int) -> PacketIn:
    frame = packet.frame
    return msgspec.structs.replace(
        packet,
        frame=frame[:limit],
        whole_length=len(frame),
        rest_checksum=zlib.crc32(frame[limit:]),
    )


_KIND_BYTES = {k: bytes([k]) for k in range(256)}
_KIND_CRCS = [zlib.crc32(bytes([k])) for k in range(256)]
