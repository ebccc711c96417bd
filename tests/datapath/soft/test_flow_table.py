"""The flow table finds what a search through all flows would find."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.soft import flow_table
from actors.datapath.soft.flow_table import Flow, FlowTable, TableFullError
from actors.datapath.soft.mask import Mask, projection_of
from actors.packets.flow_key import FlowKey, TunnelKey
from actors.values import IpAddress, Mac

_FEW = st.integers(0, 2)
_MACS = _FEW.map(lambda n: Mac(bytes([2, 0, 0, 0, 0, n])))
_ADDRESSES = st.sampled_from([b"", b"\x0a\0\0\1", b"\x0a\0\0\2", b"\x0a\0\1\1", bytes(15) + b"\1"])
_TUNNELS = st.none() | st.builds(
    TunnelKey, tun_id=_FEW, src=st.just(IpAddress(b"abcd")), dst=st.just(IpAddress(b"abce"))
)
_KEYS = st.builds(
    FlowKey,
    in_port=_FEW,
    tunnel=_TUNNELS,
    eth_src=_MACS,
    eth_dst=_MACS,
    ethertype=st.sampled_from([0x0800, 0x86DD]),
    vlan_tci=st.sampled_from([0, 0x1005, 0x1006]),
    ip_src=_ADDRESSES.map(IpAddress),
    l4_dst=_FEW,
)
_FIELDS: dict[str, list[int | None]] = {
    "in_port": [None],
    "tunnel.tun_id": [None, 1],
    "eth_src": [None, 1],
    "eth_dst": [None],
    "vlan_tci": [None, 0x1001],
    "ip_src": [None, 0xFFFFFF00],
    "l4_dst": [None, 2],
}
_MASKS = st.sets(st.sampled_from(sorted(_FIELDS))).flatmap(
    lambda names: st.tuples(
        *[st.tuples(st.just(name), st.sampled_from(_FIELDS[name])) for name in sorted(names)]
    ).map(Mask)
)


def _matches(flow: Flow, key: FlowKey) -> bool:
    for name, bits in flow.mask.fields:
        ours: object = flow.key
        theirs: object = key
        for part in name.split("."):
            ours = None if ours is None else getattr(ours, part)
            theirs = None if theirs is None else getattr(theirs, part)
        if ours is None or theirs is None:
            return False
        if bits is None or not isinstance(ours, type(theirs)):
            same = ours == theirs
        elif isinstance(ours, int) and isinstance(theirs, int):
            same = ours & bits == theirs & bits
        else:
            assert isinstance(ours, bytes)
            assert isinstance(theirs, bytes)
            same = len(ours) == len(theirs) and (
                int.from_bytes(ours) & bits == int.from_bytes(theirs) & bits
            )
        if not same:
            return False
    return True


@given(
    flows=st.lists(st.tuples(_KEYS, _MASKS), max_size=12),
    removed=st.sets(st.integers(0, 11)),
    keys=st.lists(_KEYS, min_size=1, max_size=12),
)
def test_a_lookup_finds_a_flow_exactly_when_a_linear_scan_does(
    flows: list[tuple[FlowKey, Mask]], removed: set[int], keys: list[FlowKey]
) -> None:
    table = FlowTable()
    there: list[Flow] = []
    for number, (key, mask) in enumerate(flows):
        if table.overlapping(key) is not None or any(
            f.mask == mask and _matches(f, key) for f in there
        ):
            continue
        flow = Flow(ufid=number.to_bytes(16), key=key, mask=mask)
        if projection_of(mask)(key) is None:
            continue  # a mask of the outer header for a packet without one
        table.insert(flow)
        there.append(flow)
    for key in keys:
        table.lookup(key)
    for number in sorted(removed):
        if number < len(there):
            table.remove(there[number])
    left = [flow for flow in there if flow.alive]
    assert len(table) == len(left)
    for key in keys * 2:
        found = table.lookup(key)
        candidates = [flow for flow in left if _matches(flow, key)]
        assert (found is None) == (not candidates)
        assert found is None or found in candidates


def _exact(number: int) -> Flow:
    key = FlowKey(number, None, Mac(bytes(6)), Mac(bytes(6)), 0x0800)
    return Flow(ufid=number.to_bytes(16), key=key, mask=Mask((("in_port", None),)))


def test_flows_beyond_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "MAX_FLOWS", 2)
    table = FlowTable()
    table.insert(_exact(1))
    table.insert(_exact(2))
    with pytest.raises(TableFullError) as refused:
        table.insert(_exact(3))
    assert refused.value.code == errno.ENOSPC


def test_masks_beyond_the_bound_are_refused_and_used_ones_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_table, "MAX_MASKS", 1)
    table = FlowTable()
    first = _exact(1)
    table.insert(first)
    other = Flow(ufid=bytes(16), key=first.key, mask=Mask((("eth_src", None),)))
    with pytest.raises(TableFullError) as refused:
        table.insert(other)
    assert refused.value.code == errno.EFBIG
    table.remove(first)
    table.insert(other)
    assert table.masks == 1


def test_a_removed_flow_is_not_found_by_a_recently_seen_key() -> None:
    table = FlowTable()
    flow = _exact(1)
    table.insert(flow)
    assert table.lookup(flow.key) is flow
    table.remove(flow)
    assert table.lookup(flow.key) is None


def test_clearing_forgets_everything() -> None:
    table = FlowTable()
    flow = _exact(1)
    table.insert(flow)
    table.lookup(flow.key)
    table.clear()
    assert (len(table), table.masks, table.lookup(flow.key)) == (0, 0, None)
