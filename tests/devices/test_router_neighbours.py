"""Routers and the neighbours on their links: ARP asked, answered, learned and forgotten."""

from actors.values import parse_mac
from tests.devices.edge_router import AB, RA, RB, RC, A, B, C, fresh, known, sent_to
from tests.network import router
from tests.wire import (
    addresses_of,
    announce,
    as_arp,
    icmp_of,
    icmp_unreachable,
    is_arp_request,
    is_at,
    who_has,
)


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
