"""How inspection reads answers, names ids, and speaks of agents that do not answer as they should."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import main
from cli.errors import CommandError, ExitStatus
from cli.inspection import agent_socket, lines
from cli.inspection.agent_socket import AgentSocket
from cli.inspection.answers import (
    ActivePort,
    DevicePart,
    Flow,
    Flows,
    LocalPort,
    Peer,
    Port,
    PortsPart,
    TunnelPort,
)
from cli.inspection.names import Names

BRIDGE = "58e20434-33fe-56f5-8709-29d6500efe88"
PORT = "061e163c-0186-55c9-89cc-03b59c801efc"
FAR_PORT = "a86e45ac-3a2c-5545-b62e-ec5400b4c257"
STRANGER = "00000000-0000-0000-0000-000000000001"
HOST = "4bf84643-ca6a-57c8-a6d8-78f61b4e7c5e"
PEER = "17ae540f-6f48-521a-b0ee-873ccbec0a7f"

Serve = Callable[[bytes], AgentSocket]


def names() -> Names:
    near = Port(PORT, "web/vm1", True, None, HOST, "vm1", None, None)
    far = Port(FAR_PORT, "web/vm2", True, None, PEER, "vm2", None, None)
    bridge = DevicePart(True, True, 0, (near, far), bridge="web")
    ports = PortsPart(
        (LocalPort("web/vm1", PORT, "vm1", "plugged", 2, 0x111),),
        (Peer(PEER, "h2", "198.18.0.1", "198.18.0.2", "gre"),),
        (TunnelPort("gre", "ayatori-gre", "plugged", 1),),
        (),
    )
    active = (ActivePort(FAR_PORT, PEER, 0x222), ActivePort(PORT, HOST, 0x111))
    return Names((HOST, "h1"), {f"bridge/{BRIDGE}": bridge}, ports, active)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Serve]:
    """Give a function that starts an agent which answers every request with these bytes."""
    path = tmp_path / "control"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    threads: list[threading.Thread] = []

    def serve(answer: bytes) -> AgentSocket:
        def run() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return AgentSocket("h1", path)

    yield serve
    for thread in threads:
        thread.join()
    server.close()


@pytest.mark.parametrize(
    ("tag", "named"),
    [
        (f"device:{BRIDGE}", "device:bridge/web"),
        (f"mac:{BRIDGE}:0:02:00:00:00:00:01", "mac:bridge/web:0:02:00:00:00:00:01"),
        (f"port:{PORT}", "port:web/vm1"),
        (f"reach:{FAR_PORT}", "reach:web/vm2"),
        (f"peer:{PEER}", "peer:h2"),
        (f"port:{STRANGER}", f"port:{STRANGER}"),
        (f"bridge/{BRIDGE}", "bridge/web"),
        (f"arp/{PORT}", "arp/web/vm1"),
        ("tunnel-key:7", "tunnel-key:7"),
    ],
)
def test_ids_in_a_text_become_names_where_there_are_any(tag: str, named: str) -> None:
    assert names().text(tag) == named


def test_tunnels_are_named_by_their_far_host_and_port() -> None:
    out = "ttl(63),tunnel(key=0x100222,to=198.18.0.2),output(1),output(web/vm1)"
    assert names().actions(out) == "ttl(63),tunnel(to=h2,for=web/vm2),output(web/vm1)"
    into = "tunnel(key=0x100111,src=198.18.0.2),ethertype=0x0800"
    assert names().match(into) == "tunnel(from=h2,for=web/vm1),ethertype=0x0800"


@pytest.mark.parametrize(
    "actions",
    [
        "tunnel(key=0x100222,to=198.18.0.9),output(1)",
        "tunnel(key=0x100333,to=198.18.0.2),output(1)",
        "tunnel(key=0x100222,to=198.18.0.2),output(5)",
        "drop",
    ],
)
def test_what_is_not_known_of_a_tunnel_is_not_guessed(actions: str) -> None:
    assert names().actions(actions) == actions


def test_people_call_actors_by_their_devices_names() -> None:
    assert names().actor("bridge/web") == f"bridge/{BRIDGE}"
    assert names().actor("flow-controller") == "flow-controller"


def test_a_flow_that_drops_says_why_in_its_line() -> None:
    flow = Flow(
        1, "error", 1.0, 4.0, 2, 84, "in=web/vm1,ethertype=0x0800", "drop", "no route", ("a", "b")
    )
    head, line = lines.flows(Flows("h1", (flow,)), tags=False)
    assert line.split(maxsplit=6)[-1] == "drop (no route)"
    assert line.index("drop") == head.index("ACTIONS")
    _, line = lines.flows(Flows("h1", (flow,)), tags=True)
    assert line.endswith("drop (no route) [a; b]")


def test_a_host_without_flows_shows_the_columns_only() -> None:
    assert list(lines.flows(Flows("h1", ()), tags=False)) == [
        "KIND  AGE  EXPIRES  PACKETS  BYTES  MATCH  ACTIONS"
    ]


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b'{"error":"ask for something"}\n', ExitStatus.FAILED, "ask for something"),
        (b'{"error":"the lane does not answer"}\n', ExitStatus.TIMED_OUT, "the lane does not"),
        (b"", ExitStatus.NOT_FOUND, "ended before"),
        (b'{"parts":{', ExitStatus.NOT_FOUND, "ended before"),
        (b"what?\n", ExitStatus.FAILED, "strangely"),
        (b'{"parts":[]}\n', ExitStatus.FAILED, "strangely"),
    ],
)
def test_an_agent_that_answers_wrongly_is_a_failure_of_its_own(
    agent: Serve, answer: bytes, status: ExitStatus, said: str
) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        agent(answer).ask("flows")
    assert caught.value.status == status


def test_an_agent_that_is_silent_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_socket, "_PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "control"))
        server.listen()
        with pytest.raises(CommandError, match="does not answer") as caught:
            AgentSocket("h1", tmp_path / "control").ask("flows")
    assert caught.value.status == ExitStatus.TIMED_OUT


def test_an_answer_without_an_end_is_given_up(
    agent: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_socket, "_MOST_BYTES", 1000)
    with pytest.raises(CommandError, match="without an end"):
        agent(b"x" * 2000).ask("flows")


@pytest.mark.parametrize("command", ["flows", "tables", "devices", "stats"])
def test_without_a_lab_the_socket_option_is_named(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path / "state"))
    assert main._guarded([command, "h1"]) == ExitStatus.NOT_FOUND
    said = capsys.readouterr().err
    assert (
        said == "ayatori: no lab is running: --socket PATH names the control socket of an agent\n"
    )
