"""Routers, seen from the machines on their links."""

from actors.packets.ipv4 import header_checksum_ok
from actors.values import parse_mac
from tests.network import Network, router
from tests.wire import (
    addresses_of,
    announce,
    as_arp,
    echo,
    ether,
    icmp_of,
    icmp_unreachable,
    ipv4,
    is_arp_request,
    is_at,
    ping,
    tcp,
    ttl_of,
    udp,
    who_has,
)

TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
routers:
  edge:
    ports:
      a: {host: h1, interface: a, address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      b: {host: h1, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
      c: {host: h2, interface: c, address: 10.0.3.1/24, mac: "02:00:00:00:ff:03"}
    routes:
      - {to: 10.9.0.0/16, via: 10.0.2.11}
      - {to: 10.9.7.0/24, via: 10.0.3.11}
      - {to: 10.9.7.0/24, from: 10.0.1.12/32, via: 10.0.2.11}
      - {to: 10.9.8.0/24, via: 10.0.3.11, weight: 10}
      - {to: 10.9.8.0/24, via: 10.0.2.11, weight: 20}
      - {to: 10.8.0.0/16, action: blackhole}
      - {to: 10.7.0.0/16, action: reject}
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
RA, RB, RC = "02:00:00:00:ff:01", "02:00:00:00:ff:02", "02:00:00:00:ff:03"
AB = udp(A, RA, "10.0.1.11", "10.0.2.11")
HOSTS = {"a": (A, "10.0.1.11", "10.0.1.1"), "b": (B, "10.0.2.11", "10.0.2.1")}
HOSTS["c"] = (C, "10.0.3.11", "10.0.3.1")


def fresh() -> Network:
    net = Network.from_yaml(TOPOLOGY)
    net.forget()
    return net


def known() -> Network:
    """Return a network whose router knows its neighbours."""
    net = fresh()
    for link, (mac, ip, gateway) in HOSTS.items():
        net.send(link, who_has(gateway, mac, ip))
    net.forget()
    return net


def sent_to(dst: str, src: str = "10.0.1.11", *, sport: int = 1000, ttl: int = 64) -> bytes:
    return udp(A, RA, src, dst, sport=sport, ttl=ttl)


def way_of(net: Network, frame: bytes) -> str:
    """Return the link by which a frame from A leaves, "" if by none."""
    net.forget()
    net.send("a", frame)
    return "".join(link for link in "bc" if net.delivered(link))


# --- forwarding -----------------------------------------------------------------------------------


def test_packet_is_routed_with_new_macs_and_one_hop_less() -> None:
    net = known()
    net.send("a", AB, AB)
    first, second = net.delivered("b")
    assert first == second
    assert first[:6] == parse_mac(B)
    assert first[6:12] == parse_mac(RB)
    assert ttl_of(first) == 63
    assert header_checksum_ok(first, 14)


def test_packet_is_routed_to_another_host() -> None:
    net = known()
    net.send("a", sent_to("10.0.3.11"))
    (frame,) = net.delivered("c")
    assert frame[:12] == parse_mac(C) + parse_mac(RC)


def test_longest_prefix_then_source_then_weight_decide() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.1.1")) == "b"
    assert way_of(net, sent_to("10.9.7.1")) == "c"
    assert way_of(net, sent_to("10.9.7.1", "10.0.1.12")) == "b"
    assert way_of(net, sent_to("10.9.8.1")) == "c"


def test_lower_weight_takes_over_when_the_better_port_goes_down() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.8.1")) == "c"
    net.apply(TOPOLOGY.replace("interface: c,", "interface: c, admin_up: false,"))
    assert way_of(net, sent_to("10.9.8.1")) == "b"
    net.apply(TOPOLOGY)
    net.send("c", who_has("10.0.3.1", C, "10.0.3.11"))
    assert way_of(net, sent_to("10.9.8.1")) == "c"


def test_equal_routes_share_flows_and_each_flow_and_its_fragments_stay() -> None:
    net = known()
    net.apply(TOPOLOGY.replace("weight: 20", "weight: 10"))
    ways = {n: way_of(net, sent_to("10.9.8.1", sport=n)) for n in range(40)}
    assert set(ways.values()) == {"b", "c"}
    assert {n: way_of(net, sent_to("10.9.8.1", sport=n)) for n in range(40)} == ways
    fragments = [
        ipv4(A, RA, "10.0.1.11", "10.9.8.1", 17, bytes(16), fragment=place)
        for place in (0x2000, 0x2002, 4)
    ]
    assert len({way_of(net, fragment) for fragment in fragments}) == 1


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


# --- what is not routed ---------------------------------------------------------------------------


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


# --- ARP ------------------------------------------------------------------------------------------


def test_arp_is_answered_on_the_port_that_has_the_address_only() -> None:
    net = fresh()
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"))
    (frame,) = net.delivered("a")
    arp = as_arp(frame)
    assert arp is not None
    assert (arp.op, arp.sha) == (2, parse_mac(RA))
    net.send("a", who_has("10.0.2.1", A, "10.0.1.11"), who_has("10.0.1.77", A, "10.0.1.11"))
    assert net.quiet()


def test_address_probe_is_answered_but_teaches_nothing() -> None:
    net = fresh()
    net.send("a", who_has("10.0.1.1", A, "0.0.0.0"))
    assert len(net.delivered("a")) == 1
    assert net.arp("h1", "edge") == {}


def test_arp_from_another_network_or_of_a_group_address_teaches_nothing() -> None:
    net = fresh()
    net.send("a", who_has("10.0.1.1", A, "10.0.2.11"))
    net.send("a", who_has("10.0.1.1", "03:00:00:00:00:01", "10.0.1.11"))
    net.send("a", who_has("10.0.1.1", A, "10.0.1.255"), announce(A, "10.0.1.1"))
    assert net.arp("h1", "edge") == {}


def test_neighbour_is_asked_for_once_however_many_packets_wait_and_then_gets_them_all() -> None:
    net = fresh()
    packets = [sent_to("10.0.2.11", sport=n) for n in range(10)]
    net.send_at_once("a", *packets)
    (request,) = net.delivered("b")
    assert is_arp_request(request, "10.0.2.11")
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    assert len(net.delivered("b")) == 10


def test_only_the_latest_packets_wait_for_one_neighbour() -> None:
    net = fresh()
    packets = [sent_to("10.0.2.11", sport=n) for n in range(30)]
    net.send_at_once("a", *packets)
    net.forget()
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    delivered = net.delivered("b")
    assert [int.from_bytes(frame[34:36]) for frame in delivered] == list(range(14, 30))


def test_silent_neighbour_is_asked_a_bounded_number_of_times_and_each_sender_is_told() -> None:
    net = fresh()
    net.send_at_once("a", *[sent_to("10.0.2.99", f"10.0.1.{n}") for n in range(11, 16)])
    net.advance(10)
    requests = [f for f in net.delivered("b") if is_arp_request(f, "10.0.2.99")]
    assert len(requests) == 3
    errors = net.delivered("a")
    assert [icmp_of(frame) for frame in errors] == [(3, 1)] * 5
    assert {addresses_of(frame)[1] for frame in errors} == {f"10.0.1.{n}" for n in range(11, 16)}


def test_sender_of_what_gets_no_error_is_not_told_and_its_drop_is_its_own() -> None:
    net = fresh()
    net.send("b", who_has("10.0.2.1", B, "10.0.2.11"))
    net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "10.0.2.99"))
    net.forget()
    net.advance(3.5)
    assert net.delivered("a") == []
    net.send("a", AB)
    assert len(net.delivered("b")) >= 1, "the drop flow is for that destination alone"
    net.send("b", is_at(C, "10.0.2.99", RB, "10.0.2.1"))
    net.forget()


def test_neighbour_that_answers_after_all_is_reached_at_once() -> None:
    net = fresh()
    net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "10.0.2.99"))
    net.advance(3.5)
    net.send("b", who_has("10.0.2.1", B, "10.0.2.99"))
    net.forget()
    net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "10.0.2.99"))
    assert len(net.delivered("b")) == 1


def test_reply_that_another_host_hears_lets_waiting_packets_go() -> None:
    net = fresh()
    packet = sent_to("10.0.3.11")
    net.send("a", packet)
    (request,) = net.delivered("c")
    assert is_arp_request(request, "10.0.3.11")
    net.send("c", is_at(C, "10.0.3.11", RC, "10.0.3.1"))
    (frame,) = net.delivered("c")
    assert frame[:6] == parse_mac(C)
    assert net.arp("h1", "edge") == {"10.0.3.11": C}


def test_neighbour_that_changes_its_mac_is_followed() -> None:
    net = known()
    net.send("a", AB)
    net.forget()
    net.send("b", announce(C, "10.0.2.11"))
    net.send("a", AB)
    (frame,) = net.delivered("b")
    assert frame[:6] == parse_mac(C)


def test_stale_entry_in_use_is_asked_for_again_and_one_that_is_not_answered_expires() -> None:
    net = known()
    for _ in range(16):
        net.send("a", AB)
        net.advance(5)
    requests = [f for f in net.delivered("b") if is_arp_request(f, "10.0.2.11")]
    assert 1 <= len(requests) <= 15
    net.advance(15)
    assert "10.0.2.11" not in net.arp("h1", "edge")
    assert not net.flows("h1") or all(f.key.ip_dst != AB[30:34] for f in net.flows("h1"))


def test_stale_entry_that_is_answered_lives_on() -> None:
    net = known()
    for _ in range(60):
        net.send("a", AB)
        net.advance(5)
        if any(is_arp_request(f, "10.0.2.11") for f in net.delivered("b")):
            net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    assert net.arp("h1", "edge")["10.0.2.11"] == B


def test_entry_that_no_flow_uses_is_not_asked_for_and_expires() -> None:
    net = known()
    net.advance(89)
    assert not [f for f in net.delivered("b") if is_arp_request(f, "10.0.2.11")]
    assert "10.0.2.11" in net.arp("h1", "edge")
    net.advance(5)
    assert net.arp("h1", "edge") == {}
    assert not any(
        table.startswith("arp/") and net.store.rows(table) for table in net.store.entries
    )


def test_router_begun_afresh_still_expires_what_its_host_had_learned() -> None:
    net = known()
    net.inject("h1", router("edge"), 2)
    net.send("a", sent_to("10.9.1.1"), sent_to("10.9.1.2"))
    assert [decision for _, _, decision in net.hosts["h1"].tape.crashes] == [
        "Resume",
        "StartAfresh",
    ]
    net.forget()
    net.advance(6)
    net.send("a", AB)
    assert len(net.delivered("b")) == 1
    net.advance(160)
    assert net.arp("h1", "edge") == {}


# --- configuration --------------------------------------------------------------------------------


def test_exterior_port_announces_its_address_when_it_is_plugged() -> None:
    net = Network.from_yaml(TOPOLOGY)
    for link, (_, _, address) in HOSTS.items():
        assert any(is_arp_request(frame, address) for frame in net.delivered(link))


def test_route_that_changes_takes_its_flows_along_and_leaves_the_others() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.7.1")) == "c"
    net.send("a", AB)
    (other,) = [f for f in net.flows("h1") if f.key.ip_dst == AB[30:34]]
    net.apply(
        TOPOLOGY.replace("{to: 10.9.7.0/24, via: 10.0.3.11}", "{to: 10.9.7.0/24, via: 10.0.2.11}")
    )
    assert way_of(net, sent_to("10.9.7.1")) == "b"
    assert other.alive
    net.apply(TOPOLOGY.replace("      - {to: 10.9.7.0/24, via: 10.0.3.11}\n", ""))
    assert way_of(net, sent_to("10.9.7.1")) == "b", "the wider route takes over"
    assert other.alive


def test_new_route_gives_refused_packets_a_way_at_once() -> None:
    net = known()
    net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"))
    assert net.quiet()
    for prefix in ("172.16.0.0/24", "172.16.0.0/12"):
        net.apply(TOPOLOGY + f"      - {{to: {prefix}, via: 10.0.2.11}}\n")
        net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"))
        assert len(net.delivered("b")) == 1
        net.apply(TOPOLOGY)
        net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"))
        assert net.quiet()


def test_port_with_a_new_address_answers_on_it_and_forgets_its_neighbours() -> None:
    net = known()
    net.send("a", AB)
    net.forget()
    net.apply(TOPOLOGY.replace("10.0.2.1/24", "10.0.2.254/24"))
    net.send("b", ping(B, RB, "10.0.2.11", "10.0.2.254"))
    assert icmp_of(net.delivered("b")[0]) == (0, 0)
    net.send("b", who_has("10.0.2.1", B, "10.0.2.11"))
    assert not [f for f in net.delivered("b") if as_arp(f) and as_arp(f).op == 2]  # type: ignore[union-attr]
    net.send("a", AB)
    assert len(net.delivered("b")) == 1


def test_wider_prefix_on_a_port_frees_its_old_broadcast_address() -> None:
    net = known()
    net.apply(TOPOLOGY.replace("10.0.2.1/24", "10.0.2.1/25"))
    net.send("a", sent_to("10.0.2.127"))
    assert net.quiet()
    net.apply(TOPOLOGY)
    net.send("a", sent_to("10.0.2.127"))
    assert is_arp_request(net.delivered("b")[0], "10.0.2.127")


def test_router_that_is_down_routes_nothing_until_it_is_up() -> None:
    net = known()
    net.send("a", AB)
    net.forget()
    net.apply(TOPOLOGY.replace("  edge:", "  edge:\n    admin_up: false"))
    net.send("a", AB)
    assert net.delivered("b") == []
    net.apply(TOPOLOGY)
    net.send("a", AB)
    assert len(net.delivered("b")) == 1


def test_packets_that_wait_follow_a_changed_route() -> None:
    net = known()
    net.advance(1)
    net.send("a", sent_to("10.9.1.1"))
    net.forget()
    net.apply(
        TOPOLOGY.replace(
            "via: 10.0.2.11}\n      - {to: 10.9.7.0/24, via",
            "via: 10.0.2.77}\n      - {to: 10.9.7.0/24, via",
        )
    )
    net.send("a", sent_to("10.9.1.1"))
    assert is_arp_request(net.delivered("b")[0], "10.0.2.77")
    net.apply(TOPOLOGY)
    assert len(net.delivered("b")) == 1, "the packet that waited went the old way again"


def test_routers_that_are_joined_directly_need_no_arp() -> None:
    net = Network.from_yaml(
        """
ayatori: 1
routers:
  one:
    ports:
      a: {host: h1, interface: a, address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      link: {address: 10.0.9.1/30, peer: two/link}
    routes: [{to: 10.0.2.0/24, via: 10.0.9.2}]
  two:
    ports:
      b: {host: h1, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
      link: {address: 10.0.9.2/30}
    routes: [{to: 10.0.1.0/24, via: 10.0.9.1}]
"""
    )
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"))
    net.send("b", who_has("10.0.2.1", B, "10.0.2.11"))
    net.forget()
    net.send("a", AB)
    (frame,) = net.delivered("b")
    assert ttl_of(frame) == 62
    net.send("a", ping(A, RA, "10.0.1.11", "10.0.9.2"), ping(A, RA, "10.0.1.11", "10.0.2.1"))
    assert [icmp_of(f) for f in net.delivered("a")] == [(0, 0), (0, 0)]
    net.send("a", udp(A, RA, "10.0.1.11", "10.0.2.11", ttl=2))
    (error,) = net.delivered("a")
    assert icmp_of(error) == (11, 0)
    assert addresses_of(error)[0] == "10.0.9.2"


def test_ping_of_a_machine_through_two_bridges_and_a_router() -> None:
    net = Network.from_yaml(
        """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  left: {ports: {a: {host: h1, interface: a}, gw: {peer: edge/left}}}
  right: {ports: {b: {host: h2, interface: b}, gw: {peer: edge/right}}}
routers:
  edge:
    ports:
      left: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      right: {address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
    )
    request = ping(A, RA, "10.0.1.11", "10.0.2.11")
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"), request)
    asked = [f for f in net.delivered("b") if is_arp_request(f, "10.0.2.11")]
    assert len(asked) == 1
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    (arrived,) = net.delivered("b")
    assert arrived[:12] == parse_mac(B) + parse_mac(RB)
    net.forget()
    net.send("b", ipv4(B, RB, "10.0.2.11", "10.0.1.11", 1, echo(0)))
    (reply,) = net.delivered("a")
    assert icmp_of(reply) == (0, 0)
    inputs = net.hosts["h1"].lane.inputs
    net.send("a", request)
    net.send("a", request)
    assert len(net.delivered("b")) == 2
    assert net.hosts["h1"].lane.inputs <= inputs + 1
