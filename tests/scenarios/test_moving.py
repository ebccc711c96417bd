"""A machine moves to another port and another host, and all that runs in it goes along."""

import socket

import pytest

from tests.scenarios.echo import pinging, reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import content

pytestmark = pytest.mark.lab

TEMPLATE = """
ayatori: 1
tunnel_zones:
  dc: {{type: vxlan, members: {{h1: 198.18.0.1, h2: 198.18.0.2}}}}
bridges:
  web:
    ports:
      still: {{host: h1, interface: still}}
      a: {{host: h1, interface: a}}
      b: {{host: h1, interface: b}}
      c: {{host: h2, interface: c}}
      gw: {{peer: edge/web}}
  db:
    ports:
      far: {{host: h2, interface: far}}
      gw: {{peer: edge/db}}
routers:
  edge:
    ports:
      web: {{address: 10.0.1.1/24}}
      db: {{address: 10.0.2.1/24}}
lab:
  machines:
    still: {{port: web/still, address: 10.0.1.1{still}/24, gateway: 10.0.1.1}}
    far: {{port: db/far, address: 10.0.2.12/24, gateway: 10.0.2.1}}
    mover: {{port: web/{port}, address: 10.0.1.20/24, gateway: 10.0.1.1}}
"""


def document(port: str) -> str:
    """Return the topology with the moving machine on a port of the bridge."""
    return TEMPLATE.format(port=port, still=1)


@pytest.mark.parametrize("pinger", ["still", "far"])
def test_a_machine_that_moves_is_pinged_all_the_way(network: Network, pinger: str) -> None:
    network.up(document("a"))
    mover = network.machine("mover")
    with pinging(network.machine(pinger), "10.0.1.20") as ping:
        ping.goes_on()
        for port, host in (("b", "h1"), ("c", "h2"), ("a", "h1")):
            network.up(document(port))
            assert network.status()["machines"]["mover"] == {
                "host": host,
                "port": f"web/{port}",
                "active": True,
            }
            ping.goes_on()
            assert reaches(mover, "10.0.2.12")
            assert reaches(mover, "10.0.1.11")


def test_a_machine_that_says_nothing_after_its_move_is_found(network: Network) -> None:
    """Nothing but the topology tells where it is: it answers requests, but begins nothing."""
    network.up(document("a"))
    still, mover = network.machine("still"), network.machine("mover")
    mover.python(SILENT)
    assert reaches(still, "10.0.1.20")
    for port in ("c", "a", "b"):
        network.up(document(port))
        assert reaches(still, "10.0.1.20")


SILENT = """
from pathlib import Path
for name in ("arp_notify", "arp_announce"):
    Path(f"/proc/sys/net/ipv4/conf/eth0/{name}").write_text("0")
"""


def test_an_open_connection_and_the_process_that_holds_it_survive_the_move(
    network: Network,
) -> None:
    network.up(document("a"))
    mover, far = network.machine("mover"), network.machine("far")
    before = mover.python(IDENTITY).stdout
    with mover.tcp() as listener, far.tcp() as client:
        listener.bind(("10.0.1.20", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            server.settimeout(60)
            client.settimeout(60)
            _speak(client, server, 1)
            for step, port in enumerate(("c", "b"), start=2):
                network.up(document(port))
                _speak(client, server, step)
                _speak(server, client, step + 10)
    assert mover.process.poll() is None
    assert mover.python(IDENTITY).stdout == before


IDENTITY = """
import os, socket
print(os.readlink("/proc/self/ns/net"), socket.if_nameindex())
"""


def test_a_machine_moves_while_it_receives_a_stream(network: Network) -> None:
    network.up(document("a"))
    mover, still = network.machine("mover"), network.machine("still")
    data = content(3_000_000)
    with mover.tcp() as listener, still.tcp() as client:
        listener.bind(("10.0.1.20", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            server.settimeout(60)
            client.settimeout(60)
            half = len(data) // 2
            assert _through(client, server, data[:half]) == data[:half]
            client.sendall(data[half : half + 20_000])
            network.up(document("c"))
            rest = _through(client, server, data[half + 20_000 :], already=20_000)
            assert rest == data[half:]


def _speak(client: socket.socket, server: socket.socket, seed: int) -> None:
    data = content(5000, seed)
    assert _through(client, server, data) == data


def _through(client: socket.socket, server: socket.socket, data: bytes, already: int = 0) -> bytes:
    """Send data and return what arrives; `already` are the bytes that are on their way."""
    received = bytearray()
    position = 0
    while len(received) < len(data) + already:
        if position < len(data):
            position += client.send(data[position : position + 30_000])
        received += server.recv(1 << 20)
    return bytes(received)
