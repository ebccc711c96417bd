"""What was asked for and recorded outlives crashes, and follows from the inputs alone."""

from typing import Any

from actors.lane import Lane
from tests.actors.tracer import ROUTED, A, C, network
from tests.network import bridge
from tests.wire import tcp


def test_book_keeps_what_it_knows_when_it_crashes() -> None:
    net, near, _ = network()
    near.start()
    net.send("a", ROUTED)
    net.inject("h1", "trace-book", 1)
    net.send("a", ROUTED)
    assert len(near.records) == 1, "the crash was at the second packet's beginning"
    net.send("a", ROUTED)
    assert len(near.records) == 2
    assert [r["left"] for r in near.told()["requests"]] == [8]


def test_workflow_that_missed_the_end_of_a_request_is_told_again() -> None:
    net, near, _ = network()
    near.start(limit=1)
    net.send("a", ROUTED)
    workflow = near.host.actor("packet-workflow").state
    assert workflow.traces == ()
    near.start(limit=5)
    lost = workflow.traces
    near.stop()
    workflow.traces = lost
    net.send("a", ROUTED)
    assert workflow.traces == ()


def test_packet_of_a_device_that_crashes_is_recorded_as_such() -> None:
    net, near, _ = network()
    near.start()
    net.inject("h1", bridge("web"))
    net.send("a", ROUTED)
    (record,) = near.records
    assert (record["reason"], record["complete"]) == ("crash", True)


def test_same_inputs_give_the_same_records() -> None:
    def story() -> tuple[Any, list[bytes]]:
        net, near, far = network()
        near.start(limit=2)
        net.send("a", ROUTED, tcp(A, C, "10.0.1.11", "10.0.1.13"), ROUTED)
        net.advance(1)
        return (near.told(), far.told()), net.hosts["h1"].tape.outputs

    assert story() == story()


def test_records_survive_in_a_snapshot() -> None:
    net, near, _ = network()
    near.start(limit=2)
    net.send("a", ROUTED)
    before = near.told()
    host = near.host
    lane: Lane = host.lane
    lane.restore(lane.snapshot())
    assert near.told() == before
    net.send("a", ROUTED)
    assert len(near.records) == 2
    assert near.told()["requests"] == []
