"""What a flow's key, mask and actions must have to agree with each other; OdpError where they do not.

It follows match_validate(), the range checks of ovs_key_from_nlattrs() and validate_set() of
net/openvswitch/flow_netlink.c, for the attributes that this datapath knows.
"""

from typing import Final

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Action, SetIpv4, SetIpv6, SetTcp, SetUdp
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.shape import KeyNode, shape_of
from actors.datapath.soft.limits import MAX_PORTS
from actors.datapath.soft.mask import Mask
from actors.packets.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, VLAN_ETHERTYPES
from actors.packets.flow_key import FRAG_LATER, FlowKey

_RARP: Final = 0x8035
_SHORTEST_ETHERTYPE: Final = 0x0600
_LABEL: Final = 0xFFFFF
_PRESENT: Final = 0x1000
"""The CFI bit of a TCI."""
_NEWEST_ATTRIBUTE: Final = 32
"""OVS_KEY_ATTR_IPV6_EXTHDRS."""
_LAYER_3: Final = {
    ETHERTYPE_IPV4: odp.OVS_KEY_ATTR_IPV4,
    ETHERTYPE_IPV6: odp.OVS_KEY_ATTR_IPV6,
    ETHERTYPE_ARP: odp.OVS_KEY_ATTR_ARP,
    _RARP: odp.OVS_KEY_ATTR_ARP,
}
_TCP, _UDP, _SCTP, _ICMP, _ICMPV6 = 6, 17, 132, 1, 58
_LAYER_4: Final[dict[int, frozenset[int]]] = {
    _TCP: frozenset((odp.OVS_KEY_ATTR_TCP, odp.OVS_KEY_ATTR_TCP_FLAGS)),
    _UDP: frozenset((odp.OVS_KEY_ATTR_UDP,)),
    _SCTP: frozenset((odp.OVS_KEY_ATTR_SCTP,)),
}
_BY_LAYER_3: Final = {
    (ETHERTYPE_IPV4, _ICMP): frozenset((odp.OVS_KEY_ATTR_ICMP,)),
    (ETHERTYPE_IPV6, _ICMPV6): frozenset((odp.OVS_KEY_ATTR_ICMPV6,)),
}
_NEIGHBOUR: Final = frozenset((135, 136))
_NOTHING: Final[frozenset[int]] = frozenset()
_OF_PROTOCOLS: Final = frozenset(
    (
        *_LAYER_3.values(),
        *frozenset().union(*_LAYER_4.values()),
        odp.OVS_KEY_ATTR_ICMP,
        odp.OVS_KEY_ATTR_ICMPV6,
        odp.OVS_KEY_ATTR_ND,
    )
)
_LAYER_3_FIELDS: Final = frozenset(
    [
        "ip_src",
        "ip_dst",
        "ip_proto",
        "ip_tos",
        "ip_ttl",
        "ip_frag",
        "ipv6_label",
        "arp_sha",
        "arp_tha",
    ]
)
_LAYER_4_FIELDS: Final = frozenset(("l4_src", "l4_dst", "tcp_flags"))
_ND_FIELDS: Final = frozenset(("nd_target", "nd_sll", "nd_tll"))


def check_metadata(raw_key: bytes, key: FlowKey) -> None:
    """Refuse what stands before the packet's own headers, as ovs_flow_key_from_nlattrs() does."""
    kinds = _kinds(shape_of(raw_key).nodes)
    if max(kinds, default=0) > _NEWEST_ATTRIBUTE:
        raise OdpError("the key has an attribute that nobody knows")
    if key.in_port >= MAX_PORTS:
        raise OdpError(f"port {key.in_port} is beyond the largest port number")
    if key.tunnel is not None and not any(key.tunnel.dst):
        raise OdpError("a tunnel key has no destination address")


def check_key(raw_key: bytes, key: FlowKey) -> None:
    """Refuse a key that lacks what its own fields announce, or has what nothing announces."""
    check_metadata(raw_key, key)
    kinds = _kinds(shape_of(raw_key).nodes)
    if odp.OVS_KEY_ATTR_ETHERNET not in kinds:
        raise OdpError("the key has no Ethernet addresses")
    announced = _announced(key)
    if kinds & _OF_PROTOCOLS != announced:
        raise OdpError("the key's attributes are not those that its protocols ask for")
    # Behind a whole tag 0 is an 802.3 frame; in an attribute of its own it is no ethertype.
    if 0 < key.ethertype < _SHORTEST_ETHERTYPE:
        raise OdpError(f"{key.ethertype:#06x} is a length, no ethertype")
    if key.ip_frag > FRAG_LATER or key.ipv6_label > _LABEL:
        raise OdpError("a fragment type or flow label is out of range")
    for tpid, tci in ((key.vlan_tpid, key.vlan_tci), (key.cvlan_tpid, key.cvlan_tci)):
        if tci and (not tci & _PRESENT or tpid not in VLAN_ETHERTYPES):
            raise OdpError("a VLAN tag has a foreign type, or lacks its presence bit")
    if odp.OVS_KEY_ATTR_ARP in kinds and key.ip_proto > 0xFF:
        raise OdpError("an ARP opcode is out of range")


def check_mask(key: FlowKey, mask: Mask) -> None:
    """Refuse a mask of a layer unless what announces that layer is exact."""
    fields = dict(mask.fields)
    if fields.keys() & _LAYER_3_FIELDS and "ethertype" not in fields:
        raise OdpError("a mask of the network layer needs the ethertype")
    if fields.keys() & (_LAYER_4_FIELDS | _ND_FIELDS):
        # Absent and in part are alike: only None is all bits.
        if fields.get("ip_proto", 0) is not None or key.ip_frag == FRAG_LATER:
            raise OdpError("a mask of the transport layer needs the whole protocol")
        if fields.keys() & _ND_FIELDS and fields.get("l4_src", 0) is not None:
            raise OdpError("a mask of neighbour discovery needs the whole ICMPv6 type")


def rewrites_of(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return the actions that `check_actions` has to look at."""
    return tuple(a for a in actions if isinstance(a, SetIpv4 | SetIpv6 | SetTcp | SetUdp))


def check_actions(actions: tuple[Action, ...], masked: FlowKey) -> None:
    """Refuse to set headers that not every packet of a flow has; `masked` is the flow's key."""
    for action in actions:
        match action:
            case SetIpv4():
                fits = masked.ethertype == ETHERTYPE_IPV4
            case SetIpv6():
                fits = masked.ethertype == ETHERTYPE_IPV6
            case SetTcp():
                fits = masked.ip_proto == _TCP and _is_ip(masked)
            case SetUdp():
                fits = masked.ip_proto == _UDP and _is_ip(masked)
            case _:
                fits = True
        if not fits:
            raise OdpError(f"{type(action).__name__} of a packet that has no such header")


def _is_ip(key: FlowKey) -> bool:
    return key.ethertype in {ETHERTYPE_IPV4, ETHERTYPE_IPV6}


def _kinds(nodes: tuple[KeyNode, ...]) -> frozenset[int]:
    kinds = frozenset([node.kind for node in nodes])
    for node in nodes:
        if node.kind == odp.OVS_KEY_ATTR_ENCAP and node.children:
            kinds |= _kinds(node.children)
    return kinds


def _announced(key: FlowKey) -> frozenset[int]:
    layer_3 = _LAYER_3.get(key.ethertype)
    if layer_3 is None:
        return _NOTHING
    announced = frozenset((layer_3,))
    if not _is_ip(key) or key.ip_frag == FRAG_LATER:
        return announced
    proto = key.ip_proto
    above = _LAYER_4.get(proto) or _BY_LAYER_3.get((key.ethertype, proto), _NOTHING)
    if odp.OVS_KEY_ATTR_ICMPV6 in above and key.l4_src in _NEIGHBOUR:
        above |= {odp.OVS_KEY_ATTR_ND}
    return announced | above
