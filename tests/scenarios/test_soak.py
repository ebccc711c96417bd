"""Thousands of short flows: the agent stays up, its tables bounded, its journal in segments."""

import json
import socket
import threading
import time
from contextlib import suppress
from itertools import cycle

import pytest

from cli.lab.registry import find_lab
from tests.lab.runner import ROOT
from tests.scenarios.echo import pinging, reaches
from tests.scenarios.machine import Machine
from tests.scenarios.network import Network
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

TWO_WAYS = """
      db: {address: 10.0.2.1/24, mac: "02:00:00:00:02:01"}
    routes:
      - {to: 10.9.0.0/24, via: 10.0.2.12}
      - {to: 10.9.0.0/24, via: 10.0.2.13}
"""
"""Of equal weight: which one a packet takes follows from its ports, so every flow is one's own."""
DOCUMENT = (
    (ROOT / "examples" / "two-hosts.yaml")
    .read_text()
    .replace('\n      db: {address: 10.0.2.1/24, mac: "02:00:00:00:02:01"}\n', TWO_WAYS)
    .replace("address: 10.0.2.12/24", "address: [10.0.2.12/24, 10.0.2.13/24, 10.9.0.1/32]")
)
MOST_FLOWS = 400
ECHOES = 12 * MOST_FLOWS
SECONDS = 150
"""For so many echoes, however busy the machine is; they take some twelve."""
SEGMENT = 1 << 18
KEPT = 200
BATCH = 16
"""Datagrams that are on their way at the same time: a queue's worth, not a flood."""


def configure(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the agents small tables and small segments; they read it when they start again."""
    monkeypatch.setenv("AYATORI_STATE_DIR", str(network.state_dir))
    lab = find_lab(None)
    assert lab is not None
    before = {host: network.agent_pid(host) for host in lab.hosts}
    for entry in lab.hosts.values():
        settings = json.loads(entry.config.read_text())
        settings["journal"] |= {"segment_size": SEGMENT, "keep_segments": KEPT}
        settings["limits"] = {"flows": MOST_FLOWS}
        entry.config.write_text(json.dumps(settings))
    network.stop_agents()
    eventually(
        lambda: all(network.agent_pid(host) not in {None, pid} for host, pid in before.items()),
        "agents of other pids",
    )
    network.settle()


def test_an_agent_lives_through_thousands_of_short_flows(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.up(DOCUMENT)
    configure(network, monkeypatch)
    assert reaches(network.machine("web1"), "10.0.2.12")
    before = {host: network.agent_pid(host) for host in ("h1", "h2")}
    with pinging(network.machine("web2"), "10.0.1.11") as ping:
        ping.goes_on()
        short_flows(network.machine("web1"), network.machine("db2"), "10.9.0.1")
        for host in ("h1", "h2"):
            assert len(network.flows(host)) <= MOST_FLOWS
        ping.goes_on()
    assert {host: network.agent_pid(host) for host in ("h1", "h2")} == before
    assert network.stats("h1")["actors"]["flow-controller"]["evicted"] > 0
    assert len([*network.journal("h1").glob("*.journal")]) > 3
    assert reaches(network.machine("web1"), "10.0.2.12")


def short_flows(client: Machine, server: Machine, address: str) -> None:
    """Send datagrams of ever new flows until enough of them came back."""
    stop = threading.Event()
    echoed = 0
    with server.udp() as far:
        far.bind((address, 0))
        port = far.getsockname()[1]
        far.settimeout(0.2)
        echo = threading.Thread(target=_echo, args=(far, stop))
        echo.start()
        try:
            ends = time.monotonic() + SECONDS
            ports = cycle(range(2_000, 62_000))
            while echoed < ECHOES:
                assert time.monotonic() < ends, f"only {echoed} of {ECHOES} came back"
                sockets = [client.udp() for _ in range(BATCH)]
                for each in sockets:
                    each.bind(("", next(ports)))
                    each.sendto(b"short", (address, port))
                for each in sockets:
                    each.settimeout(0.1)
                    with suppress(TimeoutError):  # a port may not ask for ever more simulations
                        echoed += each.recv(100) == b"short"
                    each.close()
        finally:
            stop.set()
            echo.join()


def _echo(far: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            data, whence = far.recvfrom(2000)
        except TimeoutError:
            continue
        far.sendto(data, whence)
