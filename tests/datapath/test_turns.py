"""Upcalls that were read together are one turn: what they lead to goes out together at its end."""

from actors.datapath.odp.upcalls import Upcall, decode_upcall
from actors.edge.datapath_readers import MOST_TOGETHER, packets_of
from actors.host import HostSettings
from actors.messages.flows import ExecutePackets, InstallFlows, InvalidateTags, RemoveFlows
from actors.messages.packet_in import PacketIn
from actors.tags import reach_tag
from actors.values import ActorName, HostId, Nanoseconds
from tests.network import Network
from tests.wire import ether, udp

TOPOLOGY = """
ayatori: 1
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}}}
"""
A, B, BROADCAST = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "ff:ff:ff:ff:ff:ff"
FLOW_CONTROLLER, WORKFLOW = ActorName("flow-controller"), ActorName("packet-workflow")


def from_a(number: int, size: int = 0) -> bytes:
    """Return a frame from a MAC address of its own: each makes a flow."""
    return udp(f"02:00:00:00:01:{number:02x}", B, "10.0.0.1", "10.0.0.2") + bytes(size)


def learned(settings: HostSettings | None = None) -> Network:
    net = Network.from_yaml(TOPOLOGY, settings)
    net.send("b", ether(B, BROADCAST))
    net.forget()
    return net


def upcalls(count: int) -> list[Upcall]:
    return [Upcall(1, 1, b"", bytes([number])) for number in range(count)]


def watched(net: Network) -> list[object]:
    """Return a list that what reaches the netlink broker is added to."""
    heard: list[object] = []

    def observe(name: ActorName, message: object) -> None:
        if name == "netlink-broker" and isinstance(
            message, InstallFlows | ExecutePackets | RemoveFlows
        ):
            heard.append(message)

    net.hosts["h1"].lane.observer = observe
    return heard


def packets(net: Network, *frames: bytes) -> tuple[PacketIn, ...]:
    """Return the inputs of a turn of frames that port a sent."""
    host = net.hosts["h1"]
    for frame in frames:
        host.datapath.enter("a", frame)
    received = [decode_upcall(datagram) for datagram in host.datapath.receive_upcalls()]
    return packets_of(received, net.now)


def test_upcalls_read_at_once_are_turns_of_a_bounded_length() -> None:
    more = [packet.more for packet in packets_of(upcalls(2 * MOST_TOGETHER + 3), Nanoseconds(5))]
    one = [True] * (MOST_TOGETHER - 1) + [False]
    assert more == [*one, *one, True, True, False]
    assert [p.more for p in packets_of(upcalls(MOST_TOGETHER), Nanoseconds(5))] == one
    assert [p.more for p in packets_of(upcalls(1), Nanoseconds(5))] == [False]


def test_flows_of_a_turn_leave_in_one_message_and_the_packets_behind_them_in_order() -> None:
    net = learned()
    heard = watched(net)
    frames = [from_a(1), from_a(2, 5), from_a(3), from_a(4)]
    net.send_at_once("a", *frames)
    install, execute = heard
    assert isinstance(install, InstallFlows)
    assert isinstance(execute, ExecutePackets)
    assert len(install.flows) == 4
    assert list(execute.frames) == frames
    assert net.delivered("b") == frames
    assert len(net.flows("h1")) == 4 + 1


def test_a_packet_that_is_alone_is_let_out_at_once() -> None:
    net = learned()
    heard = watched(net)
    net.send("a", from_a(1))
    assert [type(message) for message in heard] == [InstallFlows, ExecutePackets]
    assert net.delivered("b") == [from_a(1)]


def test_two_packets_of_one_flow_in_a_turn_make_one_flow_and_keep_their_order() -> None:
    net = learned()
    first, second = from_a(1, 100), from_a(1)
    net.send_at_once("a", first, second)
    assert net.delivered("b") == [first, second]
    assert len(net.flows("h1")) == 1 + 1


def test_flow_that_is_invalidated_within_its_turn_is_made_before_it_is_removed() -> None:
    net = learned()
    host = net.hosts["h1"]
    heard = watched(net)
    first, second = packets(net, from_a(1), from_a(2))
    host.lane.handle(WORKFLOW, first)
    assert heard == []
    (port,) = (
        p.port for p in host.actor("packet-workflow").state.ports.values() if p.name == "web/a"
    )
    host.lane.send(FLOW_CONTROLLER, InvalidateTags((reach_tag(port),)))
    host.handle(WORKFLOW, second)
    net.settle()
    kinds = [type(message) for message in heard]
    assert kinds[:3] == [InstallFlows, ExecutePackets, RemoveFlows]
    assert set(heard[2].flows) >= set(heard[0].flows)  # type: ignore[attr-defined]
    book = host.actor("flow-controller").state.flows
    assert len(net.flows("h1")) == len(book)
    assert net.delivered("b") == [from_a(1), from_a(2)]


def test_flow_that_makes_room_for_another_of_its_turn_leaves_nothing_behind() -> None:
    net = learned(HostSettings(HostId(""), "", most_flows=3))
    net.send_at_once("a", *map(from_a, range(1, 9)))
    host = net.hosts["h1"]
    assert len(net.flows("h1")) == len(host.actor("flow-controller").state.flows) == 3
    assert len(net.delivered("b")) == 8


def test_a_crash_within_a_turn_loses_nothing_that_had_gathered() -> None:
    net = learned()
    host = net.hosts["h1"]
    net.crashes_expected = True
    first, second = packets(net, from_a(1), from_a(2))
    host.lane.handle(WORKFLOW, first)
    assert host.lane.inject_fault(FLOW_CONTROLLER, 1)
    host.handle(WORKFLOW, second)
    net.settle()
    assert net.crashes
    assert net.delivered("b")[0] == from_a(1)
    assert len(net.flows("h1")) == len(host.actor("flow-controller").state.flows)


def test_no_snapshot_is_taken_within_a_turn() -> None:
    net = learned()
    host = net.hosts["h1"]
    asked: list[int] = []
    host.lane.journal.begin_segment_if_due = lambda *_: asked.append(host.lane.inputs)  # type: ignore[method-assign]
    before = host.lane.inputs
    for packet in packets(net, from_a(1), from_a(2), from_a(3)):
        host.lane.handle(WORKFLOW, packet)
    assert asked == [before]
    assert not host.actor("flow-controller").state.outgoing
    host.lane.handle(WORKFLOW, packets(net, from_a(4))[0])
    assert asked == [before, before + 3]
