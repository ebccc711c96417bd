"""RequestBuffer: the preallocated buffer of the netlink broker, split into fixed-size chunks.

Requests are encoded in place, one behind the other, into the current chunk; a chunk goes out in
one send, when enough has gathered or the lane is idle. A chunk that the socket does not take
waits and is tried again; when all chunks wait, the newest requests are given up and reported.
Belongs to the edge: what the socket does comes back to the lane only as an input.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import Final

CHUNK_SIZE: Final = 128 * 1024
"""Bytes: room for the largest frame and its key and actions."""
CHUNKS: Final = 16
SEND_AT: Final = 3_100
"""Bytes gathered that are worth a send: about 20 small flow creates; larger gains little."""

_HEADER: Final = struct.Struct("=IHHI")
_RETRY: Final = frozenset({11, 105})
"""EAGAIN and ENOBUFS: the socket is full for now."""


class RequestBuffer:
    """See the module. `send` takes whole netlink messages and returns 0 or an errno."""

    def __init__(
        self,
        send: Callable[[memoryview], int],
        failed: Callable[[int, tuple[int, ...]], None],
        *,
        chunk_size: int = CHUNK_SIZE,
        chunks: int = CHUNKS,
        send_at: int = SEND_AT,
    ) -> None:
        self.buffer = bytearray(chunk_size * chunks)
        self.view = memoryview(self.buffer)
        self.sends = 0
        self._send = send
        self._failed = failed
        self.chunk_size: Final = chunk_size
        self._send_at = send_at
        self._free: deque[int] = deque(range(0, chunk_size * chunks, chunk_size))
        self._waiting: deque[tuple[int, int]] = deque()
        self._start = self._free.popleft()
        self.end = self._start
        """Offset in `buffer` of the next request, if it ends at or before `limit`."""
        self._set_limits()

    def _set_limits(self) -> None:
        self.limit = self._start + self.chunk_size
        self.send_from = self._start + self._send_at
        """Offset from which on what has gathered is worth a send."""
        self.room = min(self.limit, self.send_from)
        """A request that ends at or before this offset may be written without `reserve`."""

    def reserve(self, size: int) -> int:
        """Return an offset in `buffer` at which `size` bytes may be written, or -1 if never."""
        if size > self.chunk_size:
            return -1
        if self.end + size > self.limit:
            self._finish_chunk()
        return self.end

    def commit(self, end: int) -> None:
        """Take in a request that was written and ends at `end`."""
        self.end = end
        if end >= self.send_from:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered."""
        if self._waiting and not self._retry():
            return
        start, end = self._start, self.end
        if end == start:
            return
        error = self._send(self.view[start:end])
        self.sends += 1
        if error == 0:
            self.end = start
        elif error in _RETRY:
            self._finish_chunk()
        else:
            self.end = start
            self._failed(error, self._sequences(start, end))

    def discard(self) -> None:
        """Forget everything that has not been sent: its datapath is gone."""
        for start, _ in self._waiting:
            self._free.append(start)
        self._waiting.clear()
        self.end = self._start

    def _retry(self) -> bool:
        """Send the chunks that wait, oldest first; return whether none is left."""
        while self._waiting:
            start, end = self._waiting[0]
            error = self._send(self.view[start:end])
            self.sends += 1
            if error in _RETRY:
                return False
            if error:
                self._failed(error, self._sequences(start, end))
            self._waiting.popleft()
            self._free.append(start)
        return True

    def _finish_chunk(self) -> None:
        """Put the current chunk behind those that wait; begin another."""
        start, end = self._start, self.end
        if self._retry() and end > start:
            error = self._send(self.view[start:end])
            self.sends += 1
            if error == 0:
                self.end = start
                return
        if not self._free:
            self.end = start
            self._failed(105, self._sequences(start, end))
            return
        self._waiting.append((start, end))
        self._start = self.end = self._free.popleft()
        self._set_limits()

    def _sequences(self, start: int, end: int) -> tuple[int, ...]:
        """Return the sequence numbers of the messages between two offsets."""
        found = []
        while start < end:
            length, _, _, sequence = _HEADER.unpack_from(self.buffer, start)
            found.append(sequence)
            start += (length + 3) & ~3
        return tuple(found)
