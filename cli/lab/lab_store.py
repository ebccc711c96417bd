"""The store of a lab, as its keeper has it: a file, a ZooKeeper server of the lab's own, or others'.

Hosts reach ZooKeeper over the lab's store network, at one address; commands run outside, in the
machine's network. So there is a relay between the two: for the lab's own server, which runs inside,
from 127.0.0.1; for given servers, which are outside, from the address that hosts know.
"""

import logging
import secrets
import socket
from abc import ABC, abstractmethod
from typing import Final
from urllib.parse import urlsplit

from actors.state.store.open import with_credential
from actors.state.store.zookeeper.address import parse_address
from cli.lab.relay import Relay
from cli.lab.state_folder import LabFiles
from cli.lab.store_network import STORE_ADDRESS
from cli.lab.zookeeper_server import Member, ServerOptions, ZookeeperFailed, ZookeeperServer

OWN_SERVER: Final = "zookeeper"
"""What `--store` says for a server of the lab's own."""
_GIVEN: Final = "zookeeper:"
_PORT: Final = 2181
_OPTIONS: Final = ServerOptions(tick=500, durable=False, listen=STORE_ADDRESS)
_FIRST_PAUSE: Final = 0.3
_LONGEST_PAUSE: Final = 5.0
"""Seconds before a restart: the first one's, doubled with each up to the longest.

A server that ran longer than the longest pause begins with the first again.
"""
_BACKLOG: Final = 64

_log = logging.getLogger("ayatori.lab")


class LabStore(ABC):
    """Made in the machine's network; `begin` is called in the lab's, once that is there."""

    url: str
    """For commands on this machine."""
    agents_url: str
    """For the lab's hosts."""
    networked = True
    """Whether hosts need the store network."""
    start_at: float | None = None
    """When a process of it is to be started again, in the loop's seconds; None while it runs."""

    @property
    def pid(self) -> int | None:
        """The server's process, if it is the lab's own and runs."""
        return None

    @abstractmethod
    def begin(self) -> None:
        """Have it serve. Raises OSError, ZookeeperFailed."""

    def look_after(self, now: float) -> None:  # noqa: B027 - nothing to do for some
        """Start again what has ended."""

    @abstractmethod
    def close(self) -> None:
        """End what is the lab's own."""


class FileStore(LabStore):
    """A file that all reach by its path."""

    networked = False

    def __init__(self, url: str) -> None:
        self.url = self.agents_url = url

    def begin(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: the file is there for the next lab, or goes with the lab's folder."""


class GivenServers(LabStore):
    """Somebody's servers, which hosts reach through a relay."""

    def __init__(self, url: str) -> None:
        """Start the relay, here in the machine's network. Raises StoreError, OSError."""
        address = parse_address(url)
        self._targets = address.hosts.split(",")
        query = urlsplit(url).query
        near = ",".join(f"{STORE_ADDRESS}:{_PORT + n}" for n in range(len(self._targets)))
        self.url = url
        self.agents_url = f"zookeeper://{near}{address.root}{'?' if query else ''}{query}"
        self._relay = Relay()

    def begin(self) -> None:
        """Listen in the lab for the relay. Raises OSError."""
        listeners = [
            socket.create_server((STORE_ADDRESS, _PORT + n), backlog=_BACKLOG)
            for n in range(len(self._targets))
        ]
        self._relay.serve(listeners, self._targets)
        for listener in listeners:
            listener.close()

    def close(self) -> None:
        """End the relay."""
        self._relay.close()


class OwnServer(LabStore):
    """A server in the lab, with a credential of its own: other users may reach 127.0.0.1, too."""

    def __init__(self, files: LabFiles) -> None:
        """Take a port of the machine's, and make the credential. Raises OSError."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._relay: Relay | None = None
        files.credential.touch(mode=0o600)
        files.credential.write_text(f"lab:{secrets.token_hex(16)}\n")
        port = self._listener.getsockname()[1]
        self.url = with_credential(f"zookeeper://127.0.0.1:{port}/ayatori", files.credential)
        self.agents_url = with_credential(
            f"zookeeper://{STORE_ADDRESS}:{_PORT}/ayatori", files.credential
        )
        self._server = ZookeeperServer(files.zookeeper, Member(1, _PORT, 0, 0), (), _OPTIONS)
        self._pause = _FIRST_PAUSE
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        """The server's process, None while it does not run."""
        return None if self._server.ended else self._server.pid

    def begin(self) -> None:
        """Start server and relay; return when it serves. Raises OSError, ZookeeperFailed."""
        self._server.start()
        self._start_relay()
        self._server.wait_ready()

    def _start_relay(self) -> None:
        self._relay = Relay()
        self._relay.serve([self._listener], [self._server.address])

    def look_after(self, now: float) -> None:
        """Start again what has ended, later each time."""
        if self._relay is not None and self._relay.ended:
            _log.warning("the relay to the ZooKeeper server ended")
            self._relay.close()
            self._start_relay()
        if self.start_at is None and self._server.ended:
            _log.warning("the ZooKeeper server ended: %s", self._server.last_words())
            self._server.stop()
            if now - self._started > _LONGEST_PAUSE:
                self._pause = _FIRST_PAUSE
            self.start_at = now + self._pause
            self._pause = min(_LONGEST_PAUSE, self._pause * 2)
        if self.start_at is not None and self.start_at <= now:
            self.start_at = None
            self._started = now
            try:
                self._server.start()
            except (OSError, ZookeeperFailed) as error:
                _log.warning("the ZooKeeper server cannot be started: %s", error)
                self.start_at = now + self._pause

    def close(self) -> None:
        """End the server and the relay."""
        self._server.stop()
        if self._relay is not None:
            self._relay.close()
        self._listener.close()


def is_networked(asked: str) -> bool:
    """Tell whether hosts need the store network for the store that `--store` asks for."""
    return asked == OWN_SERVER or asked.startswith(_GIVEN)


def lab_store(asked: str, files: LabFiles) -> LabStore:
    """Return the store that `--store` asks for. Call it in the machine's network.

    Raises StoreError, OSError.
    """
    if asked == OWN_SERVER:
        return OwnServer(files)
    return GivenServers(asked) if asked.startswith(_GIVEN) else FileStore(asked)
