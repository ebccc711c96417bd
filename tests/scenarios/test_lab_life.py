"""How a lab begins, changes and ends when things go wrong around it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.lab import leftovers
from cli.lab.registry import find_lab
from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.network import Network
from tests.scenarios.waiting import PATIENCE, eventually

pytestmark = pytest.mark.lab

ONE_HOST = (ROOT / "examples" / "one-host.yaml").read_text()
WRONG = {
    "nonsense": ("[", "{"),
    "unknown key": ("bridges:", "brigdes:"),
    "no such port": ("lan/vm1, address", "lan/vm9, address"),
    "no such device": ("port: lan/vm2", "port: wan/vm2"),
    "two on one interface": ("interface: vm2", "interface: vm1"),
    "a number for a mac": ('"02:00:00:00:00:01"', "020000000001"),
    "no address": ("10.0.0.1/24", "10.0.0.256/24"),
    "not yet built": ("bridges:\n  lan:", "bridges:\n  lan:\n    inbound: chain"),
    "another version": ("ayatori: 1", "ayatori: 2"),
    "no lab": (ONE_HOST[ONE_HOST.index("lab:\n") :], ""),
    "no such host": ("hosts: {h1: {}}", "hosts: {h2: {}}"),
    "a reserved name": ("interface: vm1", "interface: lo"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_document_is_refused_with_a_line_for_each_problem_and_builds_nothing(
    network: Network, what: str
) -> None:
    before, after = WRONG[what]
    text = ONE_HOST.replace(before, after) if what != "nonsense" else "ayatori: [1"
    assert text != ONE_HOST
    done = network.up(text, check=False)
    assert done.returncode == 2, done
    assert done.stderr.startswith("ayatori: "), done.stderr
    lines = done.stderr.removeprefix("ayatori: ").splitlines()
    assert all(_is_a_problem(line) for line in lines), done.stderr
    assert not network.journals()
    assert network.run("lab", "status", check=False).returncode == 3


def _is_a_problem(line: str) -> bool:
    """Tell whether a line names a place in the document, or is about the lab as a whole."""
    return "topology.yaml:" in line or line.startswith(("machine ", "the document "))


def test_a_second_up_that_is_wrong_leaves_the_pings_alone(network: Network) -> None:
    network.up(ONE_HOST)
    with pinging(network.machine("vm1"), "10.0.0.2", 0.02) as ping:
        first = ping.goes_on()
        for before, after in (WRONG["no such port"], WRONG["no address"], ("lan:", "lan: [")):
            assert network.up(ONE_HOST.replace(before, after), check=False).returncode == 2
        ping.goes_on()
    assert not ping.lost(first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_up_that_is_interrupted_leaves_a_lab_that_a_third_completes(
    network: Network, number: signal.Signals
) -> None:
    network.up(ONE_HOST)
    grown = ONE_HOST.replace(
        "    vm2: {port", "    vm3: {port: lan/vm3, address: 10.0.0.3/24}\n    vm2: {port"
    ).replace("      vm2: {host", "      vm3: {host: h1, interface: vm3}\n      vm2: {host")
    path = network.document(grown)
    with pinging(network.machine("vm1"), "10.0.0.2") as ping:
        ping.goes_on()
        for _ in range(3):
            with subprocess.Popen(
                [sys.executable, "-m", "cli.main", "lab", "up", str(path)],
                cwd=ROOT, env=network.environment, stderr=subprocess.PIPE, text=True,
            ) as process:  # fmt: skip
                assert process.stderr is not None
                process.stderr.readline()  # it has begun to say what it does
                process.send_signal(number)
                _, said = process.communicate(timeout=PATIENCE)
                assert process.returncode in {0, 128 + number}, said
        ping.goes_on()
        network.up(grown)
        assert reaches(network.machine("vm1"), "10.0.0.3")
        ping.goes_on()


def test_a_killed_keeper_leaves_nothing_behind(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.up(ONE_HOST)
    monkeypatch.setenv("AYATORI_STATE_DIR", str(network.state_dir))
    lab = find_lab(None)
    assert lab is not None
    spaces = {_namespace(pid) for pid in leftovers.with_variable(leftovers.TOKEN, lab.token)}
    agent = network.agent_pid("h1")
    assert agent is not None
    handles = [os.pidfd_open(pid) for pid in (agent, lab.keeper_pid)]
    network.check_journals()
    signal.pidfd_send_signal(handles[1], signal.SIGKILL)
    assert leftovers.wait_for_end(handles, PATIENCE)
    for handle in handles:
        os.close(handle)
    assert network.run("lab", "status", check=False).returncode == 3
    eventually(lambda: not leftovers.with_variable(leftovers.TOKEN, lab.token), "processes' end")
    assert not spaces & _namespaces_in_use()
    network.up(ONE_HOST)
    assert reaches(network.machine("vm1"), "10.0.0.2")


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _namespaces_in_use() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(process.readlink()))
        except OSError:
            continue  # it has ended
    return found


def test_two_labs_of_one_document_run_side_by_side_and_do_not_meet(network: Network) -> None:
    network.up(ONE_HOST, "--name", "one")
    other = ONE_HOST.replace("10.0.0.2/24", "10.0.0.3/24")
    network.up(other, "--name", "two")
    for name, (there, elsewhere) in {
        "one": ("10.0.0.2", "10.0.0.3"),
        "two": ("10.0.0.3", "10.0.0.2"),
    }.items():
        ping = ("lab", "exec", "--name", name, "vm1", "--", sys.executable, "-m", "cli.lab.ping")
        assert network.run(*ping, "-c", "2", "-W", "20", there, check=False).returncode == 0
        assert network.run(*ping, "-c", "1", "-W", "1", elsewhere, check=False).returncode == 1
    network.check_journals()
    network.run("lab", "down", "--name", "one")
    assert network.machine("vm1").name == "vm1"  # with one lab left, its name is not needed
    assert reaches(network.machine("vm1"), "10.0.0.3")
