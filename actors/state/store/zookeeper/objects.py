"""Objects in ZooKeeper: reading them, and carrying out transactions, each as one multi."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, assert_never

from kazoo.exceptions import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol import serialization as wire
from msgspec import Struct

from actors.state.store.interface import (
    Conflict,
    Create,
    Delete,
    ObjectKey,
    Operation,
    StoredObject,
    StoreError,
    Update,
)
from actors.state.store.zookeeper.connection import Connection, Unknown
from actors.state.store.zookeeper.folders import Folders
from actors.state.store.zookeeper.layout import Layout, Undecodable, name_of
from actors.state.store.zookeeper.read_many import MOST_NODES, Node, ReadMany

DEFAULT_LARGEST: Final = 1_048_575
"""Bytes of a request that a server takes unless its `jute.maxbuffer` says otherwise."""
_LAST_VERSION: Final = 2**31 - 1
_HEADER: Final = 12
"""Bytes of a request before its body: length, number, kind."""

Refuse = Callable[[str], None]
"""Called with the path of a node that this store would not have written."""


def stored(key: ObjectKey, node: Node) -> StoredObject:
    """Return an object as read: nodes count their versions from 0, objects from 1."""
    return StoredObject(key, node.version + 1, node.data)


class _FolderMissing(Struct, frozen=True):
    path: str


class Objects:
    """The objects of one store."""

    def __init__(self, url: str, connection: Connection, layout: Layout, folders: Folders) -> None:
        self._url = url
        self._connection = connection
        self._layout = layout
        self._folders = folders

    def read(self, key: ObjectKey) -> StoredObject | None:
        """Return the object, or None. Raises StoreError."""
        path = self._layout.object(key)
        self._folders.catch_up()
        (node,) = self._connection.call(ReadMany((path,)), again=True)
        return None if node is None else stored(key, node)

    def list(self, kind: str, refuse: Refuse) -> tuple[StoredObject, ...]:
        """Return the objects of a kind in the order of their ids. Raises StoreError."""
        folder = self._layout.kind(kind)
        ids = sorted(readable_ids(folder, self._folders.names(folder), refuse))
        keys = [ObjectKey(kind, id_) for id_ in ids]
        found: list[StoredObject] = []
        for batch in batches(keys):
            request = ReadMany(tuple(map(self._layout.object, batch)))
            nodes: tuple[Node | None, ...] = self._connection.call(request, again=True)
            found += [
                stored(key, node)
                for key, node in zip(batch, nodes, strict=True)
                if node is not None
            ]
        return tuple(found)

    def transact(self, operations: tuple[Operation, ...]) -> None:
        """Apply all operations or none. Raises Conflict, StoreError."""
        if not operations:
            return
        requests = tuple(map(self._request, operations))
        kinds = {op.key.kind: None for op in operations if isinstance(op, Create)}
        folders = tuple(map(self._layout.kind, kinds))
        self._folders.ensure(folders)
        error = self._commit(operations, requests)
        if isinstance(error, _FolderMissing):
            self._folders.renew(folders)
            error = self._commit(operations, requests)
        if isinstance(error, _FolderMissing):
            raise StoreError(f"{self._url}: {error.path} keeps being removed")
        if error is not None:
            raise error

    def _commit(
        self, operations: tuple[Operation, ...], requests: tuple[object, ...]
    ) -> StoreError | _FolderMissing | None:
        """Send a multi; return why it was not applied."""
        request = wire.Transaction(requests)
        size = len(request.serialize()) + _HEADER
        try:
            results: list[object] = self._connection.call(request, again=False)
        except Unknown as error:
            if size > DEFAULT_LARGEST:
                raise StoreError(
                    f"{self._url}: a transaction of {len(operations)} operations and {size} bytes"
                    f" broke the connection; servers take {DEFAULT_LARGEST} bytes unless their"
                    " jute.maxbuffer says otherwise"
                ) from error
            raise StoreError(f"{error}; the transaction may have been applied, or not") from error
        for operation, result in zip(operations, results, strict=True):
            if isinstance(result, RolledBackError | RuntimeInconsistency):
                continue
            if isinstance(result, NoNodeError) and isinstance(operation, Create):
                return _FolderMissing(self._layout.kind(operation.key.kind))
            if isinstance(result, Exception):
                return _conflict(operation, result)
        return None

    def _request(self, operation: Operation) -> object:
        path = self._layout.object(operation.key)
        match operation:
            case Create(_, data):
                return wire.Create(path, data, self._folders.acl, 0)
            case Update(_, version, data):
                return wire.SetData(path, data, _node_version(operation.key, version))
            case Delete(_, version):
                return wire.Delete(path, _node_version(operation.key, version))
            case _:
                assert_never(operation)


def readable_ids(folder: str, names: Iterable[str], refuse: Refuse) -> Iterable[str]:
    """Yield the ids that names in a kind's folder are of; refuse the others by name."""
    for name in names:
        try:
            yield name_of(name)
        except Undecodable:
            refuse(f"{folder}/{name}")


def batches(keys: Iterable[ObjectKey]) -> Iterable[tuple[ObjectKey, ...]]:
    """Yield keys in numbers that one request may ask for."""
    rest = iter(keys)
    while batch := tuple(islice(rest, MOST_NODES)):
        yield batch


def _node_version(key: ObjectKey, version: int) -> int:
    if not 1 <= version <= _LAST_VERSION:  # to ZooKeeper -1, our 0, would be "any"
        raise Conflict(f"{key.kind} {key.id} is not at version {version}, which no object has")
    return version - 1


def _conflict(operation: Operation, error: Exception) -> StoreError:
    name = f"{operation.key.kind} {operation.key.id}"
    match error, operation:
        case NodeExistsError(), _:
            return Conflict(f"{name} exists already")
        case NoNodeError(), Update(_, version) | Delete(_, version):
            return Conflict(f"{name} does not exist, and was expected at version {version}")
        case BadVersionError(), Update(_, version) | Delete(_, version):
            return Conflict(f"{name} is not at version {version}, as was expected")
        case _:
            return StoreError(f"{name}: ZooKeeper refuses: {error!r}")
