"""Port: what the datapath's loop needs of any port, and the counters that every port keeps."""

from abc import ABC, abstractmethod

from actors.datapath.odp.constants import OVS_VPORT_TYPE_INTERNAL
from actors.datapath.soft.limits import UPCALL_BURST, UPCALLS_PER_SECOND
from actors.datapath.soft.packet import Packet
from actors.datapath.soft.token_bucket import TokenBucket


class PortUnavailableError(OSError):
    """The device behind a port cannot be opened; `errno` is what the kernel's module would answer."""


class Port(ABC):
    """One vport. Receiving and sending never block; what cannot be done is counted."""

    wants_plain = False
    """Frames must leave it whole: checksums complete, GSO frames in segments."""
    unread = False
    """Frames were taken from the kernel that `receive` has yet to give out."""
    kind = OVS_VPORT_TYPE_INTERNAL
    """OVS_VPORT_TYPE_* as it is reported."""
    udp_port: int | None = None
    """Of a tunnel port."""
    ifindex = 0
    """Of the link behind it, 0 if there is none."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.upcall_pid = 0
        self.upcall_bucket = TokenBucket(UPCALLS_PER_SECOND, UPCALL_BURST)
        self.alive = True
        """False once the device has gone away."""
        self.rx_packets = 0
        self.rx_bytes = 0
        self.rx_errors = 0
        self.rx_dropped = 0
        self.tx_packets = 0
        self.tx_bytes = 0
        self.tx_errors = 0
        self.tx_dropped = 0

    @property
    @abstractmethod
    def descriptors(self) -> tuple[int, ...]:
        """File descriptors to watch for frames; empty for a port that never receives."""

    @abstractmethod
    def receive(self, descriptor: int, packet: Packet) -> bool:
        """Read one frame into `packet`; False when none is waiting.

        A frame that must be refused is counted and yields True with an empty packet.
        """

    @abstractmethod
    def send(self, packet: Packet) -> bool:
        """Send the frame, or count why not; False if only its segments can be sent."""

    def send_segments(self, packet: Packet, frames: list[bytes]) -> None:
        """Send the segments of a GSO frame instead of it."""
        segment = Packet()
        for frame in frames:
            segment.load(frame)
            segment.tunnel_out = packet.tunnel_out
            self.send(segment)

    def check_link(self) -> None:  # noqa: B027 - most ports notice when they read
        """Look whether the device is still there; called when some link has changed."""

    def refresh_drops(self) -> None:  # noqa: B027 - most ports know of none
        """Bring `rx_dropped` up to date with what the kernel dropped before this program."""

    @abstractmethod
    def close(self) -> None:
        """Release the device; whatever was made for it goes away."""

    def count_received(self, packet: Packet, frames: int = 1) -> None:
        """Count one good frame in, or several that were joined to one."""
        packet.in_port = self.number
        self.rx_packets += frames
        self.rx_bytes += packet.end - packet.start

    def refuse_received(self, packet: Packet) -> bool:
        """Count one broken frame and empty `packet`."""
        self.rx_errors += 1
        packet.reset(0)
        return True
