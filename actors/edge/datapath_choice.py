"""DatapathChoice: which datapath this agent drives, the kernel's or a soft one of its own.

`auto` takes the kernel's where its openvswitch module is to be had (asking for the family by
name has the kernel load it) and offers what the agent needs. It decides once: an agent does not
change sides while it runs.
"""

import os
from collections.abc import Callable
from typing import Final, Literal

import structlog

from actors.datapath.channel import DatapathChannel
from actors.datapath.dialogue import DatapathUnavailableError
from actors.datapath.features import MissingFeatureError
from actors.datapath.handshake import has_openvswitch
from actors.datapath.kernel_channel import DatapathBusyError, KernelChannel
from actors.datapath.soft_channel import spawn_soft_datapath

Wanted = Literal["auto", "kernel", "soft"]
NO_KERNEL_DATAPATH: Final = (
    "this kernel has no openvswitch module (modprobe openvswitch); use the soft datapath"
)

log = structlog.get_logger("datapath")


def kernel_offers_datapath() -> bool:
    """Tell whether the running kernel has openvswitch, or can load it. Changes nothing."""
    try:
        channel = KernelChannel(claim=False)
    except OSError:
        return False
    try:
        return has_openvswitch(channel)
    finally:
        channel.release()


def check_datapath(wanted: Wanted) -> None:
    """Find out whether this process could drive the datapath that is wanted.

    Raises DatapathBusyError if another one does, DatapathUnavailableError if there is none.
    """
    if wanted == "soft":
        return
    if kernel_offers_datapath():
        try:
            KernelChannel().release()
        except DatapathBusyError:
            raise
        except OSError as error:
            raise _unavailable(error) from error
    elif wanted == "kernel":
        raise DatapathUnavailableError(NO_KERNEL_DATAPATH)


class DatapathChoice:
    """See the module. `kind` is "" until it is decided."""

    def __init__(
        self, wanted: Wanted, spawn: Callable[[], DatapathChannel] = spawn_soft_datapath
    ) -> None:
        self.kind: Literal["", "kernel", "soft"] = "" if wanted == "auto" else wanted
        self._wanted = wanted
        self._spawn = spawn

    def open(self) -> DatapathChannel:
        """Open a channel. Raises OSError, DatapathUnavailableError if the one wanted is not there."""
        if not self.kind:
            self.kind = "kernel" if kernel_offers_datapath() else "soft"
            if self.kind == "soft":
                log.info("takes the soft datapath", reason="this kernel has no openvswitch module")
        if self.kind == "soft":
            return self._spawn()
        try:
            return KernelChannel()
        except DatapathBusyError:
            raise
        except OSError as error:
            raise _unavailable(error) from error

    def fall_back(self, reason: MissingFeatureError) -> bool:
        """Take the soft datapath from now on, if `auto` may; return False if not."""
        if self._wanted != "auto" or self.kind != "kernel":
            return False
        self.kind = "soft"
        log.warning("takes the soft datapath", reason=str(reason))
        return True


def _unavailable(error: OSError) -> DatapathUnavailableError:
    return DatapathUnavailableError(f"no generic netlink: {os.strerror(error.errno or 0)}")
