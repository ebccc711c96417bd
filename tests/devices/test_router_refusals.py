"""What a router answers itself, refuses aloud, drops in silence, and counts."""

from actors.packets.ipv4 import header_checksum_ok
from actors.values import parse_mac
from tests.devices.edge_router import AB, HOSTS, RA, RB, RC, A, known, sent_to
from tests.network import router
from tests.wire import addresses_of, ether, icmp_of, icmp_unreachable, ipv4, ping, tcp, udp


def test_blackhole_is_silent() -> None:
    net = known()
    net.send("a", sent_to("10.8.0.1"))
    assert net.quiet()
    assert net.hosts["h1"].drops(router("edge")) == {"blackhole route": 1}


def test_reject_and_no_route_are_told_by_icmp() -> None:
    net = known()
    for destination, answer in (("10.7.0.1", (3, 13)), ("172.16.0.1", (3, 0))):
        packet = sent_to(destination)
        net.send("a", packet)
        (error,) = net.delivered("a")
        assert icmp_of(error) == answer
        assert addresses_of(error) == ("10.0.1.1", "10.0.1.11")
        assert error[:12] == parse_mac(A) + parse_mac(RA)
        assert packet[14:] in error


def test_ttl_of_one_expires_here_and_of_zero_too() -> None:
    net = known()
    for ttl in (1, 0):
        net.send("a", sent_to("10.0.2.11", ttl=ttl))
        (error,) = net.delivered("a")
        assert icmp_of(error) == (11, 0)
    assert net.delivered("b") == []


def test_every_own_address_answers_ping_from_either_side_also_with_ttl_one() -> None:
    net = known()
    for address in ("10.0.1.1", "10.0.2.1", "10.0.3.1"):
        for link, mac in (("a", RA), ("b", RB), ("c", RC)):
            own_mac, own, _ = HOSTS[link]
            net.send(link, ping(own_mac, mac, own, address, ttl=1))
            (reply,) = net.delivered(link)
            assert icmp_of(reply) == (0, 0)
            assert addresses_of(reply) == (address, own)
            assert header_checksum_ok(reply, 14)


def test_ping_is_answered_every_time() -> None:
    net = known()
    net.send("a", *[ping(A, RA, "10.0.1.11", "10.0.2.1", ident=n) for n in range(5)])
    assert len(net.delivered("a")) == 5


def test_udp_to_the_router_is_refused_aloud_and_tcp_silently() -> None:
    net = known()
    net.send("a", sent_to("10.0.1.1"))
    assert icmp_of(net.delivered("a")[0]) == (3, 3)
    net.send("a", tcp(A, RA, "10.0.1.11", "10.0.1.1"))
    assert net.quiet()


def test_no_error_about_errors_later_fragments_multicasts_and_broadcasts() -> None:
    net = known()
    net.send(
        "a",
        icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"),
        ipv4(A, RA, "10.0.1.11", "172.16.0.1", 17, bytes(16), fragment=4),
        sent_to("224.0.0.9"),
        udp(A, "ff:ff:ff:ff:ff:ff", "10.0.1.11", "172.16.0.1"),
        sent_to("255.255.255.255"),
    )
    assert net.quiet()


def test_packet_after_one_that_gets_no_error_still_gets_its_own() -> None:
    net = known()
    net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"))
    net.send("a", ping(A, RA, "10.0.1.11", "172.16.0.1"), sent_to("172.16.0.1"))
    assert [icmp_of(frame) for frame in net.delivered("a")] == [(3, 0), (3, 0)]


def test_martians_wrong_checksums_and_frames_for_others_are_counted() -> None:
    net = known()
    broken = bytearray(AB)
    broken[24] ^= 0xFF
    net.send(
        "a",
        sent_to("10.0.2.11", "127.0.0.1"),
        sent_to("10.0.2.11", "224.0.0.1"),
        sent_to("10.0.2.11", "10.0.2.1"),
        sent_to("10.0.2.11", "10.0.1.255"),
        bytes(broken),
        udp(A, "02:00:00:00:12:34", "10.0.1.11", "10.0.2.11"),
        udp(A, RA, "10.0.1.11", "10.0.2.11", vlan=5),
        ether(A, RA),
    )
    assert net.quiet()
    drops = net.hosts["h1"].drops(router("edge"))
    assert drops == {
        "martian source": 4,
        "wrong IP header checksum": 1,
        "not for this router": 1,
        "VLAN tag at a router": 1,
        "no IPv4": 1,
    }
    net.send("a", AB)
    assert len(net.delivered("b")) == 1, "a good packet after the broken one passes"


def test_subnet_broadcast_is_not_routed() -> None:
    net = known()
    net.send("a", sent_to("10.0.2.255"), sent_to("10.0.1.255"))
    assert net.quiet()


def test_icmp_errors_are_limited_in_number_and_come_again_later() -> None:
    net = known()
    packets = [sent_to(f"172.16.{n}.1") for n in range(80)]
    net.send("a", *packets)
    assert len(net.delivered("a")) == 50
    net.advance(6)
    net.send("a", packets[0])
    assert len(net.delivered("a")) == 1
