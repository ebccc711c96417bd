"""Three hosts on one ZooKeeper server: its disk is lost, two write at once, garbage is put there."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from actors.state.store.zookeeper.layout import entry_name
from actors.state.tables import ACTIVE_TABLE, arp_table, mac_table
from actors.values import DeviceId, PortId, stable_id
from cli.errors import ExitStatus
from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.held_write import HeldWrite
from tests.scenarios.network import Network, network_of
from tests.scenarios.test_restarts import agent_of, end
from tests.scenarios.test_three_hosts import ADDRESSES, DOCUMENT
from tests.scenarios.test_zookeeper_faults import EVERY, ROUTE, Change, all_reach_all
from tests.scenarios.waiting import PATIENCE, eventually
from tests.scenarios.zookeeper_agreement import HOSTS, agrees
from tests.zookeeper.ensemble import Ensemble, restart_from_an_empty_disk, running

pytestmark = pytest.mark.lab

WRITERS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture(scope="module")
def lab_of_module(datapath: str, server: Ensemble) -> Iterator[Network]:
    """Run the lab for all scenarios of the module; every machine has reached every other."""
    with network_of(datapath=datapath) as network:
        network.up(DOCUMENT, "--store", server.url())
        all_reach_all(network)
        agrees(network)
        yield network


@pytest.fixture
def stranger(server: Ensemble) -> Iterator[KazooClient]:
    """Someone else's client."""
    client = KazooClient(server.hosts)
    client.start()
    yield client
    client.stop()
    client.close()


def with_routes(writer: int) -> str:
    """Return the document with routes that say who wrote them, in both routers."""
    added = "".join(f"      - {{to: 10.66.{writer}.{n}/32, via: 10.2.0.12}}\n" for n in range(20))
    last = "      - {to: 10.99.0.0/24, via: 10.3.0.13}\n"
    text = DOCUMENT.replace(last, last + added).replace(
        ROUTE, ROUTE + added.replace("10.2.0.12", "192.0.2.1")
    )
    assert text.count("10.66.") == 40
    return text


class Writer:
    """An `ayatori topology apply` that runs beside the test."""

    def __init__(self, network: Network, url: str, number: int) -> None:
        self.file = network.state_dir / f"writer-{number}.yaml"
        self.file.write_text(with_routes(number))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "topology", "apply", "--store", url, str(self.file)],
            cwd=ROOT,
            env=network.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ends(self) -> ExitStatus:
        """Wait for its end; return how it went. A conflict must be said."""
        out, err = self._process.communicate(timeout=PATIENCE)
        status = ExitStatus(self._process.returncode)
        if status is ExitStatus.CONFLICT:
            assert "another apply came between, nothing was changed" in err
        else:
            assert (status, err) == (ExitStatus.OK, ""), out
        return status


def is_stored(network: Network, file: Path) -> bool:
    """Tell whether the store holds just what a document says."""
    return network.run("topology", "diff", str(file), check=False).returncode == ExitStatus.OK


def written_by(network: Network, host: str) -> set[str]:
    """Return whose routes a host knows."""
    routes = network.tables(host)["routes"]
    return {row["to"].split(".")[2] for row in routes if row["to"].startswith("10.66.")}


def test_who_writes_on_what_is_no_longer_so_is_told_and_changes_nothing(
    shared: Network, server: Ensemble
) -> None:
    with HeldWrite(server.servers[0].address) as proxy:
        slow = Writer(shared, f"zookeeper://{proxy.address}/ayatori", 1)
        proxy.wait_held()
        quick = Writer(shared, server.url(), 2)
        assert quick.ends() is ExitStatus.OK
        proxy.release()
        assert slow.ends() is ExitStatus.CONFLICT
    assert is_stored(shared, quick.file)
    eventually(lambda: all(written_by(shared, host) == {"2"} for host in HOSTS), "the quick one's")
    all_reach_all(shared)
    agrees(shared)


def test_of_writers_at_once_one_is_last_and_nothing_of_the_others_is_left(
    shared: Network, server: Ensemble
) -> None:
    writers = [Writer(shared, server.url(), number) for number in range(10, 10 + WRITERS)]
    ends = [writer.ends() for writer in writers]
    assert ExitStatus.OK in ends
    stored = [number for number, writer in enumerate(writers) if is_stored(shared, writer.file)]
    assert len(stored) == 1
    assert ends[stored[0]] is ExitStatus.OK
    last = {str(10 + stored[0])}
    eventually(lambda: all(written_by(shared, host) == last for host in HOSTS), "the last one's")
    all_reach_all(shared)
    agrees(shared)


def test_garbage_is_named_and_all_else_is_served(shared: Network, stranger: KazooClient) -> None:
    bridge = f"/ayatori/objects/bridge/{stable_id('bridge', 'two')}"
    macs = mac_table(DeviceId(stable_id("bridge", "one"))).replace("/", "%2F")
    arps = arp_table(PortId(stable_id("port", "west/one"))).replace("/", "%2F")
    row = entry_name(b"key", b"\xff\xfe", "")
    names = [
        "/ayatori/objects/bridge/%zz",
        *(f"/ayatori/tables/{table}/no entry" for table in (ACTIVE_TABLE, macs, arps)),
        *(f"/ayatori/tables/{table}/{row}" for table in (ACTIVE_TABLE, macs, arps)),
    ]
    good, _ = stranger.get(bridge)
    stranger.set(bridge, b"\xff\xfe no object")
    for name in names:
        stranger.create(name, b"")
    try:
        eventually(lambda: all(malformed(shared, host) for host in HOSTS), "named")
        assert {name for host in HOSTS for name in malformed(shared, host)} == {"bridge/two"}
        for host in HOSTS:
            actors = shared.stats(host)["actors"]
            assert actors["flow-controller"]["malformed_rows"] >= 1
            assert actors["bridge/one"]["drops"]["malformed MAC row"] >= 1
            assert actors["router/west"]["drops"]["malformed ARP row"] >= 1
        all_reach_all(shared)
        Change(shared).is_known(*HOSTS)
        dead = agent_of(shared, "h2")
        end(dead, signal.SIGKILL)
        eventually(lambda: shared.agent_pid("h2") not in {None, dead}, "anew")
        shared.settle()
        for one, other in (("a2", "a1"), ("a1", "a2"), ("a2", "c3"), ("b3", "c1")):
            assert reaches(shared.machine(one), ADDRESSES[other]), f"{one} to {other}"
        for host in HOSTS:
            log = shared.run("lab", "logs", host).stdout
            assert "tables/active/no entry is not of this store" in log
    finally:
        for name in names:
            stranger.delete(name)
        stranger.set(bridge, good)
    all_reach_all(shared)
    agrees(shared)
    assert not any(malformed(shared, host) for host in HOSTS)


def malformed(network: Network, host: str) -> list[str]:
    """Return the objects that a host could not read, by name."""
    return [*network.stats(host)["actors"]["topology-watcher"]["malformed"]]


@pytest.mark.parametrize("noticed", [False, True])
def test_hosts_follow_a_store_that_lost_its_disk_and_is_filled_again(
    shared: Network, server: Ensemble, *, noticed: bool
) -> None:
    with pinging(shared.machine("a1"), ADDRESSES["c3"], EVERY) as ping:
        ping.goes_on()
        restart_from_an_empty_disk(server.servers[0])
        if noticed:
            eventually(
                lambda: not any(shared.tables(host)["ports"] for host in HOSTS), "nothing left"
            )
            ping.fails()
        shared.run("topology", "apply", str(shared.document(DOCUMENT)))
        agrees(shared)
        ping.goes_on()
    all_reach_all(shared)
    Change(shared).is_known(*HOSTS)
    agrees(shared)
