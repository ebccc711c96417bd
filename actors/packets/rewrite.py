"""The frame as it looks after the rewrites of a simulation so far.

Only what routers change is applied: MAC addresses, and the TTL with the IPv4 header checksum
(RFC 1624). A device that quotes or answers a packet sees it as it would have arrived there.
"""

from actors.packets.flow_key import FlowKey


def frame_with(frame: bytes, entered: FlowKey, headers: FlowKey) -> bytes:
    """Return `frame`, which came in with the fields `entered`, with the fields `headers`."""
    if headers is entered:
        return frame
    changed = bytearray(frame)
    changed[0:6] = headers.eth_dst
    changed[6:12] = headers.eth_src
    if headers.ip_ttl != entered.ip_ttl and len(entered.ip_src) == 4:
        l3 = 14 + (4 if entered.vlan_tci else 0) + (4 if entered.cvlan_tci else 0)
        changed[l3 + 8] = headers.ip_ttl
        total = (~int.from_bytes(changed[l3 + 10 : l3 + 12])) & 0xFFFF
        total += (~(entered.ip_ttl << 8) & 0xFFFF) + (headers.ip_ttl << 8)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        changed[l3 + 10 : l3 + 12] = (~total & 0xFFFF).to_bytes(2)
    return bytes(changed)
