"""The keeper of a lab: agents that end, its own end, and what is left then."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.lab import leftovers
from cli.lab.down import alone, tear_down
from cli.lab.registry import find_lab
from cli.lab.wait import Change, wait
from tests.lab.kept_lab import KeptLab, two_hosts

pytestmark = pytest.mark.lab


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
    assert leftovers.wait_for_end([keeper, *handles], 30)
    for handle in (keeper, *handles):
        os.close(handle)
    dead = running.run("lab", "status", check=False)
    assert dead.returncode == 3
    assert "the keeper of default was killed: `ayatori lab down` cleans up" in dead.stderr
    running.down()
    assert sleeper.wait(timeout=30) == -signal.SIGTERM
    assert not running.files.folder.exists()


def test_down_ends_what_runs_in_machines_and_a_second_down_finds_no_lab(running: KeptLab) -> None:
    sleeper = running.spawn("vm1", "sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done")
    assert sleeper.stdout is not None
    assert sleeper.stdout.readline() == "on\n"
    assert running.run("lab", "down").stdout == "lab default is down\n"
    assert sleeper.wait(timeout=30) == -signal.SIGKILL
    again = running.run("lab", "down", check=False)
    assert (again.returncode, again.stderr.count("\n")) == (3, 1)


@pytest.mark.usefixtures("running")
def test_sigterm_to_the_keeper_is_a_down() -> None:
    found = find_lab(None)
    assert found is not None
    keeper = os.pidfd_open(found.keeper_pid)
    signal.pidfd_send_signal(keeper, signal.SIGTERM)
    assert leftovers.wait_for_end([keeper], 30)
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
    assert leftovers.wait_for_end([keeper], 30)
    os.close(keeper)
    assert leftovers.with_variable("AYATORI_STATE_DIR", str(running.state_dir)) == ()
