"""Folders: the nodes that others are under, made when they are first needed, and who may use them."""

import threading
from collections.abc import Iterable
from typing import Final

from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol import serialization as wire
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, Permissions

from actors.state.store.interface import StoreError
from actors.state.store.zookeeper.address import Address
from actors.state.store.zookeeper.connection import Connection
from actors.state.store.zookeeper.layout import Layout

_CHANGING: Final = Permissions.WRITE | Permissions.CREATE | Permissions.DELETE | Permissions.ADMIN


def barrier(path: str) -> wire.Transaction:
    """Return a transaction that changes nothing, and is carried out after all that came before it.

    What is read behind it on the same connection is no older than that. ZooKeeper's own `sync` is
    no barrier at the leader: that answers its own clients while it may still have to carry out
    what its followers have done, and told their clients.
    """
    return wire.Transaction((wire.CheckVersion(path, -1),))


class Folders:
    """The folders of one store, through one connection."""

    def __init__(self, address: Address, connection: Connection, layout: Layout) -> None:
        self._address = address
        self._connection = connection
        self._layout = layout
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self.acl = tuple(CREATOR_ALL_ACL if address.credential else OPEN_ACL_UNSAFE)
        """What every node of ours is made with: open to all only where there is no credential."""

    def prepare(self) -> None:
        """Make the root and what is in it. Raises StoreError, also if others may write there."""
        self.ensure(self._layout.folders)
        if not self._address.credential:
            return
        for path in self._layout.folders[-4:]:
            acls, _ = self._connection.call(wire.GetACL(path), again=True)
            if any(acl.id.scheme == "world" and acl.perms & _CHANGING for acl in acls):
                raise StoreError(
                    f"{self._address.url}: {path} may be changed by everyone, though a credential is"
                    " set; remove it, or restrict it with setAcl"
                )

    def ensure(self, paths: Iterable[str]) -> None:
        """Make folders that are not known to exist; their parents exist. Raises StoreError."""
        for path in paths:
            if path in self._known:
                continue
            if self._connection.call(wire.Exists(path, None), again=True) is None:
                self._make(path)
            with self._lock:
                self._known.add(path)

    def renew(self, paths: Iterable[str]) -> None:
        """Make folders again that someone has removed, the root if need be. Raises StoreError."""
        with self._lock:
            self._known.clear()
        self.prepare()
        self.ensure(paths)

    def catch_up(self) -> None:
        """Have this connection's server catch up with all that was written before this call."""
        self._connection.call(barrier(self._layout.root), again=True)

    def names(self, path: str) -> list[str]:
        """Return the names in a folder, none if it does not exist. Raises StoreError."""
        self.catch_up()
        try:
            names: list[str] = self._connection.call(
                wire.GetChildren(path, None), again=True, expected=(NoNodeError,)
            )
        except NoNodeError:
            return []
        return names

    def _make(self, path: str) -> None:
        try:
            self._connection.call(
                wire.Create(path, b"", self.acl, 0), again=True, expected=(NodeExistsError,)
            )
        except NodeExistsError:
            return
