"""A user without any privilege brings a lab up in a user namespace of his own."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.lab.machine import snapshot
from tests.lab.runner import ROOT
from tests.scenarios.echo import reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import tcp_arrives_whole

pytestmark = pytest.mark.lab

TWO_HOSTS = (ROOT / "examples" / "two-hosts.yaml").read_text()
NOBODY = 65534
AS_NOBODY = """
set -e
hidden=$1 prefix=$2 aside=$3
shift 3
if [ -n "$hidden" ]; then
    mount --bind "$prefix" "$aside"
    mount -t tmpfs -o mode=755 none "$hidden"
    mkdir -p "$prefix"
    mount --bind "$aside" "$prefix"
fi
exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --no-new-privs "$@"
"""
"""Becomes nobody, in a mount namespace of its own where the interpreter, should it lie in a home
that others may not enter, can be reached all the same."""


def hidden() -> str:
    """Return the topmost folder on the way to the interpreter that others may not enter."""
    for folder in reversed(Path(sys.base_prefix).parents):
        if not folder.stat().st_mode & 0o001:
            return str(folder)
    return ""


@pytest.mark.skipif(os.geteuid() != 0, reason="all tests run without root then")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv and unshare")
def test_nobody_brings_a_lab_up_and_pings() -> None:
    before = snapshot()
    network = Network()
    aside = network.state_dir / "aside"
    aside.mkdir()
    os.chown(network.state_dir, NOBODY, NOBODY)
    network.run_by(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", AS_NOBODY, "sh",
        hidden(), sys.base_prefix, str(aside),
    )  # fmt: skip
    try:
        assert network.run("topology", "schema").stdout.startswith("{")
        network.up(TWO_HOSTS)
        pid = network.agent_pid("h1")
        assert pid is not None
        assert Path(f"/proc/{pid}").stat().st_uid == NOBODY
        web1, db2 = network.machine("web1"), network.machine("db2")
        assert reaches(web1, "10.0.2.12")
        assert reaches(web1, "10.0.1.12")
        tcp_arrives_whole(web1, db2, "10.0.2.12", 200_000)
        network.end()
    finally:
        network.close()
    assert snapshot() == before
