"""The network that the benchmarks simulate: machines on two bridges that a router joins.

Everything is real but the ends: the store's answers are made here, and requests to the datapath
go nowhere.
"""

from pathlib import Path

from actors.composition import actor_factory
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import VportInfo
from actors.datapath.odp.reply_encoding import encode_reply
from actors.datapath.request_buffer import RequestBuffer
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_boundary import Journal
from actors.messages.netlink import DatapathConnected, NetlinkReplied
from actors.messages.operator import AgentStarted
from actors.messages.packet_in import PacketIn
from actors.messages.stored import Output
from actors.messages.topology import Link, LinksChanged, ObjectState, TopologyChanged
from actors.packets.arp import arp_reply, arp_request
from actors.packets.ethernet import ethernet_frame
from actors.packets.extract import flow_key_of
from actors.packets.ipv4 import ipv4_packet
from actors.packets.transport import udp_datagram
from actors.state.document import compile_document, encode_object, object_key, parse_document
from actors.values import SECOND, ActorName, HostId, Nanoseconds, parse_ip, parse_mac, stable_id

DOCUMENT = """
ayatori: 1
bridges:
  left:
    ports:
      a: {host: h1, interface: a}
      b: {host: h1, interface: b}
      gw: {peer: r/left}
  right:
    ports:
      c: {host: h1, interface: c}
      gw: {peer: r/right}
routers:
  r:
    ports:
      left: {address: 10.1.0.1/16, mac: "02:00:00:00:01:01"}
      right: {address: 10.2.0.1/16, mac: "02:00:00:00:02:01"}
"""
MAC_A, MAC_B, MAC_C = (parse_mac(f"02:00:00:00:00:0{n}") for n in (1, 2, 3))
MAC_LEFT, MAC_RIGHT = parse_mac("02:00:00:00:01:01"), parse_mac("02:00:00:00:02:01")
IP_C = parse_ip("10.2.0.3")
FAMILIES = Families(datapath=20, vport=21, flow=22, packet=23)
REPLY_PID = 7
START = Nanoseconds(1_700_000_000 * SECOND)
PORTS = {"a": 2, "b": 3, "c": 4}


class NullJournal:
    """Writes nothing down."""

    def append_input(self, *_: object) -> None:
        """Nothing."""

    append_output = append_netlink = append_crash = begin_segment_if_due = append_input


class NullEdge:
    """Performs nothing."""

    def perform(self, output: Output) -> None:
        """Nothing."""

    def idle(self) -> None:
        """Nothing."""


class BenchNetwork:
    """One host's lane, with ports a, b and c plugged in and their MACs and addresses known."""

    def __init__(self, journal: Journal | None = None, most_flows: int = 200_000) -> None:
        self.host = HostSettings(HostId(stable_id("host", "h1")), "h1", most_flows=most_flows)
        self.requests = RequestBuffer(lambda _: 0, lambda _errno, _sequences: None)
        self.lane = Lane(
            "bench",
            actor_factory(self.host, self.requests),
            journal if journal is not None else NullJournal(),
            NullEdge(),
        )
        self._numbers = 0
        self._plug_in()
        self._teach()

    def packet(self, frame: bytes, port: str, at: Nanoseconds = START) -> PacketIn:
        """Make the upcall of a frame that enters by `port`."""
        key = flow_key_of(frame, PORTS[port])
        return PacketIn(at, encode_key(key), frame)

    def send(self, packet: PacketIn) -> None:
        """Let the lane handle an upcall."""
        self.lane.handle(ActorName("packet-workflow"), packet)

    def _plug_in(self) -> None:
        handle = self.lane.handle
        handle(ActorName("operator"), AgentStarted(START))
        handle(
            ActorName("netlink-broker"),
            DatapathConnected(START, 20, 21, 22, 23, 1, REPLY_PID, 1),
        )
        links = tuple(Link(name, n + 10, True, 1500) for name, n in PORTS.items())  # noqa: FBT003
        handle(ActorName("datapath-ports"), LinksChanged(START, links, whole=True))
        objects = tuple(
            ObjectState(object_key(o).kind, object_key(o).id, 1, encode_object(o))
            for o in compile_document(parse_document(DOCUMENT, "bench"))
        )
        for stored in objects:
            handle(ActorName("topology-watcher"), TopologyChanged(START, (stored,)))
        for sequence, (name, number) in enumerate(PORTS.items(), start=1):
            info = VportInfo(sequence, 1, 1, number, 1, name)
            reply = encode_reply(info, families=FAMILIES, pid=REPLY_PID)
            handle(ActorName("netlink-broker"), NetlinkReplied(START, reply))

    def _teach(self) -> None:
        """Let the devices learn where the machines are."""
        router_right = parse_ip("10.2.0.1")
        for frame, port in (
            (arp_request(MAC_C, IP_C, router_right), "c"),
            (arp_request(MAC_A, parse_ip("10.1.0.2"), parse_ip("10.1.0.1")), "a"),
            (arp_request(MAC_B, parse_ip("10.1.0.3"), parse_ip("10.1.0.1")), "b"),
            (arp_reply(MAC_C, IP_C, MAC_RIGHT, router_right), "c"),
        ):
            self.send(self.packet(frame, port))
        # Devices whose configuration came before they were asked for it:
        objects = compile_document(parse_document(DOCUMENT, "bench"))
        for version, thing in enumerate(objects, start=2):
            key = object_key(thing)
            stored = ObjectState(key.kind, key.id, version, encode_object(thing))
            self.lane.handle(ActorName("topology-watcher"), TopologyChanged(START, (stored,)))
        for frame, port in (
            (arp_request(MAC_C, IP_C, router_right), "c"),
            (arp_request(MAC_A, parse_ip("10.1.0.2"), parse_ip("10.1.0.1")), "a"),
            (arp_request(MAC_B, parse_ip("10.1.0.3"), parse_ip("10.1.0.1")), "b"),
        ):
            self.send(self.packet(frame, port))


def udp_frame(dst_mac: bytes, src: bytes, dst: bytes, port: int = 1000) -> bytes:
    """Return a small UDP frame from machine a."""
    datagram = udp_datagram(src, dst, port, 53, b"x" * 22)
    return ethernet_frame(dst_mac, MAC_A, 0x0800, ipv4_packet(src, dst, 17, datagram))


def routed_packets(network: BenchNetwork, count: int) -> list[PacketIn]:
    """Return packets from a to c through bridge, router and bridge, each a flow of its own."""
    return [
        network.packet(udp_frame(MAC_LEFT, (0x0A010100 + n % 60_000).to_bytes(4), IP_C, 1000), "a")
        for n in range(count)
    ]


def bridged_packets(network: BenchNetwork, count: int) -> list[PacketIn]:
    """Return packets from a to b through one bridge; all match one flow but the first makes it."""
    frame = udp_frame(MAC_B, parse_ip("10.1.0.2"), parse_ip("10.1.0.3"))
    return [network.packet(frame, "a") for _ in range(count)]


def scratch(name: str) -> Path:
    """Return a fresh folder for a benchmark's files."""
    import tempfile  # noqa: PLC0415 - only journals need it

    return Path(tempfile.mkdtemp(prefix=f"ayatori-bench-{name}-"))
