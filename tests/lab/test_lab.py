"""`ayatori lab` as people type it, with the agents that production runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.lab import leftovers
from tests.kernel.families import have_openvswitch
from tests.lab.runner import ROOT, LabRunner

pytestmark = pytest.mark.lab

TWO_HOSTS = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  web:
    ports:
      vm1: {host: h1, interface: vm1}
      vm2: {host: h2, interface: vm2}
      spare: {host: h2, interface: spare}
lab:
  machines:
    vm1: {port: web/vm1, address: 10.0.1.11/24}
    vm2: {port: web/vm2, address: 10.0.1.12/24}
"""
PING = (sys.executable, "-m", "cli.lab.ping", "-c", "1", "-W", "20")


def test_up_returns_when_the_machines_reach_each_other(lab: LabRunner) -> None:
    assert lab.up(TWO_HOSTS).stdout.startswith("lab default is up: 2 hosts, 2 machines")
    lab.exec("vm1", *PING, "10.0.1.12", check=True)
    status = lab.status()
    assert set(status) == {"hosts", "machines", "store"}
    assert status["machines"] == {
        "vm1": {"host": "h1", "port": "web/vm1", "active": True},
        "vm2": {"host": "h2", "port": "web/vm2", "active": True},
    }
    assert set(status["hosts"]) == {"h1", "h2"}
    assert set(status["hosts"]["h1"]) == {"pid", "journal", "datapath", "store"}
    assert status["hosts"]["h1"]["datapath"] == "soft"
    assert lab.journal("h1").is_dir()
    assert status["store"] == {
        "url": f"sqlite:///{lab.state_dir}/labs/default/store.db",
        "pid": None,
    }
    lab.down()
    assert lab.run("lab", "status", check=False).returncode == 3


def test_a_second_up_moves_a_machine_whose_connection_lives_on(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS)
    listen = (
        "import socket\n"
        "s = socket.create_server(('10.0.1.12', 7000)); print('on', flush=True)\n"
        "c, _ = s.accept()\n"
        "while data := c.recv(100): c.sendall(data.upper())\n"
    )
    talk = (
        "import socket, sys\n"
        "c = socket.create_connection(('10.0.1.12', 7000))\n"
        "for line in sys.stdin:\n"
        "  c.sendall(line.encode()); print(c.recv(100).decode().strip(), flush=True)\n"
    )
    server = lab.spawn("vm2", sys.executable, "-c", listen)
    assert server.stdout is not None
    assert server.stdout.readline() == "on\n"
    client = lab.spawn("vm1", sys.executable, "-c", talk)
    assert client.stdin is not None
    assert client.stdout is not None

    def say(word: str) -> str:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(f"{word}\n")
        client.stdin.flush()
        return client.stdout.readline().strip()

    assert say("before") == "BEFORE"
    moved = TWO_HOSTS.replace("vm1: {port: web/vm1", "vm1: {port: web/spare")
    assert "is changed" in lab.up(moved).stdout
    assert lab.status()["machines"]["vm1"] == {"host": "h2", "port": "web/spare", "active": True}
    assert say("after") == "AFTER"


def test_machines_that_swap_hosts_reach_each_other_when_up_returns(lab: LabRunner) -> None:
    swapped = TWO_HOSTS.replace("vm1: {port: web/vm1", "vm1: {port: web/vm2").replace(
        "vm2: {port: web/vm2", "vm2: {port: web/vm1"
    )
    lab.up(TWO_HOSTS)
    for text in (swapped, TWO_HOSTS, swapped):
        lab.up(text)
        lab.exec("vm1", *PING, "10.0.1.12", check=True)


def test_a_second_up_that_is_refused_leaves_the_lab_alone(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS)
    before = lab.status()
    refused = lab.up(TWO_HOSTS.replace("port: web/vm2", "port: web/nowhere"), check=False)
    assert refused.returncode == 2
    assert "there is no port 'web/nowhere'" in refused.stderr
    assert lab.status() == before
    other = lab.up(TWO_HOSTS, "--store", "sqlite:////elsewhere.db", check=False)
    assert other.returncode == 5
    lab.exec("vm1", *PING, "10.0.1.12", check=True)


def test_up_of_the_same_document_changes_nothing(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS)
    before = lab.status()
    again = lab.up(TWO_HOSTS, "--json")
    assert json.loads(again.stdout) == before == lab.status()


def test_a_killed_agent_comes_back_under_another_pid(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS)
    before = lab.agent_pid("h1")
    assert before is not None
    os.kill(before, signal.SIGKILL)
    while lab.agent_pid("h1") in {before, None}:
        time.sleep(0.02)
    lab.up(TWO_HOSTS)
    lab.exec("vm1", *PING, "10.0.1.12", check=True)


def test_up_after_a_killed_keeper_starts_afresh(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS)
    entry = json.loads((lab.state_dir / "labs/default/lab.json").read_text())
    keeper = os.pidfd_open(entry["pid"])
    signal.pidfd_send_signal(keeper, signal.SIGKILL)
    assert leftovers.wait_for_end([keeper], 30)
    os.close(keeper)
    assert "is up" in lab.up(TWO_HOSTS).stdout
    lab.exec("vm1", *PING, "10.0.1.12", check=True)


def test_two_labs_are_told_apart_by_name(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS, "--name", "one")
    lab.up(TWO_HOSTS.replace("10.0.1.12", "10.0.1.22"), "--name", "two")
    assert lab.run("lab", "status", check=False).returncode == 2
    ping = ("lab", "exec", "--name", "two", "vm1", "--", *PING)
    assert lab.run(*ping, "10.0.1.22", check=False).returncode == 0
    lab.run("lab", "down", "--name", "two")
    lab.exec("vm1", *PING, "10.0.1.12", check=True)


def test_a_document_that_cannot_be_read_starts_nothing(lab: LabRunner) -> None:
    missing = lab.run("lab", "up", "/nonexistent.yaml", check=False)
    assert (missing.returncode, missing.stderr.count("\n")) == (3, 1)
    assert lab.up("ayatori: 1\n", check=False).returncode == 2
    assert lab.up(TWO_HOSTS, "--datapath", "kernal", check=False).returncode == 2
    assert lab.up(TWO_HOSTS, "--store", "memory:x", check=False).returncode == 2
    assert not [path for path in lab.state_dir.glob("labs/*") if path.is_dir()]


def test_the_kernels_datapath_is_refused_in_one_line_where_there_is_no_module(
    lab: LabRunner,
) -> None:
    refused = lab.up(TWO_HOSTS, "--datapath", "kernel", check=False)
    if have_openvswitch():
        assert refused.returncode == 0
    else:
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "modprobe openvswitch" in refused.stderr
        assert not [path for path in lab.state_dir.glob("labs/*") if path.is_dir()]


def test_what_does_not_come_up_is_named_with_its_log(lab: LabRunner) -> None:
    late = lab.up(TWO_HOSTS, "--timeout", "0", check=False)
    assert late.returncode == 4
    assert "still missing: the agent of h1" in late.stderr
    assert "/hosts/h1/agent.log" in late.stderr
    lab.up(TWO_HOSTS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("marker", ["keeper.lock", "lab.json", "hosts/h1/agent.log"])
def test_an_interrupted_up_leaves_nothing(
    lab: LabRunner, number: signal.Signals, marker: str
) -> None:
    folder = lab.state_dir / "labs" / "default"
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "lab", "up", str(lab.document(TWO_HOSTS))],
        cwd=ROOT,
        env=lab.environment,
        stdout=subprocess.DEVNULL,
    ) as process:
        while not (folder / marker).exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
    assert not folder.exists()
    assert leftovers.with_variable("AYATORI_STATE_DIR", str(lab.state_dir)) == ()


def test_logs_shows_the_agents_own_words_and_follow_ends_with_the_lab(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS)
    whole = lab.run("lab", "logs", "h1").stdout
    assert '"started"' in whole
    assert lab.run("lab", "logs", "h1", "-n", "1").stdout == whole.splitlines(keepends=True)[-1]
    assert lab.run("lab", "logs", "h9", check=False).returncode == 3
    following = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "lab", "logs", "-f", "h1"],
        cwd=ROOT,
        env=lab.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == whole.splitlines(keepends=True)[0]
    lab.down()
    following.communicate(timeout=30)
    assert following.returncode == 0


def test_a_store_of_ones_own_is_used_and_outlives_the_lab(lab: LabRunner, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mine.db'}"
    lab.up(TWO_HOSTS, "--store", store)
    assert lab.status()["store"]["url"] == store
    lab.down()
    assert (tmp_path / "mine.db").exists()


def test_an_empty_url_or_name_is_not_taken_for_none(lab: LabRunner) -> None:
    for option, said in (("--store", "--store: the URL is missing"), ("--name", "cannot name a")):
        refused = lab.up(TWO_HOSTS, option, "", check=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert said in refused.stderr


def test_status_for_people_names_each_journal_and_the_store_in_one_piece(lab: LabRunner) -> None:
    lab.up(TWO_HOSTS)
    told = lab.run("lab", "status").stdout.splitlines()
    assert f"journal of h1: {lab.journal('h1')}" in told
    assert f"store: {lab.status()['store']['url']}" in told
