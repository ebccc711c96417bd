"""Namespaces that a command runs in, so that nothing of it outlives us, however we end.

All processes of an enclosure are in one pid namespace, whose first process dies with ours
(PR_SET_PDEATHSIG), and with it all others; its files are on a tmpfs that only its mount namespace
has, so they go with the last of those processes. Without root the namespaces belong to a user
namespace in which we are root. See pid_namespaces(7), user_namespaces(7), prctl(2).
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_NEW_PIDS: Final = 0x20000000
_NEW_NETWORK: Final = 0x40000000
_MS_REC_PRIVATE: Final = 1 << 14 | 1 << 18
_PR_SET_PDEATHSIG: Final = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_IFREQ: Final = struct.Struct("=16sh22x")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the first process of an enclosure starts, and waits for."""

    words: Sequence[str]
    environment: Mapping[str, str]
    cpu: int | None = None
    own_session: bool = False
    """Away from the terminal, whose Ctrl-C is then ours alone."""
    descriptors: Sequence[int] = ()
    console: int | None = None
    """Its standard output and error; None keeps ours."""


def enter(*, network: bool = False) -> None:
    """Move this process into mounts (and a network) of its own; raise OSError if not allowed."""
    flags = _NEW_MOUNTS | (_NEW_NETWORK if network else 0)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(_LIBC.unshare(flags), "unshare")
    else:
        _check(_LIBC.unshare(flags | _NEW_USER), "unshare, as user namespaces")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _check(_LIBC.mount(b"none", b"/", None, _MS_REC_PRIVATE, None), "mount /")


def mount(kind: str, where: Path, options: str = "") -> None:
    """Mount a file system of the kernel's own; raise OSError."""
    done = _LIBC.mount(kind.encode(), os.fsencode(where), kind.encode(), 0, options.encode())
    _check(done, f"mount {kind} {where}")


def raise_loopback() -> None:
    """Bring `lo` of this network namespace up: netdevice(7). Raise OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        name, flags = _IFREQ.unpack(answer)
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(name, flags | _IFF_UP))


def start(command: Command) -> int:
    """Start a command in a pid namespace of its own, return the pid of its first process.

    To kill that one is to kill all. It exits with the command's status, 128 + N for signal N.
    Only once in a process, after `enter`. Raise OSError.
    """
    _check(_LIBC.unshare(_NEW_PIDS), "unshare")
    ours, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(alive)
        _keep(command, ours)
    os.close(ours)
    os.write(alive, b"!")
    os.close(alive)
    return pid


def exit_status(wait_status: int) -> int:
    """Return what a shell would: the exit status, 128 + N for one that signal N ended."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _keep(command: Command, parent: int) -> NoReturn:
    status = 125
    try:
        if command.own_session:
            os.setsid()
        # Before the parent is known to live: a signal at its death comes only after this call.
        _check(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        if os.read(parent, 1):
            status = _run(command)
    except OSError as error:
        os.write(2, f"tests.kernel: {error}\n".encode())
    finally:
        os._exit(status)


def _run(command: Command) -> int:
    # A handler, unlike SIG_IGN, is not inherited by the command.
    signal.signal(signal.SIGINT, _ignore)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _check(_LIBC.unshare(_NEW_MOUNTS), "unshare")
    mount("proc", Path("/proc"))
    if command.cpu is not None:
        os.sched_setaffinity(0, {command.cpu})
    output = command.console
    try:
        process = subprocess.Popen(
            command.words,
            env=command.environment,
            stdin=None if output is None else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=command.descriptors,
        )
    except FileNotFoundError as error:
        os.write(2, f"tests.kernel: {command.words[0]}: {error.strerror}\n".encode())
        return 127
    while True:  # orphans of the command come to us, the namespace's first process
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            return exit_status(status)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
