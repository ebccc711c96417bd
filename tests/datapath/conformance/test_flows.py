"""The life of flows: made, found, changed, counted, dumped and deleted."""

import errno
import time

import pytest

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output, Userspace, encode_actions
from actors.datapath.odp.key import decode_key
from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.replies import FlowInfo
from actors.datapath.odp.requests import DeleteFlow, GetFlow, NewFlow, SetFlow
from actors.packets.flow_key import SEEN_ETH_DST, SEEN_L4_DST
from tests.datapath.conformance import frames as f
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.dialogue import RefusedError
from tests.datapath.conformance.frames import Frame

_UFID, _OTHER_UFID = bytes(range(16)), bytes(range(1, 17))
_FRAME = Frame(proto=f.TCP)
_TO_1, _TO_2 = encode_actions((Output(2),)), encode_actions((Output(3),))


@pytest.fixture
def key(bench: Bench) -> bytes:
    """What the datapath says of the frame."""
    return bench.key_of(_FRAME.raw())


def test_a_flow_that_is_there_already_is_eexist(bench: Bench, key: bytes) -> None:
    create = odp.NLM_F_CREATE
    bench.add_flow(key, Output(2), ufid=_UFID)
    for ufid in (_UFID, _OTHER_UFID, None):
        request = NewFlow(bench.dp, key, _TO_2, None, ufid)
        assert bench.dialogue.refusal(request, create) == errno.EEXIST
        assert bench.dialogue.refusal(request, create | odp.NLM_F_EXCL) == errno.EEXIST
    assert len(bench.inject(0, _FRAME.raw()).only(1)) == 1


def test_a_flow_whose_masked_key_another_flow_matches_is_eexist(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Output(2), mask=mask_for(key, SEEN_ETH_DST), ufid=_UFID)
    narrower = NewFlow(bench.dp, key, _TO_2, mask_for(key, SEEN_ETH_DST | SEEN_L4_DST), _OTHER_UFID)
    assert bench.dialogue.refusal(narrower, odp.NLM_F_CREATE) == errno.EEXIST


def test_a_flow_made_without_create_replaces_the_actions_of_its_like(
    bench: Bench, key: bytes
) -> None:
    bench.add_flow(key, Output(2), ufid=_UFID)
    bench.add_flow(key, Output(3), ufid=_UFID, flags=0)
    assert len(bench.inject(0, _FRAME.raw()).only(2)) == 1
    assert len(bench.flows()) == 1


def test_what_is_not_there_is_enoent(bench: Bench, key: bytes) -> None:
    refusal = bench.dialogue.refusal
    assert refusal(DeleteFlow(bench.dp, _UFID)) == errno.ENOENT
    assert refusal(DeleteFlow(bench.dp, None, key)) == errno.ENOENT
    assert refusal(GetFlow(bench.dp, _UFID)) == errno.ENOENT
    assert refusal(GetFlow(bench.dp, None, key)) == errno.ENOENT
    assert refusal(SetFlow(bench.dp, key, _TO_1)) == errno.ENOENT
    assert refusal(SetFlow(bench.dp, key, _TO_1, None, _UFID)) == errno.ENOENT
    assert refusal(GetFlow(bench.dp)) == errno.EINVAL
    unknown = bench.dp + 1000
    assert refusal(NewFlow(unknown, key, _TO_1), odp.NLM_F_CREATE) == errno.ENODEV
    assert refusal(DeleteFlow(unknown)) == errno.ENODEV


@pytest.mark.parametrize("ufid", [None, _UFID, b"\1"])
def test_a_flow_is_found_by_its_own_identity_only(
    bench: Bench, key: bytes, ufid: bytes | None
) -> None:
    bench.add_flow(key, Output(2), mask=mask_for(key, SEEN_ETH_DST), ufid=ufid)
    own = GetFlow(bench.dp, ufid, None if ufid else key)
    other = GetFlow(bench.dp, None if ufid else _UFID, key if ufid else None)
    (flow,) = bench.dialogue.ask(own)
    assert isinstance(flow, FlowInfo)
    assert (flow.ufid, flow.actions, flow.dp_ifindex) == (ufid, _TO_1, bench.dp)
    assert bench.dialogue.refusal(other) == errno.ENOENT
    assert bench.delete(own.ufid, own.raw_key).actions == _TO_1
    assert bench.dialogue.refusal(own) == errno.ENOENT
    assert bench.inject(0, _FRAME.raw()).upcall()


def test_a_flow_without_ufid_is_named_by_its_unmasked_key(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Output(2), mask=mask_for(key, SEEN_ETH_DST))
    matched_too = Frame(proto=f.TCP, eth_src=f.MAC_C).raw()
    bench.inject(0, matched_too)
    bench.dialogue.ask(DeleteFlow(bench.dp, None, key))
    assert not bench.flows()


def test_actions_are_set_and_counters_cleared(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Output(2), ufid=_UFID)
    bench.inject(0, _FRAME.raw())
    bench.dialogue.ask(SetFlow(bench.dp, key, _TO_2, None, _UFID))
    assert len(bench.inject(0, _FRAME.raw()).only(2)) == 1
    (flow,) = bench.flows()
    assert (flow.packets, flow.actions) == (2, _TO_2)
    bench.dialogue.ask(SetFlow(bench.dp, key, _TO_2, None, _UFID, clear=True))
    (flow,) = bench.flows()
    assert (flow.packets, flow.bytes, flow.used, flow.tcp_flags) == (0, 0, 0, 0)


def test_packets_are_counted_and_the_last_word_comes_with_the_deletion(
    bench: Bench, key: bytes
) -> None:
    bench.add_flow(key, Output(2), mask=mask_for(key, SEEN_ETH_DST), ufid=_UFID)
    (fresh,) = bench.flows()
    assert (fresh.packets, fresh.bytes, fresh.used, fresh.tcp_flags) == (0, 0, 0, 0)
    started = time.monotonic() * 1000
    first = Frame(proto=f.TCP, tcp_flags=0x02).raw()
    second = Frame(proto=f.TCP, tcp_flags=0x110, payload=b"x" * 700).raw()
    bench.inject(0, first, second)
    flow = bench.delete(_UFID)
    assert flow.cmd == odp.OVS_FLOW_CMD_DEL
    assert (flow.packets, flow.bytes) == (2, len(first) + len(second))
    assert flow.tcp_flags == 0x12
    tick = 1000 / 10  # the slowest clock tick of a kernel, in ms
    assert started - tick <= flow.used <= time.monotonic() * 1000 + tick


def test_a_tag_counts_as_bytes_of_its_packet(bench: Bench) -> None:
    frame = Frame(tags=((f.STAG, 5), (f.QTAG, 7))).raw()
    bench.add_flow(bench.key_of(frame), Output(2), ufid=_UFID)
    bench.inject(0, frame)
    assert bench.delete(_UFID).bytes == len(frame)


@pytest.mark.parametrize("omitted", range(8))
def test_a_reply_leaves_out_what_it_is_asked_to(bench: Bench, key: bytes, omitted: int) -> None:
    bench.add_flow(key, Output(2), mask=mask_for(key, SEEN_ETH_DST), ufid=_UFID)
    (dumped,) = bench.flows(omitted)
    (got,) = bench.dialogue.ask(GetFlow(bench.dp, _UFID, None, omitted))
    (deleted,) = bench.dialogue.ask(DeleteFlow(bench.dp, _UFID, None, omitted), odp.NLM_F_ECHO)
    for flow in (dumped, got, deleted):
        assert isinstance(flow, FlowInfo)
        assert flow.ufid == _UFID
        assert (flow.raw_key is None) == bool(omitted & odp.OVS_UFID_F_OMIT_KEY)
        assert (flow.mask is None) == bool(omitted & odp.OVS_UFID_F_OMIT_MASK)
        assert (flow.actions is None) == bool(omitted & odp.OVS_UFID_F_OMIT_ACTIONS)


def test_a_flow_with_ufid_tells_its_key_masked_and_its_mask(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Output(2), mask=mask_for(key, SEEN_ETH_DST), ufid=_UFID)
    (flow,) = bench.flows()
    assert flow.raw_key is not None
    assert flow.mask is not None
    told, mask, whole = decode_key(flow.raw_key), decode_key(flow.mask), decode_key(key)
    assert (told.in_port, mask.in_port) == (whole.in_port, 0xFFFFFFFF)
    assert (told.eth_dst, mask.eth_dst) == (whole.eth_dst, b"\xff" * 6)
    assert (told.eth_src, mask.eth_src) == (bytes(6), bytes(6))
    assert (told.ethertype, mask.ethertype) == (whole.ethertype, 0xFFFF)
    assert not any(told.ip_dst)
    assert not any(mask.ip_dst)


def test_a_flow_without_mask_tells_one_that_matches_all(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Output(2), ufid=_UFID)
    (flow,) = bench.flows()
    assert flow.raw_key is not None
    assert flow.mask is not None
    mask = decode_key(flow.mask)
    assert decode_key(flow.raw_key) == decode_key(key)
    assert (mask.eth_src, mask.ip_dst, mask.ip_ttl) == (b"\xff" * 6, b"\xff" * 4, 0xFF)
    assert (mask.l4_src, mask.l4_dst) == (0xFFFF, 0xFFFF)


def test_a_flow_without_ufid_tells_its_whole_key(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Output(2), mask=mask_for(key, SEEN_ETH_DST))
    (flow,) = bench.flows(odp.OVS_UFID_F_OMIT_KEY)
    assert flow.ufid is None
    assert flow.raw_key is not None
    assert decode_key(flow.raw_key) == decode_key(key)


def test_a_flush_takes_all_flows(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Output(2), ufid=_UFID)
    bench.add_flow(bench.key_of(f.arp()), Output(2))
    assert len(bench.flows()) == 2
    assert bench.dialogue.ask(DeleteFlow(bench.dp), odp.NLM_F_ECHO) == []
    assert bench.info().stats.flows == 0


def test_five_thousand_flows_are_dumped_once_each(bench: Bench, key: bytes) -> None:
    ufids = [number.to_bytes(16) for number in range(1, 5001)]
    source = key.index(f.MAC_A + f.MAC_B)
    for start in range(0, 5000, 50):
        requests = []
        for ufid in ufids[start : start + 50]:
            raw_key = key[:source] + b"\2" + ufid[-5:] + key[source + 6 :]
            request = NewFlow(bench.dp, raw_key, _TO_1, mask_for(key, 3), ufid)
            requests.append(bench.dialogue.encode(request, odp.NLM_F_CREATE)[1])
        bench.dialogue.send(*requests)
    flows = bench.dialogue.ask(
        GetFlow(bench.dp, ufid_flags=odp.OVS_UFID_F_OMIT_KEY | odp.OVS_UFID_F_OMIT_MASK),
        odp.NLM_F_DUMP,
    )
    found = sorted(flow.ufid for flow in flows if isinstance(flow, FlowInfo) and flow.ufid)
    assert found == ufids


def test_dumps_of_what_is_not_there_end_with_the_error(bench: Bench) -> None:
    with pytest.raises(RefusedError) as refused:
        bench.dialogue.ask(GetFlow(bench.dp + 1000), odp.NLM_F_DUMP)
    assert refused.value.code == errno.ENODEV


def test_a_flow_that_drops_has_empty_actions(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, ufid=_UFID)
    outcome = bench.inject(0, _FRAME.raw())
    assert not any(outcome.frames)
    assert not outcome.upcalls
    assert bench.delete(_UFID).packets == 1


def test_a_userspace_action_lifts_the_packet_with_its_data(bench: Bench, key: bytes) -> None:
    bench.add_flow(key, Userspace(bench.pid, b"user data"), Userspace(bench.pid), ufid=_UFID)
    first, second = bench.inject(0, _FRAME.raw()).upcalls
    assert (first.cmd, first.userdata) == (odp.OVS_PACKET_CMD_ACTION, b"user data")
    assert (second.cmd, second.userdata) == (odp.OVS_PACKET_CMD_ACTION, b"")
    assert first.frame == second.frame == _FRAME.raw()
    assert decode_key(first.raw_key) == decode_key(key)
