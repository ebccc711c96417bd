"""TopologyWatcher: tells actors how the objects are that they asked for, now and after changes.

Owns the subscriptions and the last good version of each watched object. Receives subscriptions,
and changes from the store. Emits watch requests. An object that cannot be read is counted and
named, and the last good one stays in force.
"""

from typing import assert_never

import msgspec

from actors.lane_actor import LaneActor
from actors.messages.operator import Inspect, Inspected
from actors.messages.topology import (
    Configured,
    ObjectState,
    Subscribe,
    TopologyChanged,
    Unsubscribe,
    UnwatchObject,
    WatchKind,
    WatchObject,
)
from actors.state.document.objects import ObjectError, decode_object, object_key
from actors.state.store.interface import ObjectKey
from actors.state.topology import TopologyObject
from actors.values import ActorName, Nanoseconds

WatcherMessage = Subscribe | Unsubscribe | TopologyChanged | Inspect


class WatcherState(msgspec.Struct):
    """All that the topology watcher knows. Keys are `kind/id`, or `kind/` for all of a kind."""

    subscribers: dict[str, list[ActorName]] = msgspec.field(default_factory=dict)
    objects: dict[str, ObjectState] = msgspec.field(default_factory=dict)
    malformed: dict[str, int] = msgspec.field(default_factory=dict)
    """`kind/id` -> version that could not be read."""


class TopologyWatcher(LaneActor):
    """See the module."""

    State = WatcherState
    can_begin_afresh = False
    state: WatcherState

    def on_receive(self, message: WatcherMessage) -> None:
        """Handle one message."""
        match message:
            case Subscribe():
                self._subscribe(message)
            case Unsubscribe():
                self._unsubscribe(message)
            case TopologyChanged():
                for changed in message.objects:
                    self._changed(changed, message.at)
                if message.whole_kind:
                    self._forget_others(message)
            case Inspect():
                body = msgspec.json.encode(
                    {"watched": len(self.state.subscribers), "malformed": self.state.malformed}
                )
                self.send(message.requester, Inspected(message.request, self.name, body))
            case _:
                assert_never(message)

    def _subscribe(self, message: Subscribe) -> None:
        state = self.state
        key = f"{message.kind}/{message.id}"
        subscribers = state.subscribers.setdefault(key, [])
        first = not subscribers
        if message.subscriber not in subscribers:
            subscribers.append(message.subscriber)
        if first and message.id:
            self.emit(WatchObject(message.kind, message.id))
        elif first:
            self.emit(WatchKind(message.kind))
        prefix = key if message.id else f"{message.kind}/"
        for known, stored in state.objects.items():
            if known == key or (not message.id and known.startswith(prefix)):
                config = self._decode(stored)
                configured = Configured(stored.kind, stored.id, config, self.lane.now)
                self.send(message.subscriber, configured)

    def _unsubscribe(self, message: Unsubscribe) -> None:
        key = f"{message.kind}/{message.id}"
        subscribers = self.state.subscribers.get(key, [])
        if message.subscriber in subscribers:
            subscribers.remove(message.subscriber)
            if not subscribers:
                del self.state.subscribers[key]
                self.state.objects.pop(key, None)
                self.state.malformed.pop(key, None)
                self.emit(UnwatchObject(message.kind, message.id))

    def _changed(self, changed: ObjectState, at: Nanoseconds) -> None:
        state = self.state
        key = f"{changed.kind}/{changed.id}"
        if key not in state.subscribers and f"{changed.kind}/" not in state.subscribers:
            return  # it was on its way when the last subscriber lost interest
        old = state.objects.get(key)
        if old is not None and old.version == changed.version and old.data == changed.data:
            return
        config = self._decode(changed)
        if config is None and changed.data is not None:
            state.malformed[key] = changed.version
            return
        state.malformed.pop(key, None)
        state.objects[key] = changed
        configured = Configured(changed.kind, changed.id, config, at)
        for name in (
            *state.subscribers.get(key, ()),
            *state.subscribers.get(f"{changed.kind}/", ()),
        ):
            self.send(name, configured)
        if changed.data is None and key not in state.subscribers:
            del state.objects[key]

    def _forget_others(self, message: TopologyChanged) -> None:
        """Objects of a kind that is now known as a whole, and that are not in it, are gone."""
        there = {stored.id for stored in message.objects}
        gone = [
            stored.id
            for stored in self.state.objects.values()
            if stored.kind == message.whole_kind and stored.id not in there
        ]
        for identity in gone:
            self._changed(ObjectState(message.whole_kind, identity, 0, None), message.at)

    def _decode(self, stored: ObjectState) -> TopologyObject | None:
        if stored.data is None:
            return None
        try:
            decoded = decode_object(stored.data)
        except ObjectError:
            return None
        # An object under another's key is as unreadable as any other bytes.
        return decoded if object_key(decoded) == ObjectKey(stored.kind, stored.id) else None
