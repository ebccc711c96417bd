"""What `lab up` still waits for."""

from cli.lab.agents import AgentState
from cli.lab.announce import announcement
from cli.lab.view import LabView, MachineView
from cli.lab.wait import Change, still_missing

READY = AgentState(pid=7, ready=True, ends=0, last_end="")
NOTHING = Change(before=10, plugged=frozenset(), moved=frozenset())


def view(*, ready: bool = True, active: bool = True, since: int = 5) -> LabView:
    return LabView(
        {"h1": READY._replace(ready=ready)},
        {"vm1": MachineView(host="h1", port="web/vm1", active=active, since=since)},
    )


def test_a_lab_whose_agents_are_ready_and_ports_active_misses_nothing() -> None:
    assert still_missing(view(), NOTHING) == []


def test_an_agent_that_is_not_ready_is_missing() -> None:
    assert still_missing(view(ready=False), NOTHING) == ["the agent of h1"]


def test_a_port_that_is_not_active_is_missing() -> None:
    assert still_missing(view(active=False), NOTHING) == ["port web/vm1 of vm1 on h1"]


def test_a_replugged_port_counts_only_once_its_agent_said_so_anew() -> None:
    moved = NOTHING._replace(moved=frozenset({"vm1"}))
    assert still_missing(view(since=10), moved) == ["port web/vm1 of vm1 on h1"]
    assert still_missing(view(since=11), moved) == []
    plugged = NOTHING._replace(plugged=frozenset({"vm1"}))
    assert still_missing(view(since=10), plugged) != []


def test_an_announcement_is_a_broadcast_that_needs_no_address() -> None:
    frame = announcement(b"\x02\0\0\0\0\x01")
    assert len(frame) == 60
    assert frame[:14] == b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x80\x35"
    assert frame[14:22] == bytes.fromhex("0001 0800 06 04 0003")
