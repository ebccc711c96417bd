"""Connection: a kazoo client whose calls are bounded in time, and whose reads form a stream.

kazoo reconnects by itself, for as long as this is not closed. A call waits for that, up to a
limit; what it may not do twice it does not repeat. Nothing here is called on kazoo's own thread
but the small functions that hand things over.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NoAuthError,
    OperationTimeoutError,
    SessionExpiredError,
    SessionMovedError,
)
from kazoo.protocol.connection import _CONNECTION_DROP
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry

from actors.state.store.interface import StoreError
from actors.state.store.zookeeper.address import Address
from actors.state.store.zookeeper.buffered_reading import read_buffered
from actors.state.store.zookeeper.handler import Handler
from actors.state.store.zookeeper.persistent_watch import NodeEvent, read_events
from actors.state.store.zookeeper.prompt_handshake import shake_hands_promptly
from actors.state.store.zookeeper.stream import (
    Answered,
    Connected,
    Disconnected,
    NodeChanged,
    Tell,
)

CONNECT_SECONDS: Final = 5.0
"""How long a first connection may take."""
CALL_SECONDS: Final = 8.0
"""How long a call may take, waiting for a reconnect (a new leader, say) included."""
_CLOSE_SECONDS: Final = 2.0
"""How long the server may take to say goodbye, before the socket is closed under it."""
_GIVE_UP_SECONDS: Final = 5.0

GONE: Final = (ConnectionLoss, ConnectionClosedError, SessionExpiredError)
"""The connection's end; another one follows, unless it is closed."""
_BROKEN: Final = (*GONE, SessionMovedError, OperationTimeoutError)
"""The connection's failures: what was asked may have been done, or not."""

_log = logging.getLogger("ayatori.store.kazoo")
_log.setLevel(logging.ERROR)  # lost connections are reported once, by the store


class Unknown(StoreError):  # noqa: N818 - it says what is known
    """The connection broke before the answer came: the call may have been carried out, or not."""


class Ended(StoreError):  # noqa: N818
    """The session of a connection that must keep its session has ended."""


class _Reply:
    """Where kazoo puts an answer that somebody waits for."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self.value: object = None
        self.error: Exception | None = None

    def set(self, value: object) -> None:
        self.value = value
        self._done.set()

    def set_exception(self, error: Exception) -> None:
        if not self._done.is_set():  # kazoo may say twice that it is closed
            self.error = error
            self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)


class _StreamReply:
    """Where kazoo puts an answer that goes into the stream."""

    def __init__(self, token: object, tell: Tell) -> None:
        self._token = token
        self._tell = tell
        self._done = False

    def set(self, value: object) -> None:
        self._tell(Answered(self._token, value))

    def set_exception(self, error: Exception) -> None:
        if not self._done:
            self._done = True
            self._tell(Answered(self._token, error=error))


class Connection:
    """See the module. With `keep_session`, a session that ended is not replaced by another."""

    def __init__(
        self,
        address: Address,
        timeout: float,
        *,
        tell: Tell | None = None,
        keep_session: bool = False,
        client_id: tuple[int, bytes] | None = None,
    ) -> None:
        """Prepare a connection whose session the server ends `timeout` s after it last heard of it."""
        self.address = address
        self._tell = tell
        self._keep_session = keep_session
        self._changed = threading.Condition()
        self._up = False
        self._ended = False
        self._closed = False
        self._on_end: Callable[[], None] | None = None
        self._timeout = timeout
        self._down_since: float | None = None
        handler = Handler(self._consider_a_fresh_start)
        self._client = KazooClient(
            hosts=address.hosts,
            timeout=timeout,
            client_id=client_id,
            handler=handler,
            auth_data=[("digest", address.credential)] if address.credential else None,
            connection_retry=KazooRetry(
                max_tries=-1, delay=0.05, max_delay=0.5, sleep_func=handler.sleep_func
            ),
            logger=_log,
        )
        self._client.add_listener(self._take_state)
        read_events(self._client, self._take_event)
        read_buffered(self._client)
        shake_hands_promptly(self._client)

    @property
    def down_since(self) -> float | None:
        """Since when (time.monotonic) it is not connected, None if it is."""
        return self._down_since

    @property
    def session_id(self) -> tuple[int, bytes] | None:
        """The id and password of ZooKeeper's session, while connected."""
        found: tuple[int, bytes] | None = self._client.client_id
        return found

    def open(self) -> None:
        """Connect. Raises StoreError if no server answers in time."""
        self._client.start_async()
        with self._changed:
            if self._changed.wait_for(lambda: self._up or self._ended, CONNECT_SECONDS):
                return
        self.close()
        raise StoreError(
            f"{self.address.url}: no ZooKeeper server answers within {CONNECT_SECONDS:.0f} s"
        )

    def when_ended(self, call: Callable[[], None]) -> None:
        """Have `call` called, on kazoo's thread, once the session that is to be kept has ended."""
        with self._changed:
            self._on_end = call

    def ask(self, request: object, token: object) -> None:
        """Send a request; its answer comes in the stream, as does the connection's failure."""
        if self._tell is None:
            raise RuntimeError("this connection has no stream")
        self._client._call(request, _StreamReply(token, self._tell))  # noqa: SLF001 - see the module

    def call(
        self,
        request: object,
        *,
        again: bool,
        expected: tuple[type[Exception], ...] = (),
    ) -> Any:
        """Send a request and return its answer; `again` if it may be sent more than once.

        Raises `expected` as they are, Ended, Unknown, StoreError.
        """
        deadline = time.monotonic() + CALL_SECONDS
        while True:
            self._await_up(deadline)
            reply = _Reply()
            self._client._call(request, reply)  # noqa: SLF001 - kazoo's own names hide the request
            if not reply.wait(max(0.0, deadline - time.monotonic())):
                raise Unknown(f"{self.address.url}: no answer within {CALL_SECONDS:.0f} s")
            if reply.error is None:
                return reply.value
            if isinstance(reply.error, expected):
                raise reply.error
            if not isinstance(reply.error, _BROKEN):
                raise self._refusal(reply.error) from reply.error
            if isinstance(reply.error, SessionExpiredError) and self._keep_session:
                self._end()
            elif not again:
                self._check_open()
                raise Unknown(
                    f"{self.address.url}: the connection broke before the answer came"
                ) from reply.error

    def revive(self) -> None:
        """Start kazoo's thread again if it ended by itself, which it does on what it cannot read.

        Not for kazoo's own thread.
        """
        if not self._closed and self._client._connection.connection_stopped.is_set():  # noqa: SLF001
            self._client.start_async()

    def close(self) -> None:
        """End the session and the connection, within bounds. May be called again."""
        self._close(self._stop)

    def leave(self) -> None:
        """End the connection, and leave the session to its timeout. May be called again."""
        self._close(self._hang_up)

    def _close(self, how: Callable[[], None]) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        stopping = threading.Thread(target=how, name="zookeeper stop", daemon=True)
        stopping.start()
        stopping.join(_CLOSE_SECONDS)
        if stopping.is_alive():
            with suppress(OSError, AttributeError):  # there may be no socket, or no longer
                self._client._connection._socket.shutdown(socket.SHUT_RDWR)  # noqa: SLF001
            stopping.join(_GIVE_UP_SECONDS)

    def _stop(self) -> None:
        with suppress(KazooException, OSError):
            self._client.stop()
        if self._client._connection.connection_stopped.is_set():  # noqa: SLF001
            self._client.close()

    def _hang_up(self) -> None:
        """Do what kazoo's `stop` does, with a broken connection in the place of a goodbye."""
        client = self._client
        if client._stopped.is_set():  # noqa: SLF001
            return
        client._stopped.set()  # noqa: SLF001
        client._queue.append((_CONNECTION_DROP, None))  # noqa: SLF001
        with suppress(KazooException, OSError):
            client._connection._write_sock.send(b"\0")  # noqa: SLF001
            client._safe_close()  # noqa: SLF001
        if client._connection.connection_stopped.is_set():  # noqa: SLF001
            client.close()

    def _await_up(self, deadline: float) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._up or self._ended or self._closed,
                max(0.0, deadline - time.monotonic()),
            )
            self._check_open()
            if not self._up:
                raise StoreError(f"{self.address.url}: not connected to any ZooKeeper server")

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.address.url} is closed")
        if self._ended:
            raise Ended(f"{self.address.url}: the session has ended")

    def _refusal(self, error: Exception) -> StoreError:
        if isinstance(error, NoAuthError):
            return StoreError(f"{self.address.url}: not permitted with this credential")
        return StoreError(f"{self.address.url}: ZooKeeper refuses: {error!r}")

    def _take_event(self, event: NodeEvent, path: str) -> None:
        if self._tell is not None:
            self._tell(NodeChanged(event, path))

    def _take_state(self, state: str) -> None:
        """Take note of a change of kazoo's state, on kazoo's thread."""
        with self._changed:
            self._up = state == KazooState.CONNECTED and not self._ended
            if state == KazooState.CONNECTED:
                self._down_since = None
            elif self._down_since is None:
                self._down_since = time.monotonic()
            self._changed.notify_all()
        if state == KazooState.LOST and self._keep_session:
            self._end()
        if self._tell is not None and not self._closed:
            if state == KazooState.CONNECTED:
                self._tell(Connected())
            else:
                self._tell(Disconnected(expired=state == KazooState.LOST))

    def _consider_a_fresh_start(self) -> None:
        """After a long time without a server, take one that knows less, on kazoo's thread.

        A server refuses a client that has seen later transactions than it has itself. One that
        lags is avoided so; but one that came back from an empty disk would be, for ever.
        """
        since = self._down_since
        if since is not None and time.monotonic() - since > self._timeout:
            self._client.last_zxid = 0

    def _end(self) -> None:
        with self._changed:
            first, self._ended, self._up = not self._ended, True, False
            self._changed.notify_all()
            call = self._on_end
        if first and call is not None:
            call()
