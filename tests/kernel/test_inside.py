"""What tests on the kernel count on: the module is there, and so is what networks are made of."""

import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.kernel.families import FAMILIES, resolve

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("family", FAMILIES)
def test_family_of_openvswitch_resolves(family: str) -> None:
    assert resolve(family) is not None


def test_family_that_nobody_has_does_not_resolve() -> None:
    assert resolve("ovs_nonsense") is None


def test_loopback_answers() -> None:
    subprocess.run(["ping", "-c", "1", "-W", "5", "127.0.0.1"], check=True, capture_output=True)


def test_namespaces_joined_by_a_veth_reach_each_other() -> None:
    script = """
        set -e
        ip link add left type veth peer right
        unshare -n sleep 60 & other=$!
        until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
        ip link set right netns $other
        ip addr add 198.18.0.1/24 dev left; ip link set left up
        nsenter -n -t $other sh -c 'ip addr add 198.18.0.2/24 dev right; ip link set right up'
        ping -c 1 -W 5 198.18.0.2
        kill $other
    """
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_unix_sockets_and_files_work_in_the_temporary_folder(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        assert (tmp_path / "s").is_socket()


def test_the_clock_is_right() -> None:
    # This file was written before now, and not a century ago.
    age = time.time() - Path(__file__).stat().st_mtime
    assert -86400 < age < 100 * 365 * 86400
