"""ReceiveMany: takes the datagrams that wait at a socket, many by one system call.

Owns the buffer they are received into, made once; belongs to one thread. recvmmsg(2) is reached
through ctypes; where the C library lacks it, each datagram takes a call of its own. Never looks
into what it receives.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from typing import Final

_MSG_WAITFORONE: Final = 0x10000
_WORD: Final = 4

_Receive = Callable[[int, object, int, int, None], int]


class _IoVector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    """struct msghdr as the C library on Linux has it."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_IoVector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Slot(ctypes.Structure):
    """struct mmsghdr: how one datagram is received, and how long it was."""

    _fields_ = (("header", _MessageHeader), ("received", ctypes.c_uint32))


def _library_function() -> _Receive | None:
    """Return the C library's recvmmsg, or None where it has none."""
    try:
        function = ctypes.CDLL(None, use_errno=True).recvmmsg
    except (AttributeError, OSError):
        return None
    function.argtypes = (
        ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p,
    )  # fmt: skip
    function.restype = ctypes.c_int
    receive: _Receive = function
    return receive


RECVMMSG: Final = _library_function()


class ReceiveMany:
    """See the module. Receives up to `most` datagrams at once, each of at most `size` bytes.

    `truncated` counts those that were longer; they are not returned.
    """

    def __init__(self, size: int, most: int, receive: _Receive | None = RECVMMSG) -> None:
        self.truncated = 0
        self.most: Final = most
        self._receive = receive
        self._kept: OSError | None = None
        self._buffer = bytearray(size * most)
        self._view = memoryview(self._buffer)
        self._first = self._view[:size]
        self._starts = range(0, size * most, size)
        self._slots = (_Slot * most)()
        self._vectors = (_IoVector * most)()
        begin = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        for start, slot, vector in zip(self._starts, self._slots, self._vectors, strict=True):
            vector.base = begin + start
            vector.length = size
            slot.header.vectors = ctypes.pointer(vector)
            slot.header.vector_count = 1
        # Read through a view: a field of a structure costs ten times as much.
        words = memoryview(self._slots).cast("B").cast("I")
        stride = ctypes.sizeof(_Slot) // _WORD
        self._lengths = words[_Slot.received.offset // _WORD :: stride]
        self._flags = words[_MessageHeader.flags.offset // _WORD :: stride]

    def __call__(self, endpoint: socket.socket, flags: int = 0) -> list[bytes]:
        """Block for a datagram, return it and what waits behind it, in order.

        An ended stream gives b"" in the list; [] means that all were truncated. Raises OSError as
        recv() does, BlockingIOError with MSG_DONTWAIT when none waits; an error behind the first
        datagram is kept for the next call.
        """
        receive = self._receive
        if receive is None:
            return self._one_by_one(endpoint, flags)
        flags |= _MSG_WAITFORONE
        count = receive(endpoint.fileno(), self._slots, self.most, flags, None)
        while count < 0:
            error = ctypes.get_errno()
            if error != errno.EINTR:
                raise OSError(error, os.strerror(error))
            count = receive(endpoint.fileno(), self._slots, self.most, flags, None)
        view = self._view
        received = [
            view[start : start + length].tobytes()
            for start, length in zip(self._starts, self._lengths[:count].tolist(), strict=False)
        ]
        seen = self._flags[:count].tolist()
        if any(seen):
            whole = [n for n in range(count) if not seen[n] & socket.MSG_TRUNC]
            self.truncated += count - len(whole)
            return [received[n] for n in whole]
        return received

    def _one_by_one(self, endpoint: socket.socket, flags: int) -> list[bytes]:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            raise kept
        received: list[bytes] = []
        for number in range(self.most):
            try:
                length, _, seen, _ = endpoint.recvmsg_into([self._first], 0, flags)
            except BlockingIOError:
                if number:
                    break
                raise
            except OSError as error:
                if not number:
                    raise
                self._kept = error
                break
            if seen & socket.MSG_TRUNC:
                self.truncated += 1
            else:
                received.append(self._first[:length].tobytes())
                if not length:
                    break
            flags |= socket.MSG_DONTWAIT
        return received
