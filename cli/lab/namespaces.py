"""Network and user namespaces through libc, held and entered by file descriptors alone.

Nothing here has a name in /run/netns: a namespace lives while a process is in it or holds its
descriptor, so it cannot outlast the lab. All functions act on the calling thread and raise
OSError with the kernel's reason. See unshare(2), setns(2), user_namespaces(7), prctl(2).
"""

import ctypes
import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class IsolationRefused(Exception):  # noqa: N818 - it names what the kernel did
    """The kernel lets this user make neither network nor user namespaces."""


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def leave_machine() -> int | None:
    """Put this process into a new network namespace, in a new user namespace if need be.

    Returns a descriptor of the user namespace, None if none was needed. There the caller's
    user is root. Raises IsolationRefused. The process must have one thread only.
    """
    try:
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
    except OSError as error:
        if error.errno != errno.EPERM:
            raise IsolationRefused(f"cannot make a network namespace ({error.strerror})") from error
    else:
        return None
    user, group = os.geteuid(), os.getegid()
    try:
        _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise IsolationRefused(
            "this user may make no network namespaces, and the kernel refuses user namespaces"
            f" ({error.strerror}; see user.max_user_namespaces, kernel.unprivileged_userns_clone"
            " and kernel.apparmor_restrict_unprivileged_userns):"
            " run as root, in a container with CAP_SYS_ADMIN"
        ) from error
    return os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def current_network() -> int:
    """Return a new descriptor of the calling thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def new_network() -> int:
    """Return a descriptor of a new network namespace; the caller stays where it is."""
    home = current_network()
    try:
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        try:
            return current_network()
        finally:
            enter_network(home)
    finally:
        os.close(home)


def enter_network(descriptor: int) -> None:
    """Move the calling thread into a network namespace."""
    _check(_libc.setns(descriptor, _CLONE_NEWNET), "setns")


def enter_user(descriptor: int) -> None:
    """Move the process into a user namespace, as its root, unless it is there already."""
    here = Path("/proc/self/ns/user").stat()
    if identity(descriptor) != (here.st_dev, here.st_ino):
        _check(_libc.setns(descriptor, _CLONE_NEWUSER), "setns")


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Be in a network namespace for the length of a `with` block."""
    home = current_network()
    try:
        enter_network(descriptor)
        try:
            yield
        finally:
            enter_network(home)
    finally:
        os.close(home)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, of that pid, ends. Survives exec."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def identity(descriptor: int) -> tuple[int, int]:
    """Return what tells one namespace from another: device and inode number."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
