"""Megaflow masks: what is exact, what is implied, what the kernel would refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import decode_key, encode_key
from actors.datapath.odp.mask import mask_for, masked
from actors.packets import flow_key as f
from actors.packets.extract import flow_key_of
from tests.datapath.odp.cases import KEYS
from tests.packets.frames import frames, tunnels

RAW = {name: bytes.fromhex(golden) for name, (_, golden) in KEYS.items()}
seen_sets = st.integers(0, f.SEEN_ALL)


def test_without_a_field_read_only_the_entrance_and_ethertype_are_exact() -> None:
    mask = decode_key(mask_for(RAW["tcp"], 0))
    assert (mask.in_port, mask.ethertype) == (0xFFFFFFFF, 0xFFFF)
    assert mask.eth_src == mask.eth_dst == bytes(6)
    assert mask.ip_src == mask.ip_dst == bytes(4)
    assert (mask.ip_proto, mask.ip_frag, mask.ip_ttl, mask.ip_tos) == (0, 0, 0, 0)
    assert (mask.l4_src, mask.l4_dst, mask.tcp_flags) == (0, 0, 0)


def test_metadata_that_simulations_never_read_is_wildcarded_but_recirculation_is_not() -> None:
    mask = mask_for(RAW["tcp"], f.SEEN_ALL)
    assert mask[:24] == bytes.fromhex("08001400 ffffffff 08001300 00000000 08000200 00000000")
    assert mask[32:40] == bytes.fromhex("08000f00 00000000")


def test_a_port_read_makes_protocol_and_fragment_type_exact() -> None:
    mask = decode_key(mask_for(RAW["tcp"], f.SEEN_L4_DST))
    assert (mask.l4_src, mask.l4_dst) == (0, 0xFFFF)
    assert (mask.ip_proto, mask.ip_frag) == (0xFF, 0xFF)
    assert mask.ip_dst == bytes(4)


def test_every_field_has_its_bit() -> None:
    mask = decode_key(mask_for(RAW["tcp"], f.SEEN_ALL))
    assert (mask.eth_src, mask.ip_src, mask.ip_ttl, mask.ip_tos) == (
        b"\xff" * 6, b"\xff" * 4, 0xFF, 0xFF,
    )  # fmt: skip
    assert mask.tcp_flags == 0x0FFF
    arp = decode_key(mask_for(RAW["arp"], f.SEEN_ARP_THA))
    assert (arp.arp_sha, arp.arp_tha, arp.ip_proto) == (bytes(6), b"\xff" * 6, 0xFFFF)
    ipv6 = decode_key(mask_for(RAW["neighbour solicitation"], f.SEEN_IPV6_LABEL))
    assert (ipv6.ipv6_label, ipv6.ip_proto, ipv6.l4_src) == (0xFFFFF, 0xFF, 0)


def test_neighbour_fields_need_the_icmpv6_type() -> None:
    mask = decode_key(mask_for(RAW["neighbour solicitation"], f.SEEN_ND))
    assert (mask.nd_target, mask.nd_sll, mask.l4_src, mask.l4_dst) == (
        b"\xff" * 16, b"\xff" * 6, 0xFF, 0,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["vlan", "two vlans", "tagged 802.3"])
def test_tags_are_always_exact(name: str) -> None:
    mask = decode_key(mask_for(RAW[name], 0))
    assert (mask.vlan_tpid, mask.vlan_tci) == (0xFFFF, 0xFFFF)


def test_no_tag_is_matched_without_a_vlan_attribute() -> None:
    # The kernel refuses one for an untagged key, and matches the absence by itself.
    mask = mask_for(RAW["udp"], f.SEEN_VLAN)
    assert decode_key(mask).vlan_tci == 0
    assert mask == mask_for(RAW["udp"], 0)


@pytest.mark.parametrize("name", ["802.3", "tagged 802.3"])
def test_802_3_is_told_from_every_ethertype(name: str) -> None:
    assert decode_key(mask_for(RAW[name], 0)).ethertype == 0xFFFF


def test_nothing_is_asked_for_behind_a_cut_off_tag() -> None:
    mask = mask_for(RAW["cut off tag"], f.SEEN_ALL)
    assert mask.endswith(bytes.fromhex("06000600 ffff0000 06000500 00000000 04000100"))
    # The same attributes with a TCI are a tagged 802.3 frame, whose mask is another.
    assert mask_for(RAW["tagged 802.3"], f.SEEN_ALL) != mask


def test_tunnel_id_is_exact_and_endpoints_only_if_read() -> None:
    unread = decode_key(mask_for(RAW["tunnel"], 0)).tunnel
    read = decode_key(mask_for(RAW["tunnel"], f.SEEN_TUNNEL_ENDPOINTS)).tunnel
    assert unread is not None
    assert read is not None
    assert (unread.tun_id, unread.src, unread.dst) == ((1 << 64) - 1, bytes(4), bytes(4))
    assert (read.src, read.dst) == (b"\xff" * 4, b"\xff" * 4)
    assert (read.ttl, read.tos, read.tp_src, read.tp_dst) == (0, 0, 0, 0)


def test_flows_that_match_on_ethernet_alone_are_one_whatever_is_above() -> None:
    seen = f.SEEN_ETH_DST
    identities = {
        masked(RAW[name], mask_for(RAW[name], seen))
        for name in ("tcp", "udp", "icmp", "later fragment")
    }
    assert len(identities) == 1
    assert masked(RAW["arp"], mask_for(RAW["arp"], seen)) not in identities


def test_a_zero_that_is_matched_differs_from_a_wildcard() -> None:
    key = flow_key_of(bytes(12) + b"\x88\xcc", 0)
    raw = encode_key(key)
    assert masked(raw, mask_for(raw, 0)) != masked(raw, mask_for(raw, f.SEEN_ETH_SRC))


def test_masks_of_malformed_keys_are_refused() -> None:
    with pytest.raises(OdpError):
        mask_for(b"\4\0\3\0", 0)
    with pytest.raises(OdpError):
        masked(RAW["udp"], b"\4\0\3\0")


def _projection(key: f.FlowKey, mask: f.FlowKey) -> list[object]:
    """The bits of the key that the mask matches, field by field."""
    bits: list[object] = []
    for name in f.FlowKey.__struct_fields__:
        if name == "tunnel":
            continue
        value, ones = getattr(key, name), getattr(mask, name)
        if isinstance(value, bytes):
            value, ones = int.from_bytes(value), int.from_bytes(ones)
        bits.append(value & ones)
    return bits


@given(frames(), frames(), seen_sets)
def test_two_keys_have_one_identity_only_if_their_matched_fields_agree(
    first: bytes, second: bytes, seen: int
) -> None:
    keys = [flow_key_of(frame, 1) for frame in (first, second)]
    raws = [encode_key(key) for key in keys]
    masks = [mask_for(raw, seen) for raw in raws]
    identities = [masked(raw, mask) for raw, mask in zip(raws, masks, strict=True)]
    if identities[0] == identities[1]:
        decoded = [decode_key(mask) for mask in masks]
        assert _projection(keys[0], decoded[0]) == _projection(keys[1], decoded[1])


@given(frames(), st.one_of(st.none(), tunnels()), seen_sets, seen_sets)
def test_reading_more_never_matches_less(
    frame: bytes, tunnel: f.TunnelKey | None, seen: int, more: int
) -> None:
    raw = encode_key(flow_key_of(frame, 1, tunnel))
    narrow, wide = mask_for(raw, seen | more), mask_for(raw, seen)
    assert len(narrow) == len(wide)
    assert int.from_bytes(wide) & ~int.from_bytes(narrow) == 0
