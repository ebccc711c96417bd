"""Delivery: the store's own thread, which takes the stream and calls the listeners.

Owns the scopes. Everything comes to it through one queue: events, answers, the connection's
coming and going, new subscriptions. It stops for no error: it reports it and reads again.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Final, assert_never

from msgspec import Struct

from actors.state.store.interface import (
    KindWatch,
    Listener,
    ObjectWatch,
    StoreEvent,
    TableWatch,
    Watch,
)
from actors.state.store.zookeeper.connection import GONE, Connection
from actors.state.store.zookeeper.layout import Layout
from actors.state.store.zookeeper.object_scope import KindScope, ObjectScope
from actors.state.store.zookeeper.scope import Asked, Scope
from actors.state.store.zookeeper.stream import (
    Answered,
    Connected,
    Disconnected,
    NodeChanged,
    StreamItem,
)
from actors.state.store.zookeeper.subscription import Subscription
from actors.state.store.zookeeper.table_scope import TableScope

Report = Callable[[str, Exception], None]
"""Called on the store's thread with one line about what went wrong, and the cause."""

_RETRY_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 5.0
"""How long stop() waits for a listener to return."""
_MOST_ITEMS: Final = 100_000
"""Events that wait for a slow listener; what comes then is not kept, but read again later."""
_GATHER_SECONDS: Final = 0.001
"""Rest after delivering, so that a rain of changes is taken by the pailful and not by the drop."""
_MOST_GATHERED: Final = 1000
"""Items taken before listeners are called though more have come."""
_MOST_REFUSED: Final = 1000
"""Nodes with garbage in them that are remembered, so that each is reported once."""


class Strange(ValueError):  # noqa: N818 - it names what was found
    """A node that this store would not have written."""


class _Joined(Struct, frozen=True, eq=False):
    subscription: Subscription


class _Left(Struct, frozen=True, eq=False):
    subscription: Subscription


class _Stop(Struct, frozen=True):
    pass


class Delivery:
    """The delivery thread of one open store."""

    def __init__(self, url: str, layout: Layout, report: Report) -> None:
        self._url = url
        self._layout = layout
        self._report = report
        self._items: queue.SimpleQueue[StreamItem | _Joined | _Left | _Stop] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._scopes: dict[str, Scope] = {}
        self._again: dict[str, float] = {}  # paths to read again, and when (time.monotonic)
        self._gathered: dict[Scope, None] = {}
        self._flooded = False
        self._refused: set[str] = set()
        self._stopping = False
        self._lost = False
        self._thread = threading.Thread(target=self._run, name=f"store {url}", daemon=True)

    def take(self, item: StreamItem) -> None:
        """Take what the connection says, on its thread. Too much of it is read again instead."""
        if isinstance(item, NodeChanged) and self._items.qsize() > _MOST_ITEMS:
            self._flooded = True
            return
        self._items.put(item)

    def start(self, connection: Connection) -> None:
        """Start the thread; scopes ask through `connection`."""
        self._connection = connection
        self._thread.start()

    def subscribe(self, watch: Watch, listener: Listener) -> Callable[[], None]:
        """Add a subscription; return what ends it."""
        self._path(watch)  # raises UnicodeEncodeError for a name that is none
        subscription = Subscription(watch, listener)
        self._items.put(_Joined(subscription))

        def unsubscribe() -> None:
            if subscription.active:
                subscription.active = False
                self._items.put(_Left(subscription))

        return unsubscribe

    def stop(self) -> None:
        """End the thread; no listener is called after its present call. May come from one."""
        self._stopping = True
        self._items.put(_Stop())
        if threading.current_thread() is self._thread:
            return
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            stuck = TimeoutError(f"no return within {_STOP_SECONDS:.0f} s")
            self._report(f"{self._url}: a listener hangs while the store closes", stuck)

    def ask(self, request: object, token: Asked) -> None:
        """Send a request whose answer comes back to the token's scope."""
        if self._connection is not None:
            self._connection.ask(request, token)

    def tell(self, subscription: Subscription, events: tuple[StoreEvent, ...]) -> None:
        """Call a listener, unless its watch has ended."""
        if self._stopping or not subscription.active:
            return
        try:
            subscription.listener(events)
        except Exception as error:  # noqa: BLE001 - one listener's bug must not end the others' watches
            self._report(
                f"{self._url}: the listener of {subscription.watch} failed: {error!r}"
                " (its watch goes on)",
                error,
            )

    def gathered(self, scope: Scope) -> None:
        """Have the scope flush once all that has come already has been taken."""
        self._gathered[scope] = None

    def refuse(self, path: str) -> None:
        """Report, once, a node that this store would not have written. From any thread."""
        if path in self._refused:
            return
        if len(self._refused) < _MOST_REFUSED:
            self._refused.add(path)
        self._report(f"{self._url}: {path} is not of this store; it is left out", Strange(path))

    def failed(self, scope: Scope, error: Exception) -> None:
        """Begin a scope again later; a broken connection does that by itself once it is back."""
        if not isinstance(error, GONE):
            self._report(f"{self._url}: cannot read {scope.path}: {error!r} (trying again)", error)
            self._again[scope.path] = time.monotonic() + _RETRY_SECONDS

    def _run(self) -> None:
        taken = 0
        while not self._stopping:
            try:
                item = self._items.get(timeout=self._patience())
            except queue.Empty:
                if self._gathered:
                    self._flush()
                    time.sleep(_GATHER_SECONDS)
                else:
                    self._begin_again()
                    self._flush()
                taken = 0
                continue
            self._take(item)
            taken += 1
            if taken >= _MOST_GATHERED:
                self._flush()
                taken = 0

    def _take(self, item: StreamItem | _Joined | _Left | _Stop) -> None:
        match item:
            case NodeChanged():
                self._take_event(item)
            case Answered(token):
                if isinstance(token, Asked):
                    token.scope.take_answer(token, item)
            case Connected():
                self._lost = False
                self._begin_all()
            case Disconnected():
                self._take_disconnected(item)
            case _Joined(subscription):
                self._scope_of(subscription.watch).join(subscription)
            case _Left(subscription):
                self._leave(subscription)
            case _Stop():
                pass
            case _:
                assert_never(item)

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for scope in gathered:
            scope.flush()
        if self._flooded and self._items.empty():
            self._flooded = False
            self._begin_all()

    def _patience(self) -> float | None:
        if self._gathered or self._flooded:
            return 0.0
        if not self._again:
            return None
        return max(0.0, min(self._again.values()) - time.monotonic())

    def _begin_again(self) -> None:
        now = time.monotonic()
        for path in [path for path, at in self._again.items() if at <= now]:
            del self._again[path]
            if path in self._scopes:
                self._scopes[path].begin()

    def _take_event(self, item: NodeChanged) -> None:
        """Hand an event to the scopes of the node's path and of its parent: no search."""
        for path in (item.path, item.path.rpartition("/")[0]):
            scope = self._scopes.get(path)
            if scope is not None and (path != item.path or isinstance(scope, ObjectScope)):
                scope.take_event(item.event, item.path)

    def _begin_all(self) -> None:
        self._again.clear()
        for scope in tuple(self._scopes.values()):
            scope.begin()

    def _take_disconnected(self, item: Disconnected) -> None:
        if not self._lost and not self._stopping:
            self._lost = True
            what = "the session has expired" if item.expired else "the connection is lost"
            self._report(
                f"{self._url}: {what} (trying again; watches go on from where they were)",
                ConnectionError(what),
            )
        if item.expired and self._connection is not None:
            self._connection.revive()

    def _leave(self, subscription: Subscription) -> None:
        path = self._path(subscription.watch)
        scope = self._scopes.get(path)
        if scope is None:
            return
        scope.leave()
        if not scope.wanted:
            scope.end()
            del self._scopes[path]
            self._again.pop(path, None)

    def _path(self, watch: Watch) -> str:
        match watch:
            case ObjectWatch(key):
                return self._layout.object(key)
            case KindWatch(kind):
                return self._layout.kind(kind)
            case TableWatch(table):
                return self._layout.table(table)
            case _:
                assert_never(watch)

    def _scope_of(self, watch: Watch) -> Scope:
        path = self._path(watch)
        if path not in self._scopes:
            self._scopes[path] = self._new_scope(watch, path)
        return self._scopes[path]

    def _new_scope(self, watch: Watch, path: str) -> Scope:
        match watch:
            case ObjectWatch(key):
                return ObjectScope(path, self, self._layout, key)
            case KindWatch(kind):
                return KindScope(path, self, self._layout, kind)
            case TableWatch(table):
                return TableScope(path, self, table)
            case _:
                assert_never(watch)
