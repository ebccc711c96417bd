"""StateTables: the shared tables as this host sees them, and the rows that it keeps published.

Owns a view of each watched table and this host's own rows. Receives rows from devices (`OwnRow`),
subscriptions, and changes from the store. Emits puts and removals, sends effective rows to
subscribers. In a new session it writes its own rows again, then lets go of what is left of the
session before; a row that another host has superseded it takes back.
"""

import contextlib
from typing import assert_never

import msgspec

from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.operator import Inspect, Inspected
from actors.messages.tables import (
    DisownRow,
    OwnRow,
    PutEntry,
    RemoveEntry,
    Row,
    RowsChanged,
    SessionEnded,
    SessionOpened,
    SettleSession,
    SubscribeRow,
    SubscribeTable,
    TableChanged,
    UnsubscribeRow,
    UnsubscribeTable,
    UnwatchTable,
    WatchTable,
)
from actors.state.table_view import OwnEntry, TableView
from actors.state.tables import ACTIVE_TABLE, decode_active
from actors.values import ActorName, Nanoseconds

TablesMessage = (
    OwnRow
    | DisownRow
    | SubscribeTable
    | UnsubscribeTable
    | SubscribeRow
    | UnsubscribeRow
    | TableChanged
    | SessionOpened
    | SessionEnded
    | Inspect
)


class TablesState(msgspec.Struct):
    """All that the state tables actor knows."""

    tables: dict[str, TableView] = msgspec.field(default_factory=dict)
    subscribers: dict[str, list[ActorName]] = msgspec.field(default_factory=dict)
    row_subscribers: dict[str, dict[bytes, list[ActorName]]] = msgspec.field(default_factory=dict)
    session: bool = False
    sessions: int = 0
    why_ended: str = ""
    superseded: int = 0


class StateTables(LaneActor):
    """See the module."""

    State = TablesState
    can_begin_afresh = False
    state: TablesState

    def __init__(self, name: ActorName, lane: Lane, host: HostSettings) -> None:
        super().__init__(name, lane)
        self.host = host

    def on_receive(self, message: TablesMessage) -> None:
        """Handle one message."""
        state = self.state
        match message:
            case TableChanged():
                self._changed(message)
            case OwnRow():
                self._own(message)
            case DisownRow():
                self._disown(message)
            case SubscribeTable():
                self._subscribe(message)
            case UnsubscribeTable():
                self._unsubscribe(message)
            case SubscribeRow():
                self._subscribe_row(message)
            case UnsubscribeRow():
                self._unsubscribe_row(message)
            case SessionOpened():
                state.session = True
                state.sessions += 1
                self._write_all_again()
            case SessionEnded():
                state.session = False
                state.why_ended = message.why
            case Inspect():
                body = self._active() if message.subject == "tables" else self._describe()
                self.send(message.requester, Inspected(message.request, self.name, body))
            case _:
                assert_never(message)

    def _view(self, table: str) -> TableView:
        view = self.state.tables.get(table)
        if view is None:
            view = self.state.tables[table] = TableView()
        return view

    def _own(self, message: OwnRow) -> None:
        view = self._view(message.table)
        own = view.own.get(message.key)
        same = own is not None and own.value == message.value
        if same and not message.again:
            return
        view.own[message.key] = OwnEntry(message.value)
        if not same:
            self._tell(message.table, (message.key,), self.lane.now)
        if self.state.session:
            self.emit(PutEntry(message.table, message.key, message.value))

    def _disown(self, message: DisownRow) -> None:
        view = self._view(message.table)
        if view.disown(message.key, self.host.host):
            if self.state.session:
                self.emit(RemoveEntry(message.table, message.key))
            self._tell(message.table, (message.key,), self.lane.now)
        self._forget_if_unused(message.table)

    def _write_all_again(self) -> None:
        for table, view in self.state.tables.items():
            for key, own in view.own.items():
                own.seq = 0
                self.emit(PutEntry(table, key, own.value))
        self.emit(SettleSession())

    def _changed(self, message: TableChanged) -> None:
        if not self._is_watched(message.table):
            return  # it was on its way when the last subscriber lost interest
        view = self._view(message.table)
        keys: dict[bytes, None] = {}
        if message.whole:
            keys.update(dict.fromkeys(view.entries))
            view.entries.clear()
        for entry in message.entries:
            keys[entry.key] = None
            if view.apply(entry, self.host.host):
                del view.own[entry.key]
                self.state.superseded += 1
                self.emit(RemoveEntry(message.table, entry.key))
        if message.whole:
            keys.update(dict.fromkeys(view.forget_lost()))
            if not view.loaded:
                view.loaded = True
                keys.update(dict.fromkeys(self.state.row_subscribers.get(message.table, ())))
        self._tell(message.table, tuple(keys), message.at)

    def _tell(self, table: str, keys: tuple[bytes, ...], at: Nanoseconds) -> None:
        subscribers = self.state.subscribers.get(table, ())
        by_row = self.state.row_subscribers.get(table, {})
        if not (subscribers or by_row) or not keys:
            return
        view = self._view(table)
        rows = tuple(view.effective(key, self.host.host) for key in keys)
        for name in subscribers:
            self.send(name, RowsChanged(table, at, rows))
        wanted: dict[ActorName, list[Row]] = {}
        for row in rows if by_row else ():
            for name in by_row.get(row.key, ()):
                wanted.setdefault(name, []).append(row)
        for name, some in wanted.items():
            self.send(name, RowsChanged(table, at, tuple(some)))

    def _watch(self, table: str) -> None:
        """Watch a table of which somebody is about to want to know, unless it is watched."""
        if not self._is_watched(table):
            self.emit(WatchTable(table))

    def _unwatch(self, table: str) -> None:
        """Watch a table no more, if nobody wants to know of it."""
        if not self._is_watched(table):
            view = self._view(table)
            view.entries.clear()
            view.loaded = False
            self.emit(UnwatchTable(table))
            self._forget_if_unused(table)

    def _is_watched(self, table: str) -> bool:
        return table in self.state.subscribers or table in self.state.row_subscribers

    def _forget_if_unused(self, table: str) -> None:
        """Drop the view of a table in which nobody here reads or writes."""
        if not (self.state.tables[table].own or self._is_watched(table)):
            del self.state.tables[table]

    def _subscribe(self, message: SubscribeTable) -> None:
        self._watch(message.table)
        subscribers = self.state.subscribers.setdefault(message.table, [])
        if message.subscriber not in subscribers:
            subscribers.append(message.subscriber)
        view = self._view(message.table)
        rows = tuple(view.effective(key, self.host.host) for key in view.known())
        if rows:
            self.send(message.subscriber, RowsChanged(message.table, self.lane.now, rows))

    def _unsubscribe(self, message: UnsubscribeTable) -> None:
        subscribers = self.state.subscribers.get(message.table, [])
        if message.subscriber in subscribers:
            subscribers.remove(message.subscriber)
            if not subscribers:
                del self.state.subscribers[message.table]
                self._unwatch(message.table)

    def _subscribe_row(self, message: SubscribeRow) -> None:
        table, key = message.table, message.key
        self._watch(table)
        names = self.state.row_subscribers.setdefault(table, {}).setdefault(key, [])
        if message.subscriber not in names:
            names.append(message.subscriber)
        view = self._view(table)
        row = view.effective(key, self.host.host)
        if view.loaded or row.value is not None:
            self.send(message.subscriber, RowsChanged(table, self.lane.now, (row,)))

    def _unsubscribe_row(self, message: UnsubscribeRow) -> None:
        by_row = self.state.row_subscribers.get(message.table, {})
        names = by_row.get(message.key, [])
        if message.subscriber not in names:
            return
        names.remove(message.subscriber)
        if not names:
            del by_row[message.key]
        if not by_row:
            del self.state.row_subscribers[message.table]
            self._unwatch(message.table)

    def _active(self) -> bytes:
        """Describe where ports are plugged in; the devices describe their own tables."""
        view = self.state.tables.get(ACTIVE_TABLE, TableView())
        rows = [view.effective(key, self.host.host) for key in view.known()]
        active = []
        for row in rows:
            with contextlib.suppress(ValueError):  # counted where the row is used
                if row.value is not None:
                    port, entry = decode_active(row.key, row.value)
                    active.append({"id": port, "host": entry.host, "tunnel_key": entry.tunnel_key})
        return msgspec.json.encode({"active": active})

    def _describe(self) -> bytes:
        state = self.state
        return msgspec.json.encode(
            {
                "session": state.session,
                "sessions": state.sessions,
                "why_ended": state.why_ended,
                "superseded": state.superseded,
                "tables": {
                    name: {"entries": len(view.entries), "own": len(view.own)}
                    for name, view in state.tables.items()
                },
            }
        )
