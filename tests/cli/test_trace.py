"""`ayatori trace`: what is asked of an agent, what is refused before, and how records are written."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.errors import ExitStatus
from cli.inspection import trace_records
from cli.inspection.agent_socket import AgentSocket
from cli.inspection.trace_follower import Follower
from cli.inspection.trace_records import Hop, Record, WayOut

PORT = "061e163c-0186-55c9-89cc-03b59c801efc"


class Agent(threading.Thread):
    """An agent of one host that answers each question with what the test says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.book: dict[str, Any] = {"requests": [], "records": []}
        self.asked: list[dict[str, Any]] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()

    def run(self) -> None:
        while True:
            client, _ = self._server.accept()
            with client:
                question = json.loads(client.makefile().readline())
                if question.get("ask") == "end":
                    return
                self.asked.append(question)
                client.sendall(json.dumps(self._answer(question)).encode() + b"\n")

    def end(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.path))
            last.sendall(b'{"ask":"end"}\n')
        self.join()
        self._server.close()

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        match question:
            case {"ask": "status"}:
                return {"host": "h1"}
            case {"ask": "tables"}:
                port = {"port": "web/a", "id": PORT, "interface": "a", "status": "plugged",
                        "number": 2, "tunnel_key": 7}  # fmt: skip
                ports = {"ports": [port], "peers": [], "tunnels": [],
                         "missing_interfaces": []}  # fmt: skip
                return {"parts": {"datapath-ports": ports, "state-tables": {"active": []}}}
            case {"ask": _}:
                return {"parts": {}}
            case {"trace": _}:
                return {"started": 3}
            case {"stop_trace": number}:
                return {"stopped": [number] if number else []}
            case {"traces_after": after}:
                kept = [r for r in self.book["records"] if r["number"] > after]
                return {**self.book, "records": kept}
        raise AssertionError(question)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    found = Agent(tmp_path / "control")
    found.start()
    yield found
    found.end()


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "number": number, "packet": 70 + number, "at": 1_700_000_000.25, "trace": 1,
        "side": "ingress", "port": PORT, "peer": "", "tunnel_key": 0, "match": "eth_src=a",
        "summary": "icmp a > b", "hops": [], "more_hops": 0, "outputs": [], "more_outputs": 0,
        "reason": "", "waited": False, "complete": True, **fields,
    }  # fmt: skip


def run(agent: Agent, command: str, *words: str) -> int:
    return main._guarded(["trace", command, "h1", *words, "--socket", str(agent.path)])


def test_all_that_a_packet_may_be_asked_for_is_sent(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "--port web/a --src 10.0.1.11 --dst 10.0.2.9/8 --proto tcp --src-port 1 --dst-port 80"
        " --src-mac 02:00:00:00:00:01 --dst-mac 02:00:00:00:00:02 --ethertype ipv4"
        " --limit 5 --for 7"
    )
    assert run(agent, "start", *words.split()) == 0
    assert (
        capsys.readouterr().out == "trace 3 on h1 follows the next 5 packets that match, for 7 s\n"
    )
    asked = agent.asked[-1]["trace"]
    assert (asked["limit"], asked["seconds"]) == (5, 7)
    assert asked["match"] == [
        PORT, "AgAAAAAB", "AgAAAAAC", 0x0800, {"address": "CgABCw==", "length": 32},
        {"address": "CgAAAA==", "length": 8}, 6, 1, 80,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--src 10.0.0.256", "--src: '10.0.0.256'"),
        ("--dst web", "--dst: 'web'"),
        ("--src 10.0.0.1 --dst ::1", "different families"),
        ("--proto tpc", "--proto: 'tpc' is none of icmp, tcp"),
        ("--proto 256", "nor a number up to 255"),
        ("--ethertype -1", "--ethertype: '-1' is none of ipv4, arp"),
        ("--proto icmp --dst-port 80", "protocol 1 has no ports"),
        ("--src-mac 2:0:0:0:0:1", "--src-mac: '2:0:0:0:0:1' is no MAC address"),
        ("--limit 0", "--limit"),
        ("--limit 1001", "--limit"),
        ("--for 0", "--for"),
        ("--src-port 65536", "--src-port"),
    ],
)
def test_senseless_options_are_usage_errors_and_no_agent_is_asked(
    agent: Agent, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(agent, "start", *words.split()) == ExitStatus.USAGE
    assert said in capsys.readouterr().err
    assert agent.asked == []


def test_port_that_is_not_plugged_in_is_named_with_those_that_are(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(agent, "start", "--port", "web/b") == ExitStatus.NOT_FOUND
    assert "h1 has no port 'web/b' plugged in (ports: web/a)" in capsys.readouterr().err


def test_requests_are_listed_with_what_is_left(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    match = {"port": PORT, "proto": 6}
    agent.book["requests"] = [
        {"id": 1, "match": match, "limit": 10, "left": 4, "ends_in": 33.25},
        {"id": 2, "match": {}, "limit": 1, "left": 1, "ends_in": 1.0},
    ]
    assert run(agent, "list") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["ID", "LEFT", "OF", "ENDS", "MATCH"],
        ["1", "4", "10", "33.2", "port=web/a,proto=6"],
        ["2", "1", "1", "1.0", "any"],
    ]
    assert run(agent, "list", "--json") == 0
    first = json.loads(capsys.readouterr().out)["requests"][0]
    assert first["match"] == {"port": "web/a", "proto": 6}


def test_requests_are_stopped_by_number_or_all(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.book["requests"] = [{"id": 2, "match": {}, "limit": 1, "left": 1, "ends_in": 1.0}]
    assert run(agent, "stop", "2") == 0
    assert run(agent, "stop", "all") == 0
    assert capsys.readouterr().out == "stopped on h1: 2\nstopped on h1: none was active\n"
    assert run(agent, "stop", "7") == ExitStatus.NOT_FOUND
    assert run(agent, "stop", "two") == ExitStatus.USAGE
    assert run(agent, "stop", "0") == ExitStatus.USAGE


def test_records_name_ports(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.book["records"] = [record(1), record(2, at=1_600_000_000.0)]
    assert run(agent, "show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["records"]
    assert [(r["number"], r["host"], r["port"]) for r in shown] == [
        (2, "h1", "web/a"), (1, "h1", "web/a"),
    ]  # fmt: skip
    assert run(agent, "show") == 0
    assert "22:13:20.250000 h1 packet 71: icmp a > b" in capsys.readouterr().out


def test_following_shows_each_record_once_and_when_it_is_complete(agent: Agent) -> None:
    follower = Follower(AgentSocket("h1", agent.path))

    def look() -> list[int]:
        return [found.number for found in follower.look()]

    assert look() == []
    agent.book["records"] = [record(1), record(2, complete=False), record(3)]
    assert look() == [1, 3]
    assert look() == []
    agent.book["records"] = [record(1), record(2), record(3), record(4)]
    assert look() == [2, 4]
    assert look() == []
    assert agent.asked[-1] == {"traces_after": 4}


def test_following_goes_on_until_it_is_interrupted(
    agent: Agent, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def interrupt(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt
        agent.book["records"].append(record(2))

    monkeypatch.setattr("cli.trace.time.sleep", interrupt)
    agent.book["records"] = [record(1)]
    assert run(agent, "show", "--follow", "--json") == 130
    assert [json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_one_socket_is_not_two_hosts(agent: Agent) -> None:
    assert run(agent, "show", "h2") == ExitStatus.USAGE


def lines(**fields: Any) -> list[str]:
    blank = record(1, hops=(), outputs=(), port="web/a", host="h1")
    return list(trace_records.record_lines(Record(**{**blank, **fields})))


def test_record_in_lines_tells_each_step() -> None:
    hop = Hop("router/edge", "edge/web", "out by db/db2", "ttl=63")
    out = WayOut("db/db2", "tunnel", "h2", 0x900222, "ttl=63")
    assert lines(hops=(hop,), outputs=(out,))[1:] == [
        "  in      by web/a for trace 1: eth_src=a",
        "  at      router/edge (edge/web): out by db/db2 [ttl=63]",
        "  out     by db/db2 of h2, tunnel key 0x900222 [ttl=63]",
    ]


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({"reason": "no route"}, "  dropped no route"),
        ({"complete": False}, "  waits"),
        ({}, "  ended   here: no way out was needed"),
        ({"more_hops": 4, "reason": "loop"}, "  dropped loop"),
        ({"outputs": (WayOut("web/b", "local", "", 0, ""),)}, "  out     by web/b"),
        (
            {"outputs": (WayOut("web/b", "unreachable", "", 0, ""),)},
            "  out     to web/b, which cannot be reached",
        ),
        (
            {"more_outputs": 3, "outputs": (WayOut("w", "local", "", 0, ""),)},
            "  out     3 more ports",
        ),
    ],
)
def test_record_in_lines_says_how_it_ended(fields: dict[str, Any], last: str) -> None:
    assert lines(**fields)[-1] == last


def test_record_of_the_far_end_says_where_it_comes_from() -> None:
    assert lines(side="egress", peer="h2", tunnel_key=0x900007)[1] == (
        "  in      from h2 by tunnel key 0x900007: eth_src=a"
    )
    assert "from an unknown host" in lines(side="egress", tunnel_key=0x900007)[1]
