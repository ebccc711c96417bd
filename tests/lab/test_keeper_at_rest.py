"""A lab as its keeper has built it: what places are like, and how commands run in them."""

import signal
import socket
import sys

import pytest

from cli.errors import CommandError
from cli.lab.registry import find_lab
from tests.lab.kept_lab import KeptLab, show
from tests.lab.runner import ROOT

pytestmark = pytest.mark.lab


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
        patient = (*ping, "-W", "20")
        assert still.exec("h1", *patient, "198.18.0.2").returncode == 0
        assert still.exec("h1", *ping, "198.18.0.3").returncode == 1
        assert still.exec("h1", *patient, "-s", "1472", "198.18.0.2").returncode == 0

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
