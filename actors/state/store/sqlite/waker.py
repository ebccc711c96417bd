"""Waker: how a commit wakes the delivery threads that have to tell of it, at once.

After its commit a writer touches the database file, and inotify wakes the thread of every
process that has it open; within a process a waker is woken directly. A wake-up carries no
data, may come for nothing, and may be lost: the thread also looks by itself now and then.
"""

import contextlib
import ctypes
import os
import select
import threading
from pathlib import Path

_IN_ATTRIB = 0x00000004  # linux/inotify.h: metadata changed, by utimensat among others
_INOTIFY_BUFFER = 4096  # an event without a name takes 16 bytes, and equal ones are merged
_POLL_SECONDS = 0.005
"""How often to look when the kernel grants no inotify (it limits them for each user)."""


class Waker:
    """Wakes one thread, when told to or when `path` was touched."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._event: int | None = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._inotify = None if path is None else _inotify(path)
        self._longest = _POLL_SECONDS if path is not None and self._inotify is None else None
        self._poll = select.poll()
        self._poll.register(self._event, select.POLLIN)
        if self._inotify is not None:
            self._poll.register(self._inotify, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Return when woken, or after `seconds`, or for no reason. For the woken thread only."""
        if self._longest is not None:
            seconds = min(seconds, self._longest)
        for descriptor, _ in self._poll.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, _INOTIFY_BUFFER)

    def wake(self) -> None:
        """Make the thread's wait return; do nothing if the waker is closed."""
        with self._lock, contextlib.suppress(BlockingIOError):  # its counter is full: it is awake
            if self._event is not None:
                os.eventfd_write(self._event, 1)

    def close(self) -> None:
        """Release the descriptors. For the woken thread, when it waits no more."""
        with self._lock:
            if self._event is not None:
                os.close(self._event)
            if self._inotify is not None:
                os.close(self._inotify)
            self._event = self._inotify = None


def touch(path: Path) -> None:
    """Wake all wakers of `path`, in every process. Raises OSError."""
    os.utime(path)  # by name: closing a descriptor would drop this process's locks on the file


def _inotify(path: Path) -> int | None:
    """Return a descriptor that is readable when `path` was touched, or None if there is none."""
    libc = ctypes.CDLL(None)
    descriptor = int(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_ATTRIB) < 0:
        os.close(descriptor)
        return None
    return descriptor
