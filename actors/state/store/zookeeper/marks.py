"""Marks: which session of ZooKeeper's holds the session of an owner, so that a successor can end it.

A mark is an ephemeral node of the session that it names, with that session's id and password in it:
who ends it, as the owner's new session, resumes it and closes it, and the server removes all that
was its own in one step. ZooKeeper makes these passwords from the ids by a known rule; they protect
nothing, and the mark gives nothing away. Only the mark of the same holder, or of a dead one, is
taken from a session; only that of the same holder is ended.
"""

from contextlib import suppress
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


class Marked(msgspec.Struct, frozen=True):
    """The session that got the mark."""

    session: int
    inherits: bool
    """Whether there was one before it, whose entries may stand."""
    earlier: Mark | None
    """The mark of that one, if it was the same holder's."""


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
) -> Marked:
    """Say that this connection's session is the owner's. Raises OwnerTaken, StoreError."""
    path = layout.session(owner)
    inherits, earlier = False, None
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
            found, taken = _take(address, connection, path, wanted)
            if taken:
                return Marked(own[0], inherits, earlier)
            inherits, earlier = True, found or earlier
        else:
            return Marked(own[0], inherits, earlier)
    raise StoreError(f"{address.url}: others keep opening the session of {owner}")


def end_session(address: Address, mark: Mark) -> None:
    """End the session that a mark was of, if the server has not; its entries go. Raises StoreError."""
    resumed = Connection(
        address, _RESUME_SECONDS, keep_session=True, client_id=(mark.session, mark.password)
    )
    try:
        resumed.open()
    finally:
        resumed.close()


def _take(
    address: Address, connection: Connection, path: str, wanted: Contender
) -> tuple[Mark | None, bool]:
    """Take a mark from its session; return it if it was the same holder's.

    Tells also whether the mark is the contender's already. A dead process's session only loses its
    mark: nobody keeps it alive, so that the server ends it, and removes its entries, when its time
    has run out.
    """
    try:
        data, stat = connection.call(wire.GetData(path, None), again=True, expected=(NoNodeError,))
    except NoNodeError:
        return None, False
    if stat.ephemeralOwner == wanted.session:
        return None, True  # created, and only the answer was lost
    try:
        mark = msgspec.json.decode(data, type=Mark)
    except msgspec.DecodeError:
        mark = None
    same = False
    # One that is not of this store's making names nobody whose entries could be removed.
    if mark is not None and mark.session == stat.ephemeralOwner:
        same = check_free(address.url, wanted.owner, mark.lease, wanted.lease)
    with suppress(NoNodeError):
        connection.call(wire.Delete(path, stat.version), again=True, expected=(NoNodeError,))
    return mark if same else None, False
