"""A lab on ZooKeeper servers that are not its own: it reaches them, and leaves them alone."""

from contextlib import closing
from pathlib import Path

import pytest

from actors.state.store.open import open_store
from cli.lab.zookeeper_server import ServerOptions
from tests.lab.runner import ROOT, LabRunner
from tests.zookeeper.ensemble import running

pytestmark = pytest.mark.lab

DOCUMENT = (ROOT / "examples" / "one-host.yaml").read_text()


def test_hosts_reach_given_servers_through_the_lab(lab: LabRunner, tmp_path: Path) -> None:
    assert ServerOptions().listen == "127.0.0.1", "which no namespace of a host reaches by itself"
    with running(tmp_path) as ensemble:
        url = f"zookeeper://127.0.0.1:1,{ensemble.hosts}/given"
        lab.up(DOCUMENT, "--store", url)
        status = lab.status()
        assert status["store"] == {"url": url, "pid": None}
        assert {host["store"] for host in status["hosts"].values()} == {"connected"}
        assert all(machine["active"] for machine in status["machines"].values())
        lab.down()
        assert ensemble.leader().mode() == "standalone"
        with closing(open_store(url)) as store:
            assert store.list("bridge")
            assert store.entries("active") == ()


@pytest.mark.parametrize(
    ("store", "said"),
    [("zookeeper://", "a host is missing"), ("zookeeper://me:secret@h/r", "no place in a store")],
)
def test_a_wrong_url_is_refused_before_anything_is_built(
    lab: LabRunner, store: str, said: str
) -> None:
    refused = lab.up(DOCUMENT, "--store", store, check=False)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "me:secret" not in refused.stderr
