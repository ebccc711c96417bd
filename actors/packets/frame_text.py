"""A frame in words, by which people find the same packet again on another host. Pure.

Protocol, addresses, ports or ICMP id and sequence number, and the IPv4 identification: what stays
the same while routers rewrite the rest.
"""

from typing import Final

from actors.packets.errors import PacketError
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import FRAG_LATER, FlowKey
from actors.values import format_ip, format_mac

_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_NAMES: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
_ECHO: Final = {(1, 8): "echo-request", (1, 0): "echo-reply",
                (58, 128): "echo-request", (58, 129): "echo-reply"}  # fmt: skip
_FLAGS: Final = "FSRPAU"


def frame_text(frame: bytes) -> str:
    """Return a line about any bytes at all."""
    try:
        key = flow_key_of(frame, 0)
    except PacketError as error:
        return str(error)
    vlan = f" vlan={key.vlan_tci & 0xFFF}" if key.vlan_tci else ""
    if key.ethertype == _ARP and len(key.ip_src) == 4:
        return f"arp {_arp(key)}{vlan}"
    if key.ethertype in {_IPV4, _IPV6} and len(key.ip_src) in {4, 16}:
        return f"{_ip(frame, key)}{vlan} length={len(frame)}"
    macs = f"{format_mac(key.eth_src)} > {format_mac(key.eth_dst)}"
    return f"{macs} ethertype={key.ethertype:#06x}{vlan} length={len(frame)}"


def _arp(key: FlowKey) -> str:
    sender, target = format_ip(key.ip_src), format_ip(key.ip_dst)
    if key.ip_proto == 1:
        return f"who-has {target} tell {sender}"
    if key.ip_proto == 2:
        return f"{sender} is-at {format_mac(key.arp_sha)} to {target}"
    return f"{sender} > {target} op={key.ip_proto}"


def _ip(frame: bytes, key: FlowKey) -> str:
    proto = key.ip_proto
    at = 14 + 4 * bool(key.vlan_tci) + 4 * bool(key.cvlan_tci)
    # False behind an LLC header: what stands behind that is left out.
    plain = frame[at - 2 : at] == key.ethertype.to_bytes(2)
    ports = proto in {6, 17, 132} and key.ip_frag != FRAG_LATER
    ends = (
        f"{_end(key.ip_src, key.l4_src if ports else None)} > "
        f"{_end(key.ip_dst, key.l4_dst if ports else None)}"
    )
    parts = [_NAMES.get(proto, f"proto={proto}"), ends]
    if key.ip_frag:
        parts.append("later-fragment" if key.ip_frag == FRAG_LATER else "first-fragment")
    if plain and key.ethertype == _IPV4 and len(frame) >= at + 20:
        parts += _transport(frame, at + ((frame[at] & 0x0F) << 2), key)
        parts.append(f"ip_id={int.from_bytes(frame[at + 4 : at + 6])}")
    elif plain and key.ethertype == _IPV6 and len(frame) > at + 6 and frame[at + 6] == proto:
        parts += _transport(frame, at + 40, key)
    return " ".join(parts)


def _end(address: bytes, port: int | None) -> str:
    text = format_ip(address)
    if port is None:
        return text
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def _transport(frame: bytes, at: int, key: FlowKey) -> list[str]:
    """Return what tells a packet of a connection from the next one."""
    proto = key.ip_proto
    if key.ip_frag == FRAG_LATER or len(frame) < at + 8:
        return []
    if proto in {1, 58}:
        echo = _ECHO.get((proto, key.l4_src))
        if echo is None:
            return [f"type={key.l4_src} code={key.l4_dst}"]
        ident, sequence = frame[at + 4 : at + 6], frame[at + 6 : at + 8]
        return [f"{echo} id={int.from_bytes(ident)} seq={int.from_bytes(sequence)}"]
    if proto == 6:
        flags = "".join(name for bit, name in enumerate(_FLAGS) if key.tcp_flags >> bit & 1)
        return [f"flags={flags or 'none'} seq={int.from_bytes(frame[at + 4 : at + 8])}"]
    return []


def changes_text(before: FlowKey, after: FlowKey) -> str:
    """Return the fields that a rewrite changed, as `field=value` joined by commas; "" if none."""
    return ",".join(
        f"{name}={value}"
        for name, old, value in (
            ("eth_src", format_mac(before.eth_src), format_mac(after.eth_src)),
            ("eth_dst", format_mac(before.eth_dst), format_mac(after.eth_dst)),
            ("vlan", str(before.vlan_tci & 0xFFF), str(after.vlan_tci & 0xFFF)),
            ("src", _address(before.ip_src), _address(after.ip_src)),
            ("dst", _address(before.ip_dst), _address(after.ip_dst)),
            ("tos", str(before.ip_tos), str(after.ip_tos)),
            ("ttl", str(before.ip_ttl), str(after.ip_ttl)),
            ("src_port", str(before.l4_src), str(after.l4_src)),
            ("dst_port", str(before.l4_dst), str(after.l4_dst)),
        )
        if old != value
    )


def _address(address: bytes) -> str:
    return format_ip(address) if len(address) in {4, 16} else "none"
