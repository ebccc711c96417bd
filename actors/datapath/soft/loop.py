"""Loop: the one thread of the soft datapath; it gives each descriptor its turn.

Requests come first, then every port that has frames, a bounded number each, beginning with
another port every time. Nothing in a turn blocks.
"""

import os
import select
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.limits import FRAMES_PER_TURN
from actors.datapath.soft.link_watch import LinkWatch
from actors.datapath.soft.packet import Packet
from actors.datapath.soft.ports.port import Port

PortGone = Callable[[Datapath, Port], None]
_READABLE: Final = select.EPOLLIN


class Loop:
    """Watches ports and the agent's requests until the agent or a signal ends it."""

    def __init__(self, clock: TurnClock, links: LinkWatch) -> None:
        self._clock = clock
        self._links = links
        self._epoll = select.epoll()
        self._ports: dict[int, tuple[Datapath, Port]] = {}
        self._packet = Packet()
        self._turn = 0
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake_read, _READABLE)
        self._epoll.register(links.fileno(), _READABLE)

    def watch(self, datapath: Datapath, port: Port) -> None:
        """Give `port` turns from now on."""
        for descriptor in port.descriptors:
            self._ports[descriptor] = (datapath, port)
            self._epoll.register(descriptor, _READABLE)

    def unwatch(self, port: Port) -> None:
        """Give `port` no further turn; call it before the port is closed."""
        for descriptor in port.descriptors:
            del self._ports[descriptor]
            self._epoll.unregister(descriptor)

    def stop_on_signals(self) -> None:
        """Let SIGTERM end `run`; an interrupt from the terminal is the agent's to act on."""

        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def run(
        self,
        requests: socket.socket,
        serve: Callable[[int], bool],
        port_gone: PortGone,
    ) -> None:
        """Take turns until `serve`, which gets the events of `requests`, returns False."""
        agent = requests.fileno()
        self._epoll.register(agent, _READABLE)
        while not self._stopping:
            events = self._epoll.poll()
            self._clock.tick()
            ready = dict(events)
            if agent in ready and not serve(ready.pop(agent)):
                return
            if ready.pop(self._links.fileno(), 0):
                self._links.drain()
                self._check_links(port_gone)
            ready.pop(self._wake_read, 0)
            self._take_frames(list(ready), port_gone)

    def wait_to_write(self, requests: socket.socket, *, pending: bool) -> None:
        """While replies are pending read no requests, and wait until the agent reads."""
        self._epoll.modify(requests.fileno(), select.EPOLLOUT if pending else _READABLE)

    def _take_frames(self, descriptors: list[int], port_gone: PortGone) -> None:
        if not descriptors:
            return
        self._turn += 1
        first = self._turn % len(descriptors)
        packet = self._packet
        for descriptor in descriptors[first:] + descriptors[:first]:
            entry = self._ports.get(descriptor)
            if entry is None:
                continue  # closed earlier in this turn
            datapath, port = entry
            forward, receive = datapath.forward, port.receive
            for _ in range(FRAMES_PER_TURN):
                if not receive(descriptor, packet):
                    break
                forward(port, packet)
            while port.unread and receive(descriptor, packet):
                forward(port, packet)
            if not port.alive:
                port_gone(datapath, port)

    def _check_links(self, port_gone: PortGone) -> None:
        for datapath, port in list(self._ports.values()):
            port.check_link()
            if not port.alive:
                port_gone(datapath, port)

    def close(self) -> None:
        """Release what the loop itself holds."""
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
