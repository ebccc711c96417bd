"""LinkWatch: tells the lane of the host's network interfaces, all of them after each change.

A notification only says that something changed; the dump that follows is what counts. So lost
notifications (ENOBUFS) cost nothing: they are one more reason to dump.
"""

import errno
import select
import socket
import time

from pyroute2 import IPRoute

from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.topology import Link, LinksChanged
from actors.values import ActorName

DATAPATH_PORTS = ActorName("datapath-ports")
RTMGRP_LINK = 1
IFF_UP = 1
SETTLE = 0.01
"""Seconds to wait for more notifications before a dump: a new veth pair sends half a dozen."""


class LinkWatch(Service):
    """See the module. Works in the network namespace of the process."""

    name = "link-watch"

    def __init__(self, lane: Lane, clock: SteadyClock) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock

    def run(self) -> None:
        """Watch until stopped."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as watch:
            watch.bind((0, RTMGRP_LINK))
            watch.settimeout(0)
            told: tuple[Link, ...] | None = None
            with IPRoute() as routes:
                while not self.stopping.is_set():
                    links = _dump(routes)
                    if links != told:
                        told = links
                        self._lane.submit(DATAPATH_PORTS, LinksChanged(self._clock(), links))
                    self._wait(watch)

    def _wait(self, watch: socket.socket) -> None:
        """Return after the next notification, or when stopped."""
        while not self.stopping.is_set():
            if select.select([watch], [], [], 0.2)[0]:
                time.sleep(SETTLE)
                _drain(watch)
                return


def _drain(watch: socket.socket) -> None:
    while True:
        try:
            watch.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


def _dump(routes: IPRoute) -> tuple[Link, ...]:
    return tuple(
        sorted(
            (
                Link(
                    message.get_attr("IFLA_IFNAME"),
                    message["index"],
                    bool(message["flags"] & IFF_UP),
                    message.get_attr("IFLA_MTU") or 0,
                )
                for message in routes.get_links()
            ),
            key=lambda link: link.index,
        )
    )
