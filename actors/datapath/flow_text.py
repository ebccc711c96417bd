"""A flow in words: what it matches, what it does, on what it depends."""

from collections.abc import Iterable
from typing import Any

from actors.datapath.flow_table import Flow
from actors.datapath.odp.actions import (
    Action,
    Output,
    SetEthernet,
    SetIpv4,
    SetTunnel,
    decode_actions,
)
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import decode_key
from actors.lifetimes import KIND_NAMES
from actors.messages.flows import FlowStatistics
from actors.packets.flow_key import FlowKey
from actors.values import SECOND, DatapathPort, Nanoseconds, format_ip, format_mac

PortNames = dict[DatapathPort, str]


def describe_flow(
    flow: Flow, statistics: FlowStatistics | None, names: PortNames, at: Nanoseconds
) -> dict[str, Any]:
    """Return a flow as plain data for people and JSON. Times in seconds."""
    return {
        "id": flow.number,
        "kind": KIND_NAMES[flow.lifetime],
        "age": round((at - flow.made_at) / SECOND, 3),
        "expires_in": round((flow.expires_at - at) / SECOND, 3),
        "match": describe_match(flow.raw_key, flow.mask, names),
        "actions": describe_actions(flow.actions, names),
        "reason": flow.reason,
        "packets": 0 if statistics is None else statistics.packets,
        "bytes": 0 if statistics is None else statistics.octets,
        "tags": list(flow.tags),
    }


def count_kinds(flows: Iterable[Flow]) -> dict[str, int]:
    """Return how many flows there are of each kind."""
    kinds: dict[str, int] = {kind: 0 for kind in KIND_NAMES if kind is not None}
    for flow in flows:
        kind = KIND_NAMES[flow.lifetime]
        if kind is not None:
            kinds[kind] += 1
    return kinds


def describe_match(raw_key: bytes, mask: bytes, names: PortNames) -> str:
    """Return the fields that a flow matches on, as `field=value` joined by commas."""
    key, wanted = decode_key(raw_key), decode_key(mask)
    parts = []
    if key.tunnel is not None:
        parts.append(f"tunnel(key={key.tunnel.tun_id:#x},src={format_ip(key.tunnel.src)})")
    else:
        parts.append(f"in={names.get(DatapathPort(key.in_port), key.in_port)}")
    for name, value, seen in _fields(key, wanted):
        if seen:
            parts.append(f"{name}={value}")
    return ",".join(parts)


def _fields(key: FlowKey, mask: FlowKey) -> list[tuple[str, str, bool]]:
    arp = key.ethertype == 0x0806
    return [
        ("eth_src", format_mac(key.eth_src), any(mask.eth_src)),
        ("eth_dst", format_mac(key.eth_dst), any(mask.eth_dst)),
        ("vlan", str(key.vlan_tci & 0xFFF), bool(key.vlan_tci)),
        ("ethertype", f"{key.ethertype:#06x}", True),
        ("arp_spa" if arp else "src", _ip(key.ip_src), any(mask.ip_src)),
        ("arp_tpa" if arp else "dst", _ip(key.ip_dst), any(mask.ip_dst)),
        ("arp_op" if arp else "proto", str(key.ip_proto), bool(mask.ip_proto)),
        ("tos", str(key.ip_tos), bool(mask.ip_tos)),
        ("ttl", str(key.ip_ttl), bool(mask.ip_ttl)),
        ("frag", ("no", "first", "later")[key.ip_frag % 3], bool(mask.ip_frag)),
        ("src_port", str(key.l4_src), bool(mask.l4_src)),
        ("dst_port", str(key.l4_dst), bool(mask.l4_dst)),
    ]


def _ip(address: bytes) -> str:
    return format_ip(address) if len(address) in {4, 16} else "none"


def describe_actions(actions: bytes, names: PortNames) -> str:
    """Return what a flow does, `drop` if nothing."""
    try:
        decoded = decode_actions(actions)
    except OdpError as error:
        return f"unreadable ({error})"
    return ",".join(_describe_action(action, names) for action in decoded) or "drop"


def _describe_action(action: Action, names: PortNames) -> str:
    match action:
        case Output(port):
            return f"output({names.get(DatapathPort(port), port)})"
        case SetTunnel(tunnel):
            return f"tunnel(key={tunnel.tun_id:#x},to={format_ip(tunnel.dst)})"
        case SetEthernet(src, dst):
            parts = [f"src={format_mac(src)}"] if src else []
            parts += [f"dst={format_mac(dst)}"] if dst else []
            return f"eth({','.join(parts)})"
        case SetIpv4(ttl=ttl) if ttl is not None:
            return f"ttl({ttl})"
        case _:
            return str(action)
