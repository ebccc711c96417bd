"""The soft datapath's process: it joins the agent's sockets, the loop and the service."""

import logging
import select
import socket
from collections import deque
from collections.abc import Iterator
from typing import Final

from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.flow_requests import FlowRequests
from actors.datapath.soft.inventory import Inventory
from actors.datapath.soft.limits import REQUESTS_PER_TURN
from actors.datapath.soft.link_watch import LinkWatch
from actors.datapath.soft.loop import Loop
from actors.datapath.soft.port_requests import PortRequests
from actors.datapath.soft.service import Service
from actors.datapath.soft.upcalls import UpcallSender

_LOG = logging.getLogger(__name__)
_LARGEST_REQUEST: Final = 1 << 20
"""Bytes of one send of the agent; a longer one is cut, and its cut message fails."""


class Program:
    """Everything that one process holds; `run` returns when the agent has gone."""

    def __init__(self, requests: socket.socket, upcalls: socket.socket) -> None:
        requests.setblocking(False)
        upcalls.setblocking(False)
        clock = TurnClock()
        self._requests = requests
        self._links = LinkWatch()
        self._loop = Loop(clock, self._links)
        inventory = Inventory()
        self._ports = PortRequests(inventory, self._loop, UpcallSender(upcalls, clock), clock)
        self._service = Service(inventory, self._ports, FlowRequests(inventory))
        self._buffer = bytearray(_LARGEST_REQUEST)
        self._unsent: deque[bytes] = deque()
        self._answers: Iterator[bytes] = iter(())

    def run(self) -> None:
        """Serve until the agent's end closes, or SIGTERM or SIGINT; then undo everything."""
        try:
            self._loop.stop_on_signals()
            self._loop.run(self._requests, self._serve, self._ports.unplug)
        finally:
            self._ports.close()
            self._loop.close()
            self._links.close()
            _LOG.info("ended")

    def _serve(self, events: int) -> bool:
        """Handle a bounded number of requests; False once the agent's end is closed."""
        if events & select.EPOLLERR:
            return False
        try:
            if not self._send_answers():
                return True
            for _ in range(REQUESTS_PER_TURN):
                try:
                    length = self._requests.recv_into(self._buffer)
                except BlockingIOError:
                    return True
                if not length:
                    return False
                self._answers = self._service.answer(bytes(memoryview(self._buffer)[:length]))
                if not self._send_answers():
                    return True
        except OSError as error:
            _LOG.info("the agent's socket is gone: %s", error)
            return False
        return True

    def _send_answers(self) -> bool:
        """Send what is pending; False if the agent must read first, which stops its requests."""
        waited = bool(self._unsent)
        while True:
            if not self._unsent:
                following = next(self._answers, None)
                if following is None:
                    break
                self._unsent.append(following)
            try:
                self._requests.send(self._unsent[0])
            except BlockingIOError:
                if not waited:
                    self._loop.wait_to_write(self._requests, pending=True)
                return False
            self._unsent.popleft()
        if waited:
            self._loop.wait_to_write(self._requests, pending=False)
        return True
