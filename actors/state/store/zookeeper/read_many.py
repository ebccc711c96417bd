"""ReadMany: ZooKeeper's multiRead (3.6), which kazoo 2.11 cannot ask for: many nodes in one request.

What it answers was so at one moment.
"""

from typing import ClassVar, Final

from kazoo.exceptions import EXCEPTIONS, NoNodeError, ZookeeperError
from kazoo.protocol.serialization import (
    GetData,
    MultiHeader,
    int_struct,
    read_buffer,
    stat_struct,
)
from kazoo.protocol.states import ZnodeStat
from msgspec import Struct

MOST_NODES: Final = 200
"""Nodes of one request, so that others' answers come in between."""
_FAILED: Final = -1


class Node(Struct, frozen=True):
    """A node as read."""

    data: bytes
    version: int
    created: int
    """The transaction that created it: tells a node from its predecessor of the same path."""
    modified: int


class ReadMany(Struct, frozen=True):
    """Read nodes. The answer has None for each that does not exist."""

    type: ClassVar[int] = 22  # ZooDefs.OpCode.multiRead

    paths: tuple[str, ...]

    def serialize(self) -> bytes:
        """Return the request's body."""
        body = bytearray()
        for path in self.paths:
            body += MultiHeader(GetData.type, done=False, err=-1).serialize()
            body += GetData(path, None).serialize()
        return bytes(body + MultiHeader(-1, done=True, err=-1).serialize())

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> tuple[Node | None, ...]:
        """Read the answer. Raises kazoo's exception for a node that may not be read."""
        nodes: list[Node | None] = []
        while True:
            header, offset = MultiHeader.deserialize(buffer, offset)
            if header.done:
                return tuple(nodes)
            if header.type == _FAILED:
                (code,) = int_struct.unpack_from(buffer, offset)
                offset += int_struct.size
                if code != NoNodeError.code:
                    raise EXCEPTIONS[code] if code in EXCEPTIONS else ZookeeperError(code)
                nodes.append(None)
                continue
            data, offset = read_buffer(buffer, offset)
            stat = ZnodeStat._make(stat_struct.unpack_from(buffer, offset))
            offset += stat_struct.size
            nodes.append(Node(data or b"", stat.version, stat.czxid, stat.mzxid))
