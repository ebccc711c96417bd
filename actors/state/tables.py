"""State tables: the names of the shared tables, and how their keys and values are written.

- `active`: port -> (host, tunnel key). A port is there while its host has it plugged.
- `mac/<bridge>`: (VLAN, MAC) -> port, learned by the host where the frame entered.
- `arp/<router port>`: address -> MAC, learned by the host where the reply entered.
"""

import msgspec

from actors.tunnel_key import PORT_MASK
from actors.values import DeviceId, HostId, IpAddress, Mac, PortId

ACTIVE_TABLE = "active"


class ActivePort(msgspec.Struct, frozen=True, array_like=True):
    """Where a port is plugged in, and the 20-bit number by which tunnels name it there."""

    host: HostId
    tunnel_key: int


_active_decoder = msgspec.msgpack.Decoder(ActivePort)


def mac_table(bridge: DeviceId) -> str:
    """Return the name of a bridge's MAC table."""
    return f"mac/{bridge}"


def arp_table(port: PortId) -> str:
    """Return the name of a router port's ARP table."""
    return f"arp/{port}"


def encode_active(port: PortId, active: ActivePort) -> tuple[bytes, bytes]:
    """Return key and value of a row of the active table."""
    return port.encode(), msgspec.msgpack.encode(active)


def decode_active(key: bytes, value: bytes) -> tuple[PortId, ActivePort]:
    """Read a row of the active table; raise ValueError if it is malformed."""
    active = _active_decoder.decode(value)
    if not 0 < active.tunnel_key <= PORT_MASK:
        raise ValueError(f"{active.tunnel_key} is no tunnel key of a port")
    return PortId(key.decode()), active


def encode_mac(vlan: int, mac: Mac, port: PortId) -> tuple[bytes, bytes]:
    """Return key and value of a row of a MAC table. `vlan` is the VID, 0 if untagged."""
    return vlan.to_bytes(2) + mac, port.encode()


def decode_mac(key: bytes, value: bytes) -> tuple[int, Mac, PortId]:
    """Read a row of a MAC table; raise ValueError if it is malformed."""
    if len(key) != 8:
        raise ValueError("the key of a MAC table row is 8 bytes")
    return int.from_bytes(key[:2]), Mac(key[2:]), PortId(value.decode())


def encode_arp(address: IpAddress, mac: Mac) -> tuple[bytes, bytes]:
    """Return key and value of a row of an ARP table."""
    return address, mac


def decode_arp(key: bytes, value: bytes) -> tuple[IpAddress, Mac]:
    """Read a row of an ARP table; raise ValueError if it is malformed."""
    if len(key) not in {4, 16} or len(value) != 6:
        raise ValueError("an ARP table row is an IP address and a MAC")
    return IpAddress(key), Mac(value)
