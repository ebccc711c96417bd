"""The plan of ports: a pure difference between what is and what ought to be."""

import pytest

from actors.datapath.port_plan import (
    Activate,
    Deactivate,
    Forget,
    Plug,
    Plugged,
    Rebind,
    Step,
    Unplug,
    by_interface,
    plan_for,
)
from actors.messages.topology import Link
from actors.state.topology import Binding
from actors.values import DeviceId, PortId


def bound(interface: str, port: str = "p") -> Binding:
    return Binding(PortId(port), f"web/{port}", interface, DeviceId("d"), "bridge")


def link(name: str, index: int = 1, *, up: bool = True, carrier: bool = True) -> dict[str, Link]:
    return {name: Link(name, index, up, 1500, carrier)}


INACTIVE = Plugged("x", 1, "plugged", bound("x"))
ACTIVE = Plugged("x", 1, "plugged", bound("x"), active=True)


@pytest.mark.parametrize(
    ("bindings", "links", "plugged", "steps"),
    [
        ((bound("x"),), link("x", 3), None, (Plug(bound("x"), 3),)),
        ((bound("x"),), {}, None, ()),
        ((), link("x"), None, ()),
        ((bound("x"),), link("x"), ACTIVE, ()),
        ((bound("x"),), link("x"), INACTIVE, (Activate("x"),)),
        ((bound("x"),), link("x", up=False), ACTIVE, (Deactivate("x"),)),
        ((bound("x"),), link("x", carrier=False), ACTIVE, (Deactivate("x"),)),
        ((bound("x"),), link("x", carrier=False), INACTIVE, ()),
        ((bound("x"),), link("x", up=False, carrier=False), INACTIVE, ()),
        ((bound("x"),), link("x", carrier=False), None, (Plug(bound("x"), 1),)),
        ((bound("x"),), link("x"), Plugged("x", 1, "adding", bound("x")), ()),
        ((), link("x"), Plugged("x", 1, "adding", bound("x")), ()),
        ((), link("x"), Plugged("x", 1, "plugged", bound("x")), (Unplug("x"),)),
        ((bound("x"),), {}, Plugged("x", 1, "plugged", bound("x")), (Unplug("x"),)),
        ((bound("x"),), link("x", 2), Plugged("x", 1, "plugged", bound("x")), (Unplug("x"),)),
        (
            (bound("x", "q"),),
            link("x"),
            Plugged("x", 1, "plugged", bound("x")),
            (Rebind("x", bound("x", "q")), Activate("x")),
        ),
        (
            (bound("x", "q"),),
            link("x", carrier=False),
            ACTIVE,
            (Rebind("x", bound("x", "q")),),
        ),
        ((bound("x"),), link("x"), Plugged("x", 1, "removing", bound("x")), ()),
        (
            (bound("x"),),
            link("x"),
            Plugged("x", 1, "failed", bound("x"), retry_at=10),
            (Forget("x"), Plug(bound("x"), 1)),
        ),
        ((bound("x"),), link("x"), Plugged("x", 1, "failed", bound("x"), retry_at=11), ()),
        ((), link("x"), Plugged("x", 1, "failed", bound("x"), retry_at=11), (Forget("x"),)),
        (
            (bound("x"),),
            link("x", 2),
            Plugged("x", 1, "failed", bound("x"), retry_at=11),
            (Forget("x"), Plug(bound("x"), 2)),
        ),
    ],
)
def test_plan_names_the_steps_from_what_is_to_what_ought_to_be(
    bindings: tuple[Binding, ...],
    links: dict[str, Link],
    plugged: Plugged | None,
    steps: tuple[Step, ...],
) -> None:
    there = {} if plugged is None else {"x": plugged}
    assert plan_for(("x",), by_interface(bindings), links, there, 10) == steps
    assert plan_for(("y",), by_interface(bindings), links, there, 10) == ()
