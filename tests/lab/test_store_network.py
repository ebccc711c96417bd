"""The network by which hosts reach a store: nothing of a document's underlay may lie in it."""

import pytest

from actors.state.document import parse_document
from cli.errors import CommandError, ExitStatus
from cli.lab.from_document import wanted_lab
from cli.lab.lab_store import is_networked
from cli.lab.store_network import STORE_ADDRESS, check_underlay, host_address
from cli.lab.wanted import Lab
from tests.lab.runner import LabRunner

DOCUMENT = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  web: {ports: {a: {host: h1, interface: a}}}
lab:
  machines: {a: {port: web/a, address: 198.19.0.1/16}}
"""
TAKEN = DOCUMENT.replace("h2: 198.18.0.2", "h2: 198.19.7.2")


def lab_of(text: str) -> Lab:
    return wanted_lab(parse_document(text, "test.yaml"))


def test_an_underlay_beside_the_network_is_fine_and_machines_may_have_its_addresses() -> None:
    check_underlay(lab_of(DOCUMENT))


@pytest.mark.parametrize("text", [TAKEN, f"{TAKEN}  hosts: {{h1: {{}}}}\n"])
def test_an_underlay_in_the_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(CommandError, match=r"address 198\.19\.7\.2 is in 198\.19\.0\.0/16") as told:
        check_underlay(lab_of(text))
    assert told.value.status == ExitStatus.USAGE


def test_only_stores_that_are_no_files_need_the_network() -> None:
    assert is_networked("zookeeper")
    assert is_networked("zookeeper://127.0.0.1:2181/x")
    assert not is_networked("sqlite:////tmp/x.db")


def test_each_host_has_an_address_of_its_own_and_never_the_stores() -> None:
    assert (host_address(1), host_address(256)) == ("198.19.0.1/16", "198.19.1.0/16")
    assert host_address(65_001) == host_address(1)
    assert not any(host_address(number).startswith(STORE_ADDRESS) for number in range(1, 65_001))


@pytest.mark.lab
def test_the_document_is_refused_before_anything_is_built(lab: LabRunner) -> None:
    refused = lab.up(TAKEN, "--store", "zookeeper://127.0.0.1:1/x", check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "by which the hosts of a lab reach ZooKeeper" in refused.stderr
    assert lab.run("lab", "status", check=False).returncode == 3
