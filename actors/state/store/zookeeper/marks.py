"""Marks: which session of ZooKeeper's holds the session of an owner, so that a successor can end it.

A mark is an ephemeral node of the session that it names, with that session's id and password in it:
who ends it, as the owner's new session, resumes it and closes it, and the server removes all that
was its own in one step. ZooKeeper makes these passwords from the ids by a known rule; they protect
nothing, and the mark gives nothing away. Only that of the same holder is ended, or a dead one's
taken.
"""

from typing import Final

import msgspec
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol import serialization as wire

from actors.state.store.holder import Lease, check_free
from actors.state.store.interface import StoreError
from actors.state.store.zookeeper.address import Address
from actors.state.store.zookeeper.connection import Connection
from actors.state.store.zookeeper.folders import Folders
from actors.state.store.zookeeper.layout import Layout

_EPHEMERAL: Final = 1  # CreateMode
_TRIES: Final = 10
"""How often another with the same owner may come first."""
_RESUME_SECONDS: Final = 6.0


class Mark(msgspec.Struct, frozen=True):
    """The content of a mark."""

    session: int
    password: bytes
    lease: Lease


class Contender(msgspec.Struct, frozen=True):
    """Who wants the session of an owner, and the session of ZooKeeper's that is to be it."""

    owner: str
    lease: Lease
    session: int


def set_mark(
    address: Address,
    layout: Layout,
    folders: Folders,
    connection: Connection,
    owner: str,
    lease: Lease,
) -> None:
    """Say that this connection's session is the owner's, ending the one before.

    Raises OwnerTaken, StoreError.
    """
    path = layout.session(owner)
    for _ in range(_TRIES):
        own = connection.session_id
        if own is None:
            raise StoreError(f"{address.url}: the connection broke while a session was opened")
        data = msgspec.json.encode(Mark(*own, lease))
        try:
            connection.call(
                wire.Create(path, data, folders.acl, _EPHEMERAL),
                again=True,
                expected=(NodeExistsError, NoNodeError),
            )
        except NoNodeError:
            folders.renew(())
        except NodeExistsError:
            wanted = Contender(owner, lease, own[0])
            if _end_predecessor(address, connection, path, wanted):
                return
        else:
            return
    raise StoreError(f"{address.url}: others keep opening the session of {owner}")


def _end_predecessor(
    address: Address, connection: Connection, path: str, wanted: Contender
) -> bool:
    """End the session that holds a mark; return True if that is the contender's already.

    A dead process's session only loses its mark: nobody keeps it alive, so that the server ends it,
    and removes its entries, when its time has run out.
    """
    try:
        data, stat = connection.call(wire.GetData(path, None), again=True, expected=(NoNodeError,))
    except NoNodeError:
        return False
    if stat.ephemeralOwner == wanted.session:
        return True  # created, and only the answer was lost
    try:
        mark = msgspec.json.decode(data, type=Mark)
    except msgspec.DecodeError:
        mark = None
    # One that is not of this store's making names nobody whose entries could be removed.
    foreign = mark is None or mark.session != stat.ephemeralOwner
    if mark is None or foreign or check_free(address.url, wanted.owner, mark.lease, wanted.lease):
        connection.call(wire.Delete(path, stat.version), again=True, expected=(NoNodeError,))
        return False
    resumed = Connection(
        address, _RESUME_SECONDS, keep_session=True, client_id=(mark.session, mark.password)
    )
    try:
        resumed.open()
    finally:
        resumed.close()
    return False
