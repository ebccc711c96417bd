"""ARP over several hosts: asked for once, shared, refreshed by one of those who use it."""

from actors.host import HostSettings
from actors.messages.tables import PutEntry
from actors.values import SECOND, HostId, Mac, parse_mac, stable_id
from tests.network import Network
from tests.wire import is_arp_request, is_at, udp, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2, h3: 198.18.0.3}}
bridges:
  left:
    ports:
      a: {host: h1, interface: a}
      b: {host: h2, interface: b}
      d: {host: h3, interface: d}
      gw: {peer: r/left}
  right:
    ports:
      c: {host: h3, interface: c}
      e: {host: h1, interface: e}
      gw: {peer: r/right}
routers:
  r:
    ports:
      left: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      right: {address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
A, B, C, D = (f"02:00:00:00:00:0{digit}" for digit in "abcd")
LEFT, RIGHT = "02:00:00:00:ff:01", "02:00:00:00:ff:02"
MACHINES = {"a": (A, "10.0.1.11"), "b": (B, "10.0.1.12"), "d": (D, "10.0.1.14")}
C_IP = "10.0.2.13"
TABLE = f"arp/{stable_id('port', 'r/right')}"


def to_c(link: str) -> bytes:
    mac, address = MACHINES[link]
    return udp(mac, LEFT, address, C_IP)


def answer() -> bytes:
    return is_at(C, C_IP, RIGHT, "10.0.2.1")


def requests(frames: list[bytes], address: str = C_IP) -> list[bytes]:
    return [frame for frame in frames if is_arp_request(frame, address)]


def known(settings: HostSettings | None = None) -> Network:
    """Return a network in which h1, h2 and h3 have loaded the router, and all know C."""
    net = Network.from_yaml(TOPOLOGY, settings)
    for link in MACHINES:
        net.send(link, to_c(link))
    net.send("c", answer())
    net.forget()
    return net


def talk(
    net: Network, links: str, seconds: int, *, answers: bool = True
) -> tuple[int, list[bytes]]:
    """Let machines send to C each 5 s; return how many packets arrived, and what C was asked."""
    arrived, asked = 0, []
    for second in range(seconds):
        for link in links if second % 5 == 0 else "":
            net.send(link, to_c(link))
        net.advance(1)
        frames = net.delivered("c")
        asked += requests(frames)
        arrived += sum(frame[12:14] == b"\x08\x00" for frame in frames)
        if answers and requests(frames):
            net.send("c", answer())
    return arrived, asked


def test_answer_that_a_third_host_hears_completes_what_waits_at_two_others() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", to_c("a"))
    net.send("b", to_c("b"))
    frames = net.delivered("c")
    assert len(requests(frames)) == len(frames) == 2
    net.send("c", answer())
    assert len(net.delivered("c")) == 2
    assert net.arp("h1", "r") == net.arp("h2", "r") == {C_IP: C}


def test_entry_that_two_other_hosts_use_is_refreshed_by_one_of_them_and_no_packet_waits() -> None:
    net = known()
    arrived, asked = talk(net, "ab", 600)
    assert arrived == 2 * 600 // 5
    assert 600 // 90 <= len(asked) <= 600 // 60
    assert all(frame[:6] == parse_mac(C) for frame in asked)  # and no flood
    counted = [net.ask(host, "stats")["packet-workflow"] for host in ("h1", "h2")]
    assert [each["waited_topology"] for each in counted] == [1, 1]  # at the very first packet
    assert [each["waited_arp"] for each in counted] == [0, 0]


def test_entry_that_its_owner_uses_is_refreshed_by_the_owner_alone() -> None:
    net = known()
    arrived, asked = talk(net, "abd", 600)
    assert arrived == 3 * 600 // 5
    assert 600 // 75 <= len(asked) <= 600 // 60
    generated = [
        net.ask(host, "stats")["packet-workflow"]["generated"] for host in ("h1", "h2", "h3")
    ]
    assert generated[0] == generated[1] == 1


def test_refresh_that_is_not_answered_is_asked_of_all_a_few_times_until_the_entry_expires() -> None:
    net = known()
    _, asked = talk(net, "ab", 85, answers=False)
    assert 1 <= len(asked) <= 8
    assert asked[0][:6] == parse_mac(C)
    assert all(frame[:6] == b"\xff" * 6 for frame in asked[2:])
    net.advance(10)
    assert net.arp("h1", "r") == net.arp("h2", "r") == net.arp("h3", "r") == {}
    assert net.store.rows(TABLE) == {}


def test_entries_of_a_host_that_dies_go_away_with_the_flows_that_used_them() -> None:
    net = known()
    talk(net, "ab", 10)

    address = bytes((10, 0, 2, 13))

    def ways() -> list[bool]:
        return [
            any(f.key.ip_dst == address and f.key.tunnel is None for f in net.flows(host))
            for host in ("h1", "h2")
        ]

    assert ways() == [True, True]
    net.hosts["h3"].store.lose_session()
    net.settle()
    assert ways() == [False, False]
    assert net.arp("h1", "r") == net.arp("h2", "r") == {}


def test_silent_address_costs_a_bounded_number_of_requests_however_many_packets_come() -> None:
    net = Network.from_yaml(TOPOLOGY)
    asked = 0
    for number in range(400):
        mac, address = MACHINES["ab"[number % 2]]
        net.send("ab"[number % 2], udp(mac, LEFT, address, "10.0.2.99", sport=1000 + number))
    asked += len(requests(net.delivered("c"), "10.0.2.99"))
    assert asked == 2  # of each host one
    net.advance(5)
    asked += len(requests(net.delivered("c"), "10.0.2.99"))
    assert asked <= 2 * 3


def test_neighbour_that_speaks_often_is_published_seldom() -> None:
    net = known()
    host = net.hosts["h3"]
    host.store.outputs.clear()
    for _ in range(300):
        net.send("c", answer())
        net.advance(0.25)
    puts = [o for o in host.store.outputs if isinstance(o, PutEntry) and o.table == TABLE]
    assert 3 <= len(puts) <= 5


def test_host_where_a_neighbour_speaks_takes_its_entry_over() -> None:
    net = known()
    owner = net.hosts["h1"].settings.host
    assert net.store.rows(TABLE)[bytes((10, 0, 2, 13))][1] != owner
    net.send("e", answer())  # the machine has moved
    assert net.store.rows(TABLE) == {bytes((10, 0, 2, 13)): (Mac(parse_mac(C)), owner)}
    assert net.arp("h3", "r") == {C_IP: C}


def test_request_that_met_a_port_that_was_nowhere_is_sent_as_soon_as_it_is_somewhere() -> None:
    net = known()
    h3 = net.hosts["h3"]
    h3.kill()
    h3.hold_store()
    net.advance(2)
    net.send("b", who_has("10.0.1.1", B, "10.0.1.12"))
    net.store.end_session(h3.settings.host)  # its lease ran out: port c is nowhere, C is unknown
    h3.start()
    net.settle()
    assert net.arp("h1", "r") == {"10.0.1.12": B}
    net.forget()
    net.send("a", to_c("a"))
    assert net.delivered("c") == []
    h3.release_store()
    net.settle()
    assert len(requests(net.delivered("c"))) == 1
    net.send("c", answer())
    assert len(net.delivered("c")) == 1


def test_neighbours_are_not_asked_again_in_step() -> None:
    net = Network.from_yaml(TOPOLOGY, HostSettings(HostId(""), "", arp_retry=10 * SECOND))
    for number in range(1, 40):
        mac, address = MACHINES["a"]
        net.send("a", udp(mac, LEFT, address, f"10.0.2.{100 + number}"))
    net.forget()
    busy = 0
    for _ in range(60):
        net.advance(0.25)
        busy += not net.quiet()
    assert busy >= 5
