"""The operator desk: every actor answers, and nobody waits for one that does not."""

import ast
from pathlib import Path

import msgspec
import pytest

from actors.composition import ALWAYS_THERE
from actors.messages.operator import OperatorAsked, StopRequested
from actors.values import ActorName
from tests.network import Network, bridge, router
from tests.wire import ether, who_has

TOPOLOGY = """
ayatori: 1
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}, gw: {peer: edge/web}}}
routers:
  edge: {ports: {web: {address: 10.0.1.1/24}}}
"""
A = "02:00:00:00:00:0a"
DESK = ActorName("operator")


def network() -> Network:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, "ff:ff:ff:ff:ff:ff"), who_has("10.0.1.1", A, "10.0.1.11"))
    return net


@pytest.mark.parametrize("subject", ["flows", "tables", "devices", "stats"])
def test_every_actor_that_is_asked_answers(subject: str) -> None:
    parts = network().ask("h1", subject)
    assert parts


def test_statistics_come_from_every_actor() -> None:
    parts = network().ask("h1", "stats")
    wanted = {*ALWAYS_THERE, bridge("web"), router("edge")} - {"operator"}
    assert set(parts) == wanted


def test_actor_that_crashes_on_the_question_is_named_as_missing_in_time() -> None:
    net = network()
    host = net.hosts["h1"]
    net.inject("h1", "clock-of-nobody")
    net.inject("h1", "state-tables")
    host.give(DESK, OperatorAsked(net.now, 9, "stats"))
    net.settle()
    assert 9 not in host.answers
    net.advance(2)
    host.give(DESK, OperatorAsked(net.now, 10, "stats"))
    net.settle()
    assert 10 in host.answers, "it is back"
    net.advance(2.5)
    answer = msgspec.json.decode(host.answers[9])
    assert answer["missing"] == ["state-tables"]
    assert "flow-controller" in answer["parts"]


def test_later_request_does_not_put_off_the_answer_to_an_earlier_one() -> None:
    net = network()
    host = net.hosts["h1"]
    for number in (1, 2, 3):
        net.inject("h1", "state-tables")
        host.give(DESK, OperatorAsked(net.now, number, "stats"))
        net.settle()
        net.advance(1.25)
    net.advance(0.5)
    assert set(host.answers) == {1}
    net.advance(3)
    assert set(host.answers) == {1, 2, 3}


def test_too_many_requests_at_once_are_refused() -> None:
    net = network()
    host = net.hosts["h1"]
    net.inject("h1", "state-tables", 1)
    host.give(DESK, OperatorAsked(net.now, 0, "stats"))
    net.settle()
    desk = host.actor("operator").state
    (waiting,) = desk.asked.values()
    for number in range(1, 64):
        desk.asked[number] = waiting
    host.give(DESK, OperatorAsked(net.now, 99, "stats"))
    net.settle()
    assert b"too many" in host.answers[99]


@pytest.mark.parametrize("keep", [True, False])
def test_stop_flushes_the_flows_unless_they_are_to_stay(keep: bool) -> None:
    net = network()
    host = net.hosts["h1"]
    before = len(net.flows("h1"))
    assert before
    host.give(DESK, StopRequested(net.now, keep_flows=keep))
    net.settle()
    assert host.stopped
    assert len(net.flows("h1")) == (before if keep else 0)


def test_every_actor_decides_about_every_message_that_it_may_get() -> None:
    root = Path(__file__).parents[2] / "actors"
    checked = []
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            if "LaneActor" not in {ast.unparse(base) for base in node.bases}:
                continue
            (receive,) = (
                each
                for each in node.body
                if isinstance(each, ast.FunctionDef) and each.name == "on_receive"
            )
            source = ast.unparse(receive)
            assert "case _:" in source, node.name
            assert "assert_never(message)" in ast.unparse(node), node.name
            assert "case Inspect():" in source or node.name == "OperatorDesk", node.name
            checked.append(node.name)
    assert len(checked) == len(ALWAYS_THERE) + 2
