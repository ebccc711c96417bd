"""Tags: what a flow depended on, as short text made once and kept beside what it stands for.

A tag's text is also its meaning in a flow dump: `mac:<bridge>:<vlan>:<mac>`.
"""

from actors.messages.flow_state import FlowStateKey
from actors.values import DeviceId, HostId, IpAddress, Mac, PortId, Tag, format_ip, format_mac


def device_tag(device: DeviceId) -> Tag:
    """Return the tag of a device's own settings, such as its admin state."""
    return Tag(f"device:{device}")


def port_tag(port: PortId) -> Tag:
    """Return the tag of a virtual port's configuration."""
    return Tag(f"port:{port}")


def reach_tag(port: PortId) -> Tag:
    """Return the tag of where an exterior port is plugged in: here, elsewhere or nowhere."""
    return Tag(f"reach:{port}")


def mac_tag(bridge: DeviceId, vlan: int, mac: Mac) -> Tag:
    """Return the tag of a MAC table's entry, which a flow used or whose absence made it flood."""
    return Tag(f"mac:{bridge}:{vlan}:{format_mac(mac)}")


def flood_tag(bridge: DeviceId) -> Tag:
    """Return the tag of the set of ports that a bridge floods to."""
    return Tag(f"flood:{bridge}")


def route_tag(router: DeviceId, text: str) -> Tag:
    """Return the tag of a route; `text` says which."""
    return Tag(f"route:{router}:{text}")


def arp_tag(port: PortId, address: IpAddress) -> Tag:
    """Return the tag of a router port's ARP entry."""
    return Tag(f"arp:{port}:{format_ip(address)}")


def tunnel_key_tag(key: int) -> Tag:
    """Return the tag of the meaning of one of this host's tunnel keys."""
    return Tag(f"tunnel-key:{key}")


def datapath_port_tag(number: int) -> Tag:
    """Return the tag of which virtual port, if any, one of this host's datapath ports is."""
    return Tag(f"datapath-port:{number}")


def underlay_tag(address: IpAddress) -> Tag:
    """Return the tag of whether the host at an underlay address is believed."""
    return Tag(f"underlay:{format_ip(address)}")


def peer_tag(host: HostId) -> Tag:
    """Return the tag of how another host is reached."""
    return Tag(f"peer:{host}")


def flow_state_tag(key: FlowStateKey) -> Tag:
    """Return the tag of a key of per-flow state, which a flow looked up, found or not."""
    return Tag(
        f"state:{key.kind}:{key.device}:{key.proto}:"
        f"{key.src.hex()}:{key.src_port}:{key.dst.hex()}:{key.dst_port}"
    )
