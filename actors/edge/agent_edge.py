"""AgentEdge: gives each output of the lane to the part of the edge that performs it."""

from collections.abc import Callable

import structlog

from actors.datapath.ports_text import why_refused
from actors.edge.control import ControlServer
from actors.edge.datapath_link import DatapathLink
from actors.edge.store_driver import StoreDriver
from actors.messages.netlink import PortFailed, PortsSettled
from actors.messages.operator import StopComplete
from actors.messages.stored import Output

log = structlog.get_logger("datapath")


class AgentEdge:
    """See the module. Netlink requests are in the link's buffer already when they are emitted."""

    def __init__(
        self, link: DatapathLink, settled: Callable[[], None], stopped: Callable[[], None]
    ) -> None:
        self._link = link
        self._settled = settled
        self._stopped = stopped
        self.store: StoreDriver | None = None
        self.control: ControlServer | None = None

    def perform(self, output: Output) -> None:
        """Do what the output says; never blocks."""
        if self.store is not None and self.store.perform(output):
            return
        if self._link.perform(output):
            return
        if self.control is not None and self.control.perform(output):
            return
        match output:
            case PortsSettled():
                self._settled()
            case PortFailed():
                why = why_refused(output.link, output.errno)
                log.warning(
                    "port refused by the datapath, trying again", port=output.link, error=why
                )
            case StopComplete():
                self._stopped()
            case _:
                raise TypeError(f"nobody performs {type(output).__name__}")

    def idle(self) -> None:
        """Send what has gathered for the datapath."""
        self._link.requests.flush()
