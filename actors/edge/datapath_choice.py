"""DatapathChoice: which datapath this agent drives, the kernel's or a soft one of its own.

`auto` takes the kernel's where its openvswitch module is to be had (asking for the family by
name has the kernel load it), and decides once: an agent does not change sides while it runs.
"""

import os
from collections.abc import Callable
from typing import Literal

from actors.datapath.channel import DatapathChannel
from actors.datapath.handshake import DatapathUnavailableError, has_openvswitch
from actors.datapath.kernel_channel import DatapathBusyError, KernelChannel
from actors.datapath.soft_channel import spawn_soft_datapath

Wanted = Literal["auto", "kernel", "soft"]


def kernel_offers_datapath() -> bool:
    """Tell whether the running kernel has openvswitch, or can load it. Changes nothing."""
    try:
        channel = KernelChannel()
    except DatapathBusyError:
        return True  # somebody uses it
    except OSError:
        return False
    try:
        return has_openvswitch(channel)
    finally:
        channel.release()


class DatapathChoice:
    """See the module. `kind` is "" until it is decided."""

    def __init__(
        self, wanted: Wanted, spawn: Callable[[], DatapathChannel] = spawn_soft_datapath
    ) -> None:
        self.kind: Literal["", "kernel", "soft"] = "" if wanted == "auto" else wanted
        self._spawn = spawn

    def open(self) -> DatapathChannel:
        """Open a channel. Raises OSError, DatapathUnavailableError if the one wanted is not there."""
        if self.kind == "soft":
            return self._spawn()
        try:
            channel = KernelChannel()
        except DatapathBusyError:
            raise
        except OSError as error:
            if self.kind:
                raise DatapathUnavailableError(
                    f"no generic netlink: {os.strerror(error.errno or 0)}"
                ) from error
            return self._settle_for_soft()
        if self.kind == "kernel":
            return channel
        try:
            offered = has_openvswitch(channel)
        except BaseException:
            channel.release()
            raise
        if offered:
            self.kind = "kernel"
            return channel
        channel.release()
        return self._settle_for_soft()

    def _settle_for_soft(self) -> DatapathChannel:
        self.kind = "soft"
        return self._spawn()
