"""A real keeper with real namespaces; its agents are a few lines that only say that they run."""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.errors import CommandError
from cli.lab import control, leftovers
from cli.lab.down import alone, tear_down
from cli.lab.launch import launch
from cli.lab.registry import find_lab
from cli.lab.state_folder import lab_files
from cli.lab.wait import Change, wait
from cli.lab.wanted import Host, Lab, Machine, Plug, Route, UnderlayRoute
from tests.lab.machine import snapshot
from tests.lab.runner import ROOT, LabRunner

pytestmark = pytest.mark.lab

HERE = Path(__file__).parent
AGENT = """
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
print("running", flush=True)
signal.pause()
"""


class KeptLab(LabRunner):
    """A lab that the test gives to the keeper itself, without a document or a store."""

    def launch(self, agent: str = AGENT) -> None:
        """Start the keeper."""
        script = str(HERE / "keeper_with_agent.py")
        store = f"sqlite:///{self.state_dir}/store.db"
        launch(self.files, "default", store, "soft", (sys.executable, script, agent))

    @property
    def files(self) -> Any:
        return lab_files("default", make=True)

    def ask(self, **request: Any) -> control.Message:
        return control.call(self.files.control, request, 30.0)[0]

    def change(self, lab: Lab) -> control.Message:
        return self.ask(op="change", lab=msgspec.to_builtins(lab))

    def change_raw(self, lab: object) -> control.Message:
        return self.ask(op="change", lab=lab)

    def agents(self) -> dict[str, Any]:
        hosts: dict[str, Any] = self.ask(op="status")["hosts"]
        return hosts

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; the test's own timeout bounds it."""
        while not condition():
            time.sleep(0.01)

    def namespace(self, place: str) -> str:
        return self.exec(place, "readlink", "/proc/self/ns/net", check=True).stdout


@contextmanager
def keeping() -> Iterator[KeptLab]:
    runner = KeptLab()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AYATORI_STATE_DIR", str(runner.state_dir))
        try:
            yield runner
        finally:
            runner.close()


@pytest.fixture
def kept(untouched: None) -> Iterator[KeptLab]:  # noqa: ARG001
    with keeping() as runner:
        yield runner


def host(number: int, of: int = 2) -> Host:
    own = f"198.18.0.{number}"
    others = [f"198.18.0.{other}/32" for other in range(1, of + 1) if other != number]
    routes = tuple(UnderlayRoute(other, own) for other in others)
    return Host(f"h{number}", (f"{own}/32",), routes)


def machine(name: str, plug: Plug, **changes: Any) -> Machine:
    fields = {
        "mac": f"02:00:00:00:00:0{name[-1]}",
        "mtu": 1450,
        "addresses": (f"10.0.1.1{name[-1]}/24",),
        **changes,
    }
    return Machine(name=name, port=f"web/{name}", plug=plug, **fields)


def two_hosts(*machines: Machine, mtu: int = 1500) -> Lab:
    return Lab(
        mtu=mtu,
        hosts={each.name: each for each in (host(1), host(2))},
        machines={each.name: each for each in machines},
    )


SMALL = two_hosts(
    machine("vm1", Plug("h1", "vm1"), routes=(Route("0.0.0.0/0", "10.0.1.1"),)),
    machine("vm2", Plug("h2", "vm2"), addresses=("10.0.1.12/24", "2001:db8::12/64")),
)


def start(kept: KeptLab) -> KeptLab:
    kept.launch()
    assert kept.change(SMALL)["ok"]
    kept.until(lambda: all(agent["ready"] for agent in kept.agents().values()))
    return kept


@pytest.fixture
def running(kept: KeptLab) -> KeptLab:
    """Give a lab that the test may change."""
    return start(kept)


@pytest.fixture(scope="class")
def still() -> Iterator[KeptLab]:
    """Give a lab that the tests of a class share, so they only look at it."""
    before = snapshot()
    with keeping() as runner:
        yield start(runner)
    assert snapshot() == before


def show(kept: KeptLab, place: str) -> str:
    """Read what a machine's network looks like, by a library and not by the machine's tools."""
    code = (
        "from pyroute2 import IPRoute\n"
        "with IPRoute() as r:\n"
        "  for m in sorted(r.get_links(), key=lambda m: m.get('IFLA_IFNAME')):\n"
        "    print('link', m.get('IFLA_IFNAME'), m.get('state'), m.get('IFLA_MTU'),"
        " m.get('IFLA_ADDRESS'))\n"
        "  for m in r.get_addr():\n"
        "    print('address', f\"{m.get('IFA_ADDRESS')}/{m['prefixlen']}\")\n"
        "  for f in (2, 10):\n"
        "    for m in r.get_routes(family=f, table=254):\n"
        "      print('route', m.get('RTA_DST'), m.get('RTA_GATEWAY'))\n"
    )
    return kept.exec(place, sys.executable, "-c", code, check=True).stdout


class TestALabAsItStands:
    """What a lab is like and how commands run in it."""

    def test_a_machine_has_lo_and_eth0_as_wanted(self, still: KeptLab) -> None:
        seen = show(still, "vm1")
        assert "link eth0 up 1450 02:00:00:00:00:01" in seen
        assert "link lo up" in seen
        assert "address 10.0.1.11/24" in seen
        assert "route None 10.0.1.1" in seen
        assert "address 2001:db8::12/64" in show(still, "vm2")

    def test_the_other_end_of_a_machines_cable_is_in_its_host(self, still: KeptLab) -> None:
        assert "link vm1 up 1450" in show(still, "h1")
        assert "link vm2 up 1450" in show(still, "h2")

    def test_hosts_reach_each_other_over_the_underlay_and_nothing_else(
        self, still: KeptLab
    ) -> None:
        ping = (sys.executable, "-m", "cli.lab.ping", "-c", "1")
        assert still.exec("h1", *ping, "198.18.0.2").returncode == 0
        assert still.exec("h1", *ping, "198.18.0.3").returncode == 1
        assert still.exec("h1", *ping, "-s", "1472", "198.18.0.2").returncode == 0

    def test_a_hosts_own_stack_stays_out_of_the_virtual_network(self, still: KeptLab) -> None:
        settings = (
            "ipv4/conf/{}/rp_filter",
            "ipv4/conf/{}/arp_ignore",
            "ipv6/conf/{}/disable_ipv6",
        )
        for interface, expected in (("vm1", "1\n8\n1\n"), ("underlay0", "0\n0\n0\n")):
            paths = [f"/proc/sys/net/{setting.format(interface)}" for setting in settings]
            assert still.exec("h1", "cat", *paths).stdout == expected

    def test_a_command_has_the_callers_streams_folder_and_status(self, still: KeptLab) -> None:
        script = "cat; pwd; echo oops >&2; exit 7"
        done = still.exec("vm1", "sh", "-c", script, stdin="in\n")
        assert (done.stdout, done.stderr, done.returncode) == (f"in\n{ROOT}\n", "oops\n", 7)

    def test_a_command_that_a_signal_ends_ends_so(self, still: KeptLab) -> None:
        assert still.exec("vm1", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM

    def test_a_command_dies_of_a_closed_pipe_as_everywhere(self, still: KeptLab) -> None:
        done = still.exec("vm1", "sh", "-c", "trap '' HUP; kill -PIPE $$; echo alive")
        assert done.returncode == -signal.SIGPIPE

    @pytest.mark.parametrize(
        ("command", "status"), [("no-such-command", 127), ("/etc/passwd", 126), ("/etc", 126)]
    )
    def test_a_command_that_cannot_run_has_the_shells_status(
        self, still: KeptLab, command: str, status: int
    ) -> None:
        done = still.exec("vm1", command)
        assert done.returncode == status
        assert done.stderr.startswith(f"ayatori: {command}: ")
        assert done.stderr.count("\n") == 1

    def test_an_unknown_machine_is_not_found_and_the_known_are_named(self, still: KeptLab) -> None:
        done = still.exec("vm9", "true")
        assert done.returncode == 3
        assert "machines: vm1, vm2; hosts: h1, h2" in done.stderr

    def test_a_second_keeper_of_one_lab_is_refused(self, still: KeptLab) -> None:
        with pytest.raises(CommandError, match="cannot build a lab here"):
            still.launch()
        assert find_lab(None) is not None

    def test_a_client_that_sends_nonsense_harms_nobody(self, still: KeptLab) -> None:
        for nonsense in (b"", b"\0\0\0\5[1,2]", b"\xff\xff\xff\xff", b"\0\0\0\2{}"):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(still.files.control))
                client.sendall(nonsense)
        assert not still.ask(op="dance")["ok"]
        assert not still.change_raw({"mtu": "big"})["ok"]
        assert still.agents()["h1"]["ready"]


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
    ping = (sys.executable, "-m", "cli.lab.ping", "-c", "1", "-s", "8000", "198.18.0.2")
    assert "link underlay0 up 9000" in show(running, "h1")
    assert running.exec("h1", *ping).returncode == 0


def test_a_machine_that_is_removed_takes_its_processes_along(running: KeptLab) -> None:
    sleeper = running.spawn("vm2", "sleep", "1000")
    running.until(lambda: Path(f"/proc/{sleeper.pid}/comm").read_text() == "sleep\n")
    assert running.change(two_hosts(SMALL.machines["vm1"]))["ok"]
    assert sleeper.wait(timeout=10) == -signal.SIGTERM
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
    ping = (sys.executable, "-m", "cli.lab.ping", "-c", "1", "198.18.0.9")
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


def test_an_agent_that_is_killed_comes_back_with_another_pid(running: KeptLab) -> None:
    before = running.agents()["h1"]["pid"]
    os.kill(before, signal.SIGKILL)
    running.until(
        lambda: running.agents()["h1"]["ready"] and running.agents()["h1"]["pid"] != before
    )


def test_an_agent_that_cannot_start_is_told_from_one_that_waits(kept: KeptLab) -> None:
    kept.launch("raise SystemExit('no such datapath')")
    assert kept.change(two_hosts())["ok"]
    kept.until(lambda: kept.agents()["h1"]["ends"] >= 2)
    agent = kept.agents()["h1"]
    assert not agent["ready"]
    assert agent["last_end"] == "exit status 1"
    assert kept.run("lab", "logs", "h1", "-n", "1").stdout == "no such datapath\n"


def test_an_agent_that_keeps_ending_is_not_waited_for(kept: KeptLab) -> None:
    kept.launch("raise SystemExit('no such datapath')")
    assert kept.change(two_hosts())["ok"]
    found = find_lab(None)
    assert found is not None
    nothing = Change(0, frozenset(), frozenset())
    with pytest.raises(CommandError, match=r"of h1 keeps ending .exit status 1.: no such datapath"):
        wait(found, nothing, 60, lambda _: None)


def test_what_an_agent_leaves_in_its_process_group_ends_with_it(kept: KeptLab) -> None:
    kept.launch("import subprocess; subprocess.Popen(['sleep', '1000']); raise SystemExit(1)")
    assert kept.change(two_hosts())["ok"]
    kept.until(lambda: kept.agents()["h1"]["ends"] >= 1)
    kept.down()
    assert leftovers.with_variable("AYATORI_STATE_DIR", str(kept.state_dir)) == ()


def test_a_keeper_that_is_killed_takes_its_agents_along(running: KeptLab) -> None:
    handles = [os.pidfd_open(agent["pid"]) for agent in running.agents().values()]
    found = find_lab(None)
    assert found is not None
    keeper = os.pidfd_open(found.keeper_pid)
    sleeper = running.spawn("vm1", "sleep", "1000")
    running.until(lambda: Path(f"/proc/{sleeper.pid}/comm").read_text() == "sleep\n")
    signal.pidfd_send_signal(keeper, signal.SIGKILL)
    assert leftovers.wait_for_end([keeper, *handles], 10)
    for handle in (keeper, *handles):
        os.close(handle)
    assert running.run("lab", "status", check=False).returncode == 3
    running.down()
    assert sleeper.wait(timeout=10) == -signal.SIGTERM
    assert not running.files.folder.exists()


def test_down_ends_what_runs_in_machines_and_a_second_down_finds_no_lab(running: KeptLab) -> None:
    sleeper = running.spawn("vm1", "sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done")
    assert sleeper.stdout is not None
    assert sleeper.stdout.readline() == "on\n"
    assert running.run("lab", "down").stdout == "lab default is down\n"
    assert sleeper.wait(timeout=10) == -signal.SIGKILL
    again = running.run("lab", "down", check=False)
    assert (again.returncode, again.stderr.count("\n")) == (3, 1)


@pytest.mark.usefixtures("running")
def test_sigterm_to_the_keeper_is_a_down() -> None:
    found = find_lab(None)
    assert found is not None
    keeper = os.pidfd_open(found.keeper_pid)
    signal.pidfd_send_signal(keeper, signal.SIGTERM)
    assert leftovers.wait_for_end([keeper], 10)
    os.close(keeper)
    assert find_lab(None) is None


def test_a_lab_can_be_ended_by_whoever_holds_its_lock(running: KeptLab) -> None:
    files = running.files
    with alone(files):
        tear_down(files)
        tear_down(files)
    assert not files.folder.exists()


def test_a_keeper_whose_folder_was_removed_ends_its_lab(running: KeptLab) -> None:
    found = find_lab(None)
    assert found is not None
    keeper = os.pidfd_open(found.keeper_pid)
    shutil.rmtree(running.files.folder)
    assert leftovers.wait_for_end([keeper], 10)
    os.close(keeper)
    assert leftovers.with_variable("AYATORI_STATE_DIR", str(running.state_dir)) == ()
