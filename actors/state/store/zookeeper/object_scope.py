"""KindScope and ObjectScope: watched objects. An event names an object, which is then read.

Several changes of an object between two reads are told as one. Reads go on in rounds until one
ends without a new event: then all events of every transaction of which something was read have
come, since the server sends them before it answers a later read; so a transaction arrives whole.
Under a rain of changes that does not let up, what was read is told after some rounds.
"""

from typing import Final

from kazoo.protocol import serialization as wire

from actors.state.store.interface import ObjectChanged, ObjectKey, StoreEvent
from actors.state.store.zookeeper.layout import Layout, Undecodable, name_of
from actors.state.store.zookeeper.objects import batches, readable_ids
from actors.state.store.zookeeper.persistent_watch import NodeEvent
from actors.state.store.zookeeper.read_many import Node, ReadMany
from actors.state.store.zookeeper.scope import Post, Scope

_MOST_ROUNDS: Final = 4

_NAMES: Final = "names"


class _ObjectsScope(Scope):
    """Reads objects in rounds."""

    def __init__(self, path: str, post: Post, layout: Layout) -> None:
        super().__init__(path, post)
        self._layout = layout
        self._known: dict[ObjectKey, Node] = {}
        self._dirty: dict[ObjectKey, None] = {}
        self._asked: dict[ObjectKey, None] = {}
        self._found: dict[ObjectKey, Node | None] = {}
        self._batches = 0  # without an answer
        self._rounds = 0
        self._listed = False

    def begin(self) -> None:
        """Set the watch (anew) and read what is there."""
        self._dirty, self._asked, self._found = {}, {}, {}
        self._batches = self._rounds = 0
        self._listed = False
        super().begin()

    def _change(self, key: ObjectKey) -> None:
        """Read an object again, unless the answer that is to come will include the change."""
        if not self._listed or key in self._asked:
            return
        self._dirty[key] = None
        if not self._batches:
            self._read_round()

    def _start(self, keys: list[ObjectKey]) -> None:
        """Read what is there: these, and nothing else that was known."""
        self._listed = True
        self._dirty = dict.fromkeys(keys)
        self._found = {key: None for key in self._known if key not in self._dirty}
        self._read_round()

    def _read_round(self) -> None:
        self._asked, self._dirty = self._dirty, {}
        for batch in batches(self._asked):
            self._batches += 1
            self._ask(ReadMany(tuple(map(self._layout.object, batch))), batch)
        if not self._asked:
            self._finish()

    def _take_nodes(self, keys: tuple[ObjectKey, ...], nodes: tuple[Node | None, ...]) -> None:
        for key, node in zip(keys, nodes, strict=True):
            self._found[key] = node
            self._asked.pop(key, None)
        self._batches -= 1
        if self._batches:
            return
        self._rounds += 1
        if self._dirty and self._rounds < _MOST_ROUNDS:
            self._read_round()
        else:
            self._finish()

    def _finish(self) -> None:
        found, self._found, self._rounds = self._found, {}, 0
        changes = [change for key, node in found.items() for change in self._compare(key, node)]
        if self._live:
            self._publish(tuple(changes))
        else:
            self._arrive(tuple(changes))
        if self._dirty:
            self._read_round()

    def _compare(self, key: ObjectKey, node: Node | None) -> tuple[ObjectChanged, ...]:
        """Take note of an object as it was found; return what is new about it."""
        known = self._known.get(key)
        gone = ObjectChanged(key, 0, None)
        if node is None:
            if known is None:
                return ()
            del self._known[key]
            return (gone,)
        self._known[key] = node
        if known is not None and known.modified == node.modified:
            return ()
        change = ObjectChanged(key, node.version + 1, node.data)
        if known is not None and known.created != node.created:
            return gone, change
        return (change,)

    def _everything(self) -> tuple[StoreEvent, ...]:
        return tuple(
            ObjectChanged(key, node.version + 1, node.data)
            for key, node in sorted(self._known.items())
        )


class KindScope(_ObjectsScope):
    """All objects of a kind."""

    def __init__(self, path: str, post: Post, layout: Layout, kind: str) -> None:
        super().__init__(path, post, layout)
        self._kind = kind

    def take_event(self, event: NodeEvent, path: str) -> None:
        """Take note that an object changed."""
        try:
            id_ = name_of(path.rpartition("/")[2])
        except Undecodable:
            if event is NodeEvent.CREATED:
                self._post.refuse(path)
            return
        self._change(ObjectKey(self._kind, id_))

    def _ask_first(self) -> None:
        self._ask(wire.GetChildren(self.path, None), _NAMES)

    def _take_read(self, what: object, value: object) -> None:
        if isinstance(what, tuple) and isinstance(value, tuple):
            self._take_nodes(what, value)
            return
        names = value if isinstance(value, list) else []
        ids = sorted(readable_ids(self.path, names, self._post.refuse))
        self._start([ObjectKey(self._kind, id_) for id_ in ids])


class ObjectScope(_ObjectsScope):
    """One object."""

    def __init__(self, path: str, post: Post, layout: Layout, key: ObjectKey) -> None:
        super().__init__(path, post, layout)
        self._key = key

    def take_event(self, event: NodeEvent, path: str) -> None:
        """Take note that the object changed."""
        del event
        if path == self.path:
            self._change(self._key)

    def _ask_first(self) -> None:
        self._start([self._key])

    def _take_read(self, what: object, value: object) -> None:
        if isinstance(what, tuple) and isinstance(value, tuple):
            self._take_nodes(what, value)

    def _everything(self) -> tuple[StoreEvent, ...]:
        return super()._everything() or (ObjectChanged(self._key, 0, None),)
