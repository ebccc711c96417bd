"""Followed packets that a tunnel brings."""

from actors.datapath.odp.key import decode_key
from actors.packets.flow_key import TunnelKey
from actors.tunnel_key import TRACE_BIT, egress_port_key
from actors.values import parse_ip
from tests.actors.tracer import ROUTED, A, B, misses, network
from tests.network import Network
from tests.network_host import HostEnd
from tests.wire import udp


def brought(net: Network, key: int, frame: bytes = ROUTED, src: str = "198.18.0.1") -> None:
    net.tunnel(frame, TunnelKey(key, parse_ip(src), parse_ip("198.18.0.2")))
    net.settle()


def key_of(host: HostEnd, name: str) -> int:
    keys = host.actor("packet-workflow").state.keys
    return egress_port_key(next(key for key, port in keys.items() if port.name == name))


def test_traced_packet_passes_by_the_tunnel_flow_of_its_port() -> None:
    net, _, far = network()
    key = key_of(far.host, "edge/b")
    brought(net, key)
    before = misses(far.host)
    brought(net, key)
    assert misses(far.host) == before
    for _ in range(3):
        brought(net, key | TRACE_BIT)
    assert misses(far.host) == before + 3, "and makes no flow of its own"
    assert len(net.delivered("b")) == 5
    for flow in far.host.actor("flow-controller").state.flows.values():
        matched, mask = decode_key(flow.raw_key).tunnel, decode_key(flow.mask).tunnel
        assert matched is None or (mask is not None and mask.tun_id == (1 << 64) - 1)
        assert matched is None or not matched.tun_id & TRACE_BIT


def test_record_says_why_a_traced_packet_was_not_delivered() -> None:
    net, _, far = network()
    key = key_of(far.host, "edge/b")
    for _ in range(2):
        brought(net, (key ^ 1) | TRACE_BIT)
        brought(net, 5 << 20 | TRACE_BIT)
        brought(net, key | TRACE_BIT, src="198.18.0.66")
    assert [(r["reason"], r["peer"]) for r in far.records] == [
        ("tunnel key of no port here", "h1"),
        ("unknown tunnel key", "h1"),
        ("unknown tunnel peer", ""),
        ("tunnel key of no port here", "h1"),
        ("unknown tunnel key", "h1"),
    ]
    assert net.delivered("b") == []


def test_flow_state_is_no_traced_packet() -> None:
    net, _, far = network()
    brought(net, (1 << 24) - 1, udp(A, B, "169.254.15.1", "169.254.15.2", dport=2925))
    assert far.records == []
