"""Holder: which process holds an owner's session, told so that another can see whether it lives.

A process number alone says little: it is given out again, means something else in another PID
namespace, and nothing after a reboot. Reads /proc, and asks the kernel about one process.
"""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from actors.state.store.interface import StoreError

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_PARENTHESIS: Final = b")"
_STATE, _BORN = 0, 19
"""Fields 3 and 22 of /proc/PID/stat, counted from the one behind the program's name (proc(5))."""
_ENDED: Final = (b"Z", b"X")

Life = Literal["alive", "dead", "elsewhere"]


class Holder(msgspec.Struct, frozen=True):
    """A process. `born` is when it began, in clock ticks since the boot that `boot` names."""

    machine: str
    """The machine's name, for people."""
    boot: str
    spaces: str
    """Its PID and time namespaces, in which `pid` and `born` mean something."""
    pid: int
    born: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine}"

    def life(self) -> Life:
        """Tell whether it lives; `elsewhere` if that cannot be seen from here. Raises StoreError."""
        here = this_process()
        if (self.boot, self.spaces) != (here.boot, here.spaces):
            return "elsewhere"
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return "dead"
        except PermissionError:
            pass  # another user's, so it is there
        found = _stat(self.pid)
        return "dead" if found not in {None, (self.born, True)} else "alive"


class Lease(msgspec.Struct, frozen=True):
    """Who holds a session, and since when (UTC, ISO 8601)."""

    holder: Holder
    since: str


class OwnerTaken(StoreError):  # noqa: N818 - it names the state of the store
    """Another process, which is not known to be dead, holds the owner's session."""

    def __init__(self, url: str, owner: str, lease: Lease) -> None:
        super().__init__(f"{url}: {owner} is held by {lease.holder} since {lease.since}")
        self.lease = lease


def begin_lease(holder: Holder | None) -> Lease:
    """Return the lease of a session that `holder`, or else this process, begins now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Lease(this_process() if holder is None else holder, now)


def check_free(url: str, owner: str, held: Lease, wanted: Lease) -> bool:
    """Tell whether the session held is the wanted holder's own; else it is a dead process's.

    What either said stays said for now: the new session says most of it again at once, and nobody
    need do without it meanwhile. A holder tells when it has said all, so that the rest goes; the
    successor of a dead process cannot know, so that lasts as long as its lease. Raises OwnerTaken.
    """
    if held.holder == wanted.holder:
        return True
    if held.holder.life() != "dead":
        raise OwnerTaken(url, owner, held)
    return False


def this_process() -> Holder:
    """Return this process. Raises StoreError."""
    found = _stat(os.getpid())
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
        spaces = [os.readlink(f"/proc/self/ns/{kind}") for kind in _kinds()]  # noqa: PTH115 - no path
    except OSError as error:
        raise StoreError(f"cannot tell this process from others: {error}") from error
    if found is None:
        raise StoreError("cannot tell this process from others: /proc does not show it")
    return Holder(socket.gethostname(), boot, " ".join(spaces), os.getpid(), found[0])


def _kinds() -> tuple[str, ...]:
    # Kernels without time namespaces have none to name.
    return ("pid", "time") if Path("/proc/self/ns/time").exists() else ("pid",)


def _stat(pid: int) -> tuple[int, bool] | None:
    """Return when a process began, and whether it has not ended; None if that is not shown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(_PARENTHESIS)[2].split()
        return int(fields[_BORN]), fields[_STATE] not in _ENDED
    except (OSError, IndexError, ValueError):
        return None
