"""The soft datapath's process: it joins the agent's sockets, the loop and the service."""

import itertools
import logging
import select
import socket
from collections.abc import Iterator
from typing import Final

from actors.datapath.odp import constants as odp
from actors.datapath.odp.reply_encoding import encode_reply
from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.families import FAMILIES
from actors.datapath.soft.flow_requests import FlowRequests
from actors.datapath.soft.inventory import Inventory
from actors.datapath.soft.limits import REQUESTS_PER_TURN
from actors.datapath.soft.link_watch import LinkWatch
from actors.datapath.soft.loop import Loop
from actors.datapath.soft.port_requests import PortRequests, describe_port
from actors.datapath.soft.ports.port import Port
from actors.datapath.soft.service import Service
from actors.datapath.soft.upcalls import UpcallSender

_LOG = logging.getLogger(__name__)
_LARGEST_REQUEST: Final = 1 << 20
"""Bytes of one send of the agent; a longer one is cut, and its cut message fails."""


_THE_KERNEL: Final = 0
"""The port id that notifications carry."""


class _AgentGoneError(Exception):
    """The agent's end of the request socket is closed."""


class Program:
    """Everything that one process holds; `run` returns when the agent has gone."""

    def __init__(self, requests: socket.socket, upcalls: socket.socket) -> None:
        requests.settimeout(0)
        upcalls.settimeout(0)
        clock = TurnClock()
        self._requests = requests
        self._links = LinkWatch()
        self._loop = Loop(clock, self._links)
        inventory = Inventory()
        self._ports = PortRequests(inventory, self._loop, UpcallSender(upcalls, clock), clock)
        self._service = Service(inventory, self._ports, FlowRequests(inventory))
        self._buffer = bytearray(_LARGEST_REQUEST)
        self._unsent: bytes | None = None
        self._answers: Iterator[bytes] = iter(())

    def run(self) -> None:
        """Serve until the agent's end closes, or SIGTERM; then undo everything."""
        try:
            self._loop.stop_on_signals()
            self._loop.run(self._requests, self._serve, self._port_gone)
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
            if self._send_answers():
                for _ in range(REQUESTS_PER_TURN):
                    datagram = self._receive()
                    if datagram is None:
                        break
                    self._answers = self._service.answer(datagram)
                    if not self._send_answers():
                        break
        except _AgentGoneError as gone:
            _LOG.info("the agent has gone: %s", gone)
            return False
        return True

    def _port_gone(self, datapath: Datapath, port: Port) -> None:
        """Remove a port whose device went away, and notify the agent as ovs_dp_notify_wq() does."""
        info = describe_port(0, odp.OVS_VPORT_CMD_DEL, datapath, port)
        self._ports.unplug(datapath, port)
        notification = encode_reply(info, families=FAMILIES, pid=_THE_KERNEL)
        self._answers = itertools.chain(self._answers, (notification,))
        try:
            self._send_answers()
        except _AgentGoneError as gone:
            _LOG.info("nobody hears that %s is gone: %s", port.name, gone)

    def _receive(self) -> bytes | None:
        try:
            length = self._requests.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _AgentGoneError(str(error)) from error
        if not length:
            raise _AgentGoneError("end of its requests")
        return bytes(memoryview(self._buffer)[:length])

    def _send_answers(self) -> bool:
        """Send what is pending; False if the agent must read first, which stops its requests."""
        waited = self._unsent is not None
        while True:
            if self._unsent is None:
                self._unsent = next(self._answers, None)
                if self._unsent is None:
                    break
            try:
                self._requests.send(self._unsent)
            except BlockingIOError:
                if not waited:
                    self._loop.wait_to_write(self._requests, pending=True)
                return False
            except OSError as error:
                raise _AgentGoneError(str(error)) from error
            self._unsent = None
        if waited:
            self._loop.wait_to_write(self._requests, pending=False)
        return True
