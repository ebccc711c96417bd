"""What the agent of one host is told once: its identity and the settings that decisions depend on.

Replay reads them back from the journal, so that it decides alike. Times are in nanoseconds.
"""

from msgspec import Struct

from actors.values import SECOND, HostId


class HostSettings(Struct, frozen=True):
    """Identity of the host, and limits and times of its actors."""

    host: HostId
    name: str
    seed: int = 0
    """Drawn at each start of an agent: spreads what hosts would otherwise do at the same time."""
    tunnel_udp_port: int = 6677
    """Of VXLAN tunnels."""
    tunnel_geneve_port: int = 6081
    """UDP port of Geneve tunnels (RFC 8926)."""
    tunnel_mtu: int = 1500
    mac_idle: int = 15 * SECOND
    device_idle: int = 300 * SECOND
    """After its last packet and flow, a device that has nothing in hand is let go."""
    arp_retry: int = SECOND
    arp_tries: int = 3
    arp_stale: int = 60 * SECOND
    arp_expiry: int = 90 * SECOND
    most_flows: int = 100_000
    most_macs: int = 50_000
    """Entries of one bridge's MAC table."""
    most_arp_entries: int = 20_000
    """Entries of one router port's ARP table."""
    most_parked: int = 1_000
    """Packets that wait in one device."""
    frame_limit: int = 2048
    """Bytes of a frame that are journaled; of a parked one, a snapshot keeps no more either."""
    icmp_burst: int = 50
    """ICMP errors that a router may send at once; one more each 10 ms."""
