"""InternalPort: a TAP device that the datapath makes, whose other side is the host's own stack.

It stands for the module's internal vports. The device lives as long as its descriptor.
NoDevicePort is the datapath's own port on a machine without /dev/net/tun.
"""

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

from actors.datapath.soft.packet import HEADROOM, VNET_LENGTH, Packet
from actors.datapath.soft.ports.port import Port, PortUnavailableError

_TUN: Final = Path("/dev/net/tun")
# linux/if_tun.h
_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNSETVNETHDRSZ: Final = 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x4000, 0x8000
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6 = 1, 2, 4
_IFREQ: Final = struct.Struct("=16sH22x")
_MAX_NAME: Final = 15


class InternalPort(Port):
    """A TAP device of the given name; raises PortUnavailableError if it cannot be made."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, name)
        if not 1 <= len(name.encode()) <= _MAX_NAME:
            raise PortUnavailableError(errno.EINVAL, f"{name!r} is no link name")
        self._descriptor = _open_tap(name)
        self.ifindex = socket.if_nametoindex(name)
        self._into: list[memoryview] = []
        self._packet: Packet | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors to watch."""
        return (self._descriptor,)

    def receive(self, descriptor: int, packet: Packet) -> bool:
        """Read one frame, see `Port`."""
        if packet is not self._packet:
            self._packet = packet
            self._into = [packet.view[HEADROOM - VNET_LENGTH :]]
        try:
            length = os.readv(descriptor, self._into) - VNET_LENGTH
        except BlockingIOError:
            return False
        except OSError:
            # The device was deleted under us (EBADFD), and never comes back.
            self.alive = False
            return False
        if length < 14 or not packet.read_vnet(length):
            return self.refuse_received(packet)
        self.count_received(packet)
        return True

    def send(self, packet: Packet) -> bool:
        """Send the frame, see `Port`."""
        try:
            os.write(self._descriptor, packet.write_vnet())
        except BlockingIOError:
            self.tx_dropped += 1
        except OSError as error:
            if error.errno == errno.EINVAL and packet.gso_type:
                return False
            if error.errno == errno.EIO:  # the device is down
                self.tx_dropped += 1
            else:
                self.tx_errors += 1
        else:
            self.tx_packets += 1
            self.tx_bytes += packet.end - packet.start
        return True

    def close(self) -> None:
        """Release the device."""
        os.close(self._descriptor)


class NoDevicePort(Port):
    """A port without a device: it receives nothing, and counts what is sent to it as dropped."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors to watch."""
        return ()

    def receive(self, descriptor: int, packet: Packet) -> bool:
        """Read one frame, see `Port`."""
        del descriptor, packet
        return False

    def send(self, packet: Packet) -> bool:
        """Send the frame, see `Port`."""
        del packet
        self.tx_dropped += 1
        return True

    def close(self) -> None:
        """There is nothing to release."""


def tap_is_usable() -> bool:
    """Tell whether this process may open the TUN/TAP driver's device file."""
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _open_tap(name: str) -> int:
    try:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PortUnavailableError(errno.ENODEV, f"{_TUN}: {error.strerror}") from error
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL
        fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), flags))
        fcntl.ioctl(descriptor, _TUNSETVNETHDRSZ, struct.pack("=i", VNET_LENGTH))
        fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6)
    except OSError as error:
        os.close(descriptor)
        code = errno.EEXIST if error.errno == errno.EBUSY else error.errno or errno.ENODEV
        raise PortUnavailableError(code, f"TAP device {name}: {error.strerror}") from error
    return descriptor
