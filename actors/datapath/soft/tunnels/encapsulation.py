"""Encapsulation: what differs between tunnels over UDP, the header between datagram and frame."""

from abc import ABC, abstractmethod
from typing import Final

ETHERTYPE_BRIDGED: Final = 0x6558
"""Transparent Ethernet bridging: the payload is an Ethernet frame (ETH_P_TEB)."""


class Encapsulation(ABC):
    """Writes and reads the header of one type of tunnel; without state."""

    kind: int
    """OVS_VPORT_TYPE_* of the port."""

    @abstractmethod
    def header(self, tun_id: int) -> bytes:
        """Return the header of a frame with this key."""

    @abstractmethod
    def read(self, datagram: memoryview, at: int, end: int) -> tuple[int, int] | None:
        """Return the key of the header at `at` and where its frame begins, at most `end`.

        None if it is cut short or not such a header.
        """
