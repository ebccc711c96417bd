"""Operators who follow packets, and the network that they look at."""

from typing import Any

import msgspec

from actors.messages.traces import TraceAsked, TraceMatch, TracesAsked, TraceStopAsked
from actors.values import SECOND, ActorName, PortId, stable_id
from tests.network import Network
from tests.network_host import HostEnd
from tests.wire import udp, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, c: {host: h2, interface: c}, gw: {peer: edge/web}}}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      b: {host: h2, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
RA, RB = "02:00:00:00:ff:01", "02:00:00:00:ff:02"
BOOK = ActorName("trace-book")
PORT_A, PORT_B, PORT_C = (PortId(stable_id("port", name)) for name in ("web/a", "edge/b", "web/c"))
ROUTED = udp(A, RA, "10.0.1.11", "10.0.2.11")


class Tracer:
    """An operator at one host of a network."""

    def __init__(self, net: Network, host: str) -> None:
        self.net = net
        self.host = net.hosts[host]

    def _asked(self, message: TraceAsked | TraceStopAsked | TracesAsked) -> Any:
        self.host.give(BOOK, message)
        self.net.settle()
        return msgspec.json.decode(self.host.answers.pop(message.request))

    def start(
        self, match: TraceMatch | None = None, *, limit: int = 10, seconds: float = 60
    ) -> Any:
        duration = int(seconds * SECOND)
        return self._asked(TraceAsked(self.net.now, 900, match or TraceMatch(), limit, duration))

    def stop(self, trace: int = 0) -> Any:
        return self._asked(TraceStopAsked(self.net.now, 901, trace))

    def told(self, after: int = 0) -> Any:
        return self._asked(TracesAsked(self.net.now, 902, after))

    @property
    def records(self) -> Any:
        return self.told()["records"]


def network() -> tuple[Network, Tracer, Tracer]:
    """Return a network in which every MAC is known, and the operators of both hosts."""
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"))
    net.send("c", who_has("10.0.1.1", C, "10.0.1.13"))
    net.send("b", who_has("10.0.2.1", B, "10.0.2.11"))
    net.forget()
    return net, Tracer(net, "h1"), Tracer(net, "h2")


def misses(host: HostEnd) -> int:
    packets: int = host.actor("packet-workflow").state.packets
    return packets
