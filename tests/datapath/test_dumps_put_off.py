"""Dumps that the datapath refuses, as the kernel does while it still streams one given up."""

import errno
import itertools

import pytest

from actors.datapath.dumps import FIRST_DELAY, MOST_DELAY
from actors.datapath.odp.read_requests import decode_request
from actors.datapath.odp.requests import GetFlow
from actors.datapath.soft.families import FAMILIES
from actors.datapath.soft.flow_table import Flow
from actors.messages.netlink import NetlinkRepliesLost
from actors.values import SECOND, ActorName, Nanoseconds
from tests.network import Network
from tests.wire import ether

TOPOLOGY = """
ayatori: 1
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}}}
"""
BROKER = ActorName("netlink-broker")
STEP = 0.05
"""Seconds: between two looks at what was asked for."""


class Busy:
    """A network whose one host has lost replies, and a datapath that refuses dumps."""

    def __init__(self) -> None:
        self.net = Network.from_yaml(TOPOLOGY)
        self.host = self.net.hosts["h1"]
        self.net.send("a", ether("02:00:00:00:00:0a", "ff:ff:ff:ff:ff:ff"))
        self.net.advance(1)
        self.datapath = self.host.datapath
        self.datapath.refuse_dumps_with = errno.EBUSY
        self._seen = len(self.datapath.requests)
        self.asked: list[tuple[Nanoseconds, str]] = []
        """The dumps that were asked for, and when."""
        self.lose_replies()

    def lose_replies(self) -> None:
        self.host.give(BROKER, NetlinkRepliesLost(self.net.now))
        self.net.settle()
        self.look()

    def look(self) -> None:
        for datagram in self.datapath.requests[self._seen :]:
            for request in decode_request(datagram, FAMILIES):
                if request.header.dump:
                    kind = "flows" if isinstance(request.body, GetFlow) else "ports"
                    self.asked.append((self.net.now, kind))
        self._seen = len(self.datapath.requests)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.net.advance(STEP)
            self.look()

    @property
    def counters(self) -> dict[str, int]:
        counted: dict[str, int] = self.host.actor("netlink-broker").state.counters
        return counted

    def add_foreign_flow(self) -> Flow:
        known = self.net.flows("h1")[0]
        foreign = Flow(ufid=b"f" * 16, key=known.key, mask=known.mask)
        self.datapath.delete_flow(known)
        self.datapath.datapath.table.insert(foreign)
        return foreign


def test_a_dump_that_is_refused_is_asked_for_less_and_less_often() -> None:
    busy = Busy()
    busy.wait(8)
    times = [at for at, _ in busy.asked]
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert waits[0] >= FIRST_DELAY
    assert all(after >= before for before, after in itertools.pairwise(waits))
    assert MOST_DELAY <= waits[-1] < MOST_DELAY + SECOND // 2
    assert len(times) <= 12
    assert busy.counters["dumps broken off"] == len(times)


def test_what_was_put_off_is_asked_for_once_and_compared_when_it_is_granted() -> None:
    busy = Busy()
    foreign = busy.add_foreign_flow()
    busy.wait(2)
    busy.datapath.refuse_dumps_with = 0
    busy.asked.clear()
    busy.wait(3)
    assert [kind for _, kind in busy.asked] == ["ports", "flows"]
    assert not foreign.alive
    assert busy.host.counters.lost == 1


def test_more_lost_replies_do_not_ask_any_sooner() -> None:
    busy = Busy()
    assert len(busy.asked) == 1
    for _ in range(10):
        busy.lose_replies()
    assert len(busy.asked) == 1


def test_who_asks_for_flows_is_answered_without_statistics_at_once() -> None:
    busy = Busy()
    busy.datapath.refuse_dumps_with = 0
    busy.wait(2)
    busy.datapath.refuse_dumps_with = errno.EBUSY
    assert busy.net.ask("h1", "flows")["flow-controller"]


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.ENOBUFS])
def test_other_refusals_of_dumps_are_waited_out_too(error: int) -> None:
    busy = Busy()
    busy.datapath.refuse_dumps_with = error
    foreign = busy.add_foreign_flow()
    busy.wait(1)
    busy.datapath.refuse_dumps_with = 0
    busy.wait(2)
    assert not foreign.alive


def test_the_delays_begin_anew_once_a_dump_was_granted() -> None:
    busy = Busy()
    busy.wait(4)
    busy.datapath.refuse_dumps_with = 0
    busy.wait(2)
    busy.datapath.refuse_dumps_with = errno.EBUSY
    busy.asked.clear()
    busy.lose_replies()
    busy.wait(0.5)
    first, second = (at for at, _ in busy.asked[:2])
    assert second - first < 3 * FIRST_DELAY
