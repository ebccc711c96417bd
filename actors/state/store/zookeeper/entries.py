"""Entries in ZooKeeper: reading tables, and the persistent entries that tools seed."""

from typing import Final

from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
from kazoo.protocol import serialization as wire

from actors.state.store.interface import EntryPut, StoreError
from actors.state.store.zookeeper.connection import Connection
from actors.state.store.zookeeper.folders import Folders
from actors.state.store.zookeeper.layout import LONGEST_ENTRY, PERSISTENT, Layout, entry_name
from actors.state.store.zookeeper.objects import Refuse
from actors.state.store.zookeeper.table_scope import Entries, current_entries, in_order

_SEED_TRIES: Final = 20
"""How often another seed into the same table may come first."""


def checked_entry_name(url: str, table: str, key: bytes, value: bytes, owner: str) -> str:
    """Return an entry's name. Raises StoreError if it is too long."""
    name = entry_name(key, value, owner)
    if len(name) > LONGEST_ENTRY:
        raise StoreError(
            f"{url}: an entry of table {table} is too long: key {len(key)} and value {len(value)}"
            f" bytes make a name of {len(name)}, at most {LONGEST_ENTRY} are stored"
        )
    return name


class Tables:
    """The tables of one store."""

    def __init__(self, url: str, connection: Connection, layout: Layout, folders: Folders) -> None:
        self._url = url
        self._connection = connection
        self._layout = layout
        self._folders = folders

    def entries(self, table: str, refuse: Refuse) -> tuple[EntryPut, ...]:
        """Return a table's entries in the order of seq. Raises StoreError."""
        path = self._layout.table(table)
        entries, strange = current_entries(table, self._folders.names(path))
        for name in strange:
            refuse(f"{path}/{name}")
        return in_order(entries.values())

    def seed(self, table: str, key: bytes, value: bytes | None) -> None:
        """Set (or with None remove) a persistent entry. Raises StoreError."""
        folder = self._layout.table(table)
        name = None if value is None else checked_entry_name(self._url, table, key, value, "")
        self._folders.ensure((folder,))
        for _ in range(_SEED_TRIES):
            try:
                names, stat = self._connection.call(
                    wire.GetChildren2(folder, None), again=True, expected=(NoNodeError,)
                )
            except NoNodeError:
                self._folders.renew((folder,))
                continue
            if self._exchange(table, names, stat.version, key, name):
                return
        raise StoreError(f"{self._url}: others keep changing table {table}")

    def _exchange(
        self, table: str, names: list[str], version: int, key: bytes, name: str | None
    ) -> bool:
        """Put the seed `name` in place of the one in `names`; return whether nobody else did.

        The folder's own version is the lock: every change of its seeds adds 1.
        """
        entries: Entries = current_entries(table, names)[0]
        folder = self._layout.table(table)
        known = entries.get((key, PERSISTENT))
        old = None if known is None else entry_name(known.key, known.value, PERSISTENT)
        if old is None and name is None:
            return True
        requests: list[object] = [wire.SetData(folder, b"", version)]
        if old is not None and (name is None or name == old):
            requests.append(wire.Delete(f"{folder}/{old}", -1))
            old = None
        if name is not None:
            requests.append(wire.Create(f"{folder}/{name}", b"", self._folders.acl, 0))
        if old is not None:
            requests.append(wire.Delete(f"{folder}/{old}", -1))
        results = self._connection.call(wire.Transaction(tuple(requests)), again=False)
        errors = [result for result in results if isinstance(result, KazooException)]
        if any(isinstance(e, BadVersionError | NoNodeError | NodeExistsError) for e in errors):
            return False
        if errors:
            raise StoreError(f"{self._url}: ZooKeeper refuses: {errors[0]!r}")
        return True
