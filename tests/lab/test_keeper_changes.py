"""A running lab that becomes like another document."""

import os
import signal
import sys
from pathlib import Path

import pytest

from cli.lab.registry import find_lab
from cli.lab.wanted import Host, Lab, Plug, Route, UnderlayRoute
from tests.lab.kept_lab import SMALL, KeptLab, host, machine, show, two_hosts

pytestmark = pytest.mark.lab


def test_a_machine_that_moves_keeps_its_namespace_sockets_and_settings(running: KeptLab) -> None:
    before = running.namespace("vm1")
    code = "import socket; s = socket.create_server(('10.0.1.11', 80)); print('on', flush=True)\n"
    server = running.spawn("vm1", sys.executable, "-c", f"{code}s.accept(); print('met')")
    assert server.stdout is not None
    assert server.stdout.readline() == "on\n"
    moved = two_hosts(
        machine("vm1", Plug("h2", "vm1"), routes=(Route("0.0.0.0/0", "10.0.1.1"),)),
        machine("vm2", Plug("h1", "vm2")),
    )
    assert running.change(moved)["ok"]
    assert running.namespace("vm1") == before
    seen = show(running, "vm1")
    assert "link eth0 up 1450 02:00:00:00:00:01" in seen
    assert "route None 10.0.1.1" in seen
    assert "link vm1" not in show(running, "h1")
    assert "link vm1 up" in show(running, "h2")
    running.exec(
        "vm1", sys.executable, "-c", "import socket; socket.create_connection(('10.0.1.11', 80))"
    )
    assert server.stdout.readline() == "met\n"


def test_two_machines_swap_their_places(running: KeptLab) -> None:
    swapped = two_hosts(machine("vm1", Plug("h2", "vm2")), machine("vm2", Plug("h1", "vm1")))
    assert running.change(swapped)["ok"]
    places = running.ask(op="status")["machines"]
    assert (places["vm1"]["host"], places["vm2"]["host"]) == ("h2", "h1")
    assert "link vm1 up" in show(running, "h1")
    assert "link vm2 up" in show(running, "h2")


def test_a_machine_announces_itself_where_it_is_plugged_in(running: KeptLab) -> None:
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x8035))\n"
        "s.bind(('vm1', 0x8035)); print('on', flush=True); print(s.recv(99)[6:12].hex(':'))\n"
    )
    listener = running.spawn("h1", sys.executable, "-c", code)
    assert listener.stdout is not None
    assert listener.stdout.readline() == "on\n"
    assert running.ask(op="announce", names=["vm1", "nobody"])["ok"]
    assert listener.stdout.readline() == "02:00:00:00:00:01\n"


def _index(running: KeptLab, place: str, link: str) -> str:
    code = f"import socket; print(socket.if_nametoindex({link!r}))"
    return running.exec(place, sys.executable, "-c", code, check=True).stdout


def test_a_link_that_is_replugged_has_another_number(running: KeptLab) -> None:
    swapped = two_hosts(machine("vm1", Plug("h2", "vm2")), machine("vm2", Plug("h1", "vm1")))
    before = _index(running, "h1", "vm1")
    assert running.change(swapped)["ok"]
    there = _index(running, "h1", "vm1")
    assert running.change(SMALL)["ok"]
    assert len({before, there, _index(running, "h1", "vm1")}) == 3


def test_addresses_routes_mac_and_mtu_change_in_place(running: KeptLab) -> None:
    changed = machine(
        "vm1",
        Plug("h1", "vm1"),
        mac="02:00:00:00:00:77",
        mtu=1400,
        addresses=("10.0.1.11/24", "10.0.9.1/24"),
        routes=(Route("10.7.0.0/16", "10.0.9.9"),),
    )
    before = running.namespace("vm1")
    assert running.change(two_hosts(changed, SMALL.machines["vm2"]))["ok"]
    seen = show(running, "vm1")
    assert running.namespace("vm1") == before
    assert "link eth0 up 1400 02:00:00:00:00:77" in seen
    assert "address 10.0.9.1/24" in seen
    assert "route 10.7.0.0 10.0.9.9" in seen
    assert "route None 10.0.1.1" not in seen
    assert "link vm1 up 1400" in show(running, "h1")


def test_an_address_outlives_its_subnets_first_address(running: KeptLab) -> None:
    two = machine("vm1", Plug("h1", "vm1"), addresses=("10.0.1.11/24", "10.0.1.99/24"))
    one = machine("vm1", Plug("h1", "vm1"), addresses=("10.0.1.99/24",))
    assert running.change(two_hosts(two))["ok"]
    assert running.change(two_hosts(one))["ok"]
    seen = show(running, "vm1")
    assert "address 10.0.1.99/24" in seen
    assert "10.0.1.11" not in seen


def test_the_underlays_mtu_changes_for_every_host(running: KeptLab) -> None:
    assert running.change(two_hosts(*SMALL.machines.values(), mtu=9000))["ok"]
    ping = (sys.executable, "-m", "cli.lab.ping", "-c", "1", "-W", "20", "-s", "8000", "198.18.0.2")
    assert "link underlay0 up 9000" in show(running, "h1")
    assert running.exec("h1", *ping).returncode == 0


def test_a_machine_that_is_removed_takes_its_processes_along(running: KeptLab) -> None:
    sleeper = running.spawn("vm2", "sleep", "1000")
    running.until(lambda: Path(f"/proc/{sleeper.pid}/comm").read_text() == "sleep\n")
    assert running.change(two_hosts(SMALL.machines["vm1"]))["ok"]
    assert sleeper.wait(timeout=30) == -signal.SIGTERM
    assert running.exec("vm2", "true").returncode == 3


def test_a_host_that_is_added_gets_an_agent_and_one_that_is_removed_loses_it(
    running: KeptLab,
) -> None:
    pid = running.agents()["h2"]["pid"]
    grown = Lab(1500, {"h1": host(1), "h3": host(3)}, {"vm1": SMALL.machines["vm1"]})
    assert running.change(grown)["ok"]
    assert set(running.agents()) == {"h1", "h3"}
    with pytest.raises(ProcessLookupError):
        os.pidfd_open(pid)
    running.until(lambda: running.agents()["h3"]["ready"])
    found = find_lab(None)
    assert found is not None
    assert set(found.hosts) == {"h1", "h3"}


def test_hosts_learn_and_forget_the_ways_to_each_other(running: KeptLab) -> None:
    three = {f"h{number}": host(number, of=3) for number in (1, 2, 3)}
    assert running.change(Lab(1500, three, SMALL.machines))["ok"]
    assert "route 198.18.0.3 None" in show(running, "h1")
    assert running.change(SMALL)["ok"]
    seen = show(running, "h1")
    assert "route 198.18.0.2 None" in seen
    assert "198.18.0.3" not in seen


def test_a_hosts_underlay_address_changes_in_place(running: KeptLab) -> None:
    before = running.namespace("h1")
    moved = Host("h1", ("198.18.0.9/32",), (UnderlayRoute("198.18.0.2/32", "198.18.0.9"),))
    back = Host("h2", ("198.18.0.2/32",), (UnderlayRoute("198.18.0.9/32", "198.18.0.2"),))
    assert running.change(Lab(1500, {"h1": moved, "h2": back}, SMALL.machines))["ok"]
    ping = (sys.executable, "-m", "cli.lab.ping", "-c", "1", "-W", "20", "198.18.0.9")
    assert running.exec("h2", *ping).returncode == 0
    assert running.namespace("h1") == before


def test_a_step_that_fails_leaves_a_lab_that_the_next_change_mends(running: KeptLab) -> None:
    refused = machine("vm3", Plug("h1", "vm1"))  # vm1's interface: the plan does not look for it
    broken = two_hosts(*SMALL.machines.values(), refused)
    answer = running.change(broken)
    assert not answer["ok"]
    assert "cannot make the link vm1: File exists" in answer["error"]
    mended = two_hosts(*SMALL.machines.values(), machine("vm3", Plug("h1", "vm3")))
    assert running.change(mended)["ok"]
    assert "link vm3 up" in show(running, "h1")
    assert "link vm1 up" in show(running, "h1")
