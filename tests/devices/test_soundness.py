"""Megaflow soundness: a packet that matches an installed flow would have got the same treatment.

Packet A is simulated and its flow noted; then packets B are made of A by redrawing fields. Each B
that the flow's mask lets through is simulated in the state that A found, and must come to what
the flow does to it.
"""

from functools import cache
from random import Random

from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from actors.datapath.odp.key import encode_key
from actors.datapath.odp.mask import masked
from actors.datapath.odp.requests import ExecutePacket as ExecuteRequest
from actors.datapath.soft.flow_requests import FlowRequests
from actors.lane_boundary import Snapshot
from actors.messages.flows import ExecutePackets, InstallFlows
from actors.messages.operator import StopRequested
from actors.messages.packet_in import PacketIn
from actors.messages.simulation import SendFrame
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import TunnelKey
from actors.tunnel_key import egress_port_key
from actors.values import ActorName, parse_ip
from tests.devices.soundness_frames import TOPOLOGIES, Fields, random_packet, relatives, warm_up
from tests.network import Network
from tests.network_host import HostEnd

matched = dict.fromkeys(range(len(TOPOLOGIES)), 0)
"""How many pairs each topology gave."""


class Outcome(Struct):
    """What the agent did about one packet."""

    flow: InstallFlows | None = None
    executed: bytes | None = None
    generated: int = 0


class Bench:
    """A network at rest, on whose first host packets are simulated one by one."""

    def __init__(self, topology: int) -> None:
        self.net = Network.from_yaml(TOPOLOGIES[topology])
        self.host: HostEnd = self.net.hosts["h1"]
        for link, warm in warm_up(topology):
            self.net.send(link, warm.frame())
        for _, warm in warm_up(topology):
            # Whoever has no MAC yet is asked for and answers.
            self.net.send(warm.link, warm.frame())
        self.net.forget()
        self.state = self.rest()

    def rest(self) -> Snapshot:
        """Flush the flows, let ICMP budgets fill up, and return the state."""
        self.net.advance(1)
        self.host.handle("operator", StopRequested(self.net.now, keep_flows=False))
        self.net.settle()
        return self.host.lane.snapshot()

    def turn(self, link: str, state: Snapshot, *, carrier: bool) -> Snapshot:
        """Let an interface lose or regain its carrier; return the state that comes of it."""
        self.host.lane.restore(state)
        self.host.set_link(link, carrier=carrier)
        self.net.settle()
        plugged = self.host.actor("datapath-ports").state.plugged[link]
        assert plugged.active == carrier
        return self.rest()

    def raw_key(self, packet: Fields, frame: bytes, tunnel: TunnelKey | None) -> bytes:
        link = "ayatori-vxlan" if tunnel else packet.link
        port = self.host.datapath.port(link)
        assert port is not None
        return encode_key(flow_key_of(frame, port.number, tunnel))

    def simulate(self, raw_key: bytes, frame: bytes, state: Snapshot) -> Outcome:
        host = self.host
        host.lane.restore(state)
        outcome = Outcome()

        def observe(name: ActorName, message: object) -> None:
            if name != "netlink-broker" and not isinstance(message, SendFrame):
                return
            if isinstance(message, InstallFlows):
                outcome.flow = message
            elif isinstance(message, ExecutePackets) and message.raw_keys == (raw_key,):
                (outcome.executed,) = message.actions
            elif isinstance(message, SendFrame):
                outcome.generated += 1

        host.lane.observer = observe
        host.lane.handle(ActorName("packet-workflow"), PacketIn(self.net.now, raw_key, frame))
        host.lane.observer = None
        host.requests.discard()
        self.net.events.clear()
        assert not self.net.crashes, self.net.crashes[0][3]
        return outcome

    def effect(self, raw_key: bytes, actions: bytes, frame: bytes) -> object:
        """Return what comes out of the datapath when it does `actions` to `frame`."""
        if not actions:
            return []
        self.net.frames.clear()
        datapath = self.host.datapath
        requests = FlowRequests(datapath.inventory)
        sent: list[object] = []
        self.net.tunnel = lambda *out: sent.append(out)  # type: ignore[method-assign]
        request = ExecuteRequest(datapath.datapath.ifindex, raw_key, actions, frame)
        requests.execute(request)
        self.net.settle()
        return [sorted(self.net.frames.items()), sent]


@cache
def bench(topology: int) -> Bench:
    return Bench(topology)


def random_tunnel(random: Random, host: HostEnd) -> TunnelKey | None:
    """Return the outer header of a packet from another host, or most often none."""
    if random.random() < 0.8:
        return None
    local = list(host.actor("packet-workflow").state.keys)
    keys = [egress_port_key(random.choice(local)), egress_port_key(5), (1 << 24) - 1, 0]
    return TunnelKey(
        random.choice(keys),
        parse_ip(random.choice(["198.18.0.2", "198.18.0.9"])),
        parse_ip("198.18.0.1"),
        ttl=random.choice([1, 64]),
    )


@settings(max_examples=240, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, (1 << 64) - 1))
def test_packet_that_matches_a_flow_is_treated_as_its_own_simulation_would(seed: int) -> None:
    random = Random(seed)
    topology = seed % len(TOPOLOGIES)
    at = bench(topology)
    state = at.state
    if random.random() < 0.2:
        packet = random_packet(random, topology)
        frame = packet.frame()
        at.simulate(at.raw_key(packet, frame, None), frame, state)
        state = at.rest()
    inactive = random.random() < 0.15
    if inactive:
        state = at.turn("b", state, carrier=False)
    tunnel = random_tunnel(random, at.host)
    first = random_packet(random, topology)
    raw_key = at.raw_key(first, first.frame(), tunnel)
    flow = at.simulate(raw_key, first.frame(), state).flow
    event("no flow" if flow is None else "flow" if flow.actions else "drop flow")
    if flow is not None:
        hold_to(flow, at, random, topology, first, tunnel, state)
    if inactive:
        at.state = at.turn("b", state, carrier=True)


def hold_to(
    flow: InstallFlows,
    at: Bench,
    random: Random,
    topology: int,
    first: Fields,
    tunnel: TunnelKey | None,
    state: Snapshot,
) -> None:
    """Fail if a packet that matches the flow of `first` is treated otherwise by its simulation."""
    raw_key = at.raw_key(first, first.frame(), tunnel)
    mask, match = flow.mask, masked(raw_key, flow.mask)

    def matches(packet: Fields) -> bool:
        return masked(at.raw_key(packet, packet.frame(), tunnel), mask) == match

    for other in relatives(random, first, matches):
        matched[topology] += 1
        frame = other.frame()
        other_key = at.raw_key(other, frame, tunnel)
        outcome = at.simulate(other_key, frame, state)
        executed = outcome.executed or b""
        assert not outcome.generated, (first, other)
        if executed != flow.actions:
            wanted = at.effect(other_key, executed, frame)
            assert at.effect(other_key, flow.actions, frame) == wanted, (first, other)


def test_the_property_above_met_many_matching_pairs() -> None:
    assert all(count > 300 for count in matched.values()), matched
