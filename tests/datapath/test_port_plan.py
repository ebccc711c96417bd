"""Which ports are to be plugged in: a plan is a diff that can be read."""

from actors.datapath.port_plan import Forget, Plug, Plugged, Rebind, Unplug, plan
from actors.messages.topology import Link
from actors.state.topology import Binding
from actors.tunnel_key import (
    FLOW_STATE_KEY,
    TRACE_BIT,
    choose_number,
    egress_port_key,
    egress_port_of,
)
from actors.values import DatapathPort, DeviceId, PortId


def binding(port: str, interface: str) -> Binding:
    return Binding(PortId(port), f"device/{port}", interface, DeviceId("device"), "bridge")


def link(name: str, index: int = 7) -> dict[str, Link]:
    return {name: Link(name, index, True, 1500)}


def plugged(port: str, interface: str, index: int = 7) -> dict[str, Plugged]:
    it = Plugged(interface, index, "plugged", binding(port, interface), DatapathPort(3))
    return {interface: it}


def test_a_bound_interface_that_is_there_is_plugged_in() -> None:
    a = binding("a", "if0")
    assert plan((a,), link("if0"), {}, 0) == (Plug(a, 7),)
    assert plan((a,), {}, {}, 0) == (), "it is not there yet"
    assert plan((), link("if0"), {}, 0) == (), "it is bound to nothing"
    assert plan((a,), link("if0"), plugged("a", "if0"), 0) == (), "it is plugged in already"


def test_what_is_not_bound_or_not_there_any_more_is_unplugged() -> None:
    assert plan((), link("if0"), plugged("a", "if0"), 0) == (Unplug("if0"),)
    assert plan((binding("a", "if0"),), {}, plugged("a", "if0"), 0) == (Unplug("if0"),)


def test_another_link_of_the_same_name_is_unplugged_first() -> None:
    assert plan((binding("a", "if0"),), link("if0", 8), plugged("a", "if0"), 0) == (Unplug("if0"),)


def test_an_interface_that_becomes_another_port_stays_in_the_datapath() -> None:
    b = binding("b", "if0")
    assert plan((b,), link("if0"), plugged("a", "if0"), 0) == (Rebind("if0", b),)


def test_a_refused_port_is_tried_again_after_a_while() -> None:
    a = binding("a", "if0")
    failed = {"if0": Plugged("if0", 7, "failed", a, retry_at=100)}
    assert plan((a,), link("if0"), failed, 99) == ()
    assert plan((a,), link("if0"), failed, 100) == (Forget("if0"), Plug(a, 7))
    assert plan((), link("if0"), failed, 0) == (Forget("if0"),)


def test_a_port_on_its_way_is_waited_for() -> None:
    a = binding("a", "if0")
    for status in ("adding", "removing"):
        coming = {"if0": Plugged("if0", 7, status, a)}
        assert plan((), {}, coming, 0) == ()
        assert plan((a,), link("if0"), coming, 0) == ()


def test_tunnel_keys_say_which_port_and_nothing_else() -> None:
    assert egress_port_of(egress_port_key(0x12345)) == 0x12345
    assert egress_port_of(egress_port_key(5) | TRACE_BIT) == 5
    assert egress_port_of(FLOW_STATE_KEY) is None
    assert egress_port_of(5) is None


def test_a_port_keeps_its_tunnel_key_and_two_ports_never_share_one() -> None:
    taken: dict[int, PortId] = {}
    first = choose_number(PortId("a"), taken)
    assert first == choose_number(PortId("a"), taken)
    taken[first] = PortId("somebody else")
    second = choose_number(PortId("a"), taken)
    assert second != first
    assert 0 < second < 1 << 20
