"""More packets without flow than the agent takes: some are lost and counted, others go on."""

import time

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output
from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.replies import DatapathStats
from actors.datapath.odp.requests import SetVport
from actors.packets.flow_key import SEEN_ETH_DST
from tests.datapath.conformance import frames as f
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import Frame
from tests.datapath.conformance.waiting import PATIENCE

_FLOOD = 6000
_MOST_FLOODS = 5
"""On a busy machine one may be sent so slowly that none of it is lost."""


def _stats(bench: Bench, misses: int) -> DatapathStats:
    """The counters, once that many packets have missed."""
    deadline = time.monotonic() + PATIENCE
    while (stats := bench.info().stats).misses < misses:
        assert time.monotonic() < deadline
    return stats


def test_a_flood_without_flows_loses_its_own_packets_only(fresh_bench: Bench) -> None:
    bench, dialogue = fresh_bench, fresh_bench.dialogue
    for port in bench.ports:
        pid = bench.host.run(dialogue.channel.open_upcalls)
        dialogue.ask(SetVport(bench.dp, port, None, (pid,)))
    known = Frame(eth_dst=f.MAC_C).raw()
    key = bench.key_of(known)
    bench.add_flow(key, Output(3), mask=mask_for(key, SEEN_ETH_DST))
    before = bench.info().stats
    with dialogue.unread_upcalls():
        lost = sent = 0
        while not lost:
            assert sent < _MOST_FLOODS * _FLOOD
            for number in range(_FLOOD):
                bench.wires[0].send(Frame(sport=number).raw())
            sent += _FLOOD
            after = _stats(bench, before.misses + sent)
            lost = after.lost - before.lost
        assert lost < sent
        bench.wires[0].send(known)
        assert bench.wires[2].receive() == known
        bench.wires[1].send(Frame(sport=7).raw())
        assert _stats(bench, after.misses + 1).lost == after.lost
    lifted = [dialogue.next_upcall() for _ in range(sent - lost + 1)]
    assert {upcall.cmd for upcall in lifted} == {odp.OVS_PACKET_CMD_MISS}
    assert Frame(sport=7).raw() in [upcall.frame for upcall in lifted]


def test_a_port_is_heard_again_after_its_flood(fresh_bench: Bench) -> None:
    bench = fresh_bench
    before = bench.info().stats
    with bench.dialogue.unread_upcalls():
        for number in range(_FLOOD):
            bench.wires[0].send(Frame(sport=number).raw())
        _stats(bench, before.misses + _FLOOD)
    last = Frame(proto=f.TCP).raw()
    deadline = time.monotonic() + PATIENCE
    heard = b""
    while heard != last:
        assert time.monotonic() < deadline
        bench.wires[0].send(last)
        _stats(bench, 0)
        for upcall in bench.dialogue.upcalls_so_far():
            heard = upcall.frame
