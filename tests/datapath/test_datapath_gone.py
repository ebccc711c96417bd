"""A datapath that somebody deletes behind the agent's back, and what it has counted."""

import errno
from typing import Any

import pytest

from actors.datapath.odp import constants as c
from actors.datapath.odp.replies import DatapathInfo
from actors.datapath.odp.reply_encoding import encode_reply
from actors.datapath.odp.requests import DeleteDatapath, encode_request
from actors.datapath.sequence import CREATE_BITS, DELETE_BITS, EXECUTE_BITS
from actors.datapath.soft.families import FAMILIES
from actors.messages.netlink import DatapathGone, NetlinkReplied, NetlinkSendFailed
from actors.messages.stored import Output
from actors.values import ActorName
from tests.network import Network
from tests.network_host import HostEnd
from tests.wire import ether, udp

TOPOLOGY = """
ayatori: 1
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}}}
"""
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
AB = udp(A, B, "10.0.0.1", "10.0.0.2")
BROADCAST = "ff:ff:ff:ff:ff:ff"
BROKER = ActorName("netlink-broker")


class Supervised:
    """A host whose datapath is set up again when the lane says that it is gone."""

    def __init__(self) -> None:
        self.net = Network.from_yaml(TOPOLOGY)
        self.host: HostEnd = self.net.hosts["h1"]
        self.gone = 0
        self._perform = self.host.perform
        self.host.perform = self.perform  # type: ignore[method-assign]
        self.net.send("b", ether(B, BROADCAST))

    def perform(self, output: Output) -> None:
        if isinstance(output, DatapathGone):
            self.gone += 1
            self.host.restart_datapath()
        else:
            self._perform(output)

    def delete(self) -> int:
        """Delete the datapath; return the index that it had."""
        index = self.host.datapath.datapath.ifindex
        request = encode_request(DeleteDatapath(index), families=FAMILIES, seq=1, pid=77)
        self.host.datapath.send(request)
        self.host.datapath.replies.clear()
        return index

    def notify(self, index: int) -> None:
        """Say that somebody deleted a datapath."""
        info = DatapathInfo(1, c.OVS_DP_CMD_DEL, index, "ayatori")
        datagram = encode_reply(info, families=FAMILIES, pid=77)
        self.host.give(BROKER, NetlinkReplied(self.net.now, datagram))
        self.net.settle()

    def works(self) -> bool:
        """Tell whether packets are forwarded, by flows that the datapath has."""
        self.net.forget()
        self.net.send("b", ether(B, BROADCAST))
        self.net.send("a", AB)
        return AB in self.net.delivered("b") and bool(self.net.flows("h1"))


def test_datapath_is_set_up_again_when_its_deletion_is_notified() -> None:
    host = Supervised()
    host.notify(host.delete())
    assert host.gone == 1
    assert host.works()


def test_deletion_of_another_datapath_is_nothing_to_us() -> None:
    host = Supervised()
    host.notify(host.host.datapath.datapath.ifindex + 1)
    assert not host.gone


@pytest.mark.parametrize("bits", [CREATE_BITS, DELETE_BITS, EXECUTE_BITS])
def test_deletion_that_nobody_told_of_is_noticed_by_any_refusal(bits: int) -> None:
    host = Supervised()
    host.delete()
    for number in (1, 2):
        refused = NetlinkSendFailed(host.net.now, errno.ENODEV, (bits | number,))
        host.host.give(BROKER, refused)
    host.net.settle()
    assert host.gone == 1
    assert host.works()


def test_deletion_is_noticed_by_a_dump_that_does_not_ask_forever() -> None:
    host = Supervised()
    host.delete()
    host.net.hosts["h1"].actor("netlink-broker").dumps.ask_ports()  # type: ignore[attr-defined]
    host.host.idle()
    host.host.collect()
    host.net.settle()
    assert host.gone == 1
    assert host.works()


def told(net: Network) -> dict[str, Any]:
    found: dict[str, Any] = net.ask("h1", "stats")["netlink-broker"]
    return found


def test_stats_tell_what_the_datapath_counted() -> None:
    host = Supervised()
    host.net.send("a", AB)
    host.net.send("a", AB)
    counted = told(host.net)["datapath"]
    assert counted["misses"] >= 2
    assert counted["hits"] >= 1
    assert counted["flows"] == len(host.net.flows("h1"))


def test_stats_of_an_agent_whose_datapath_does_not_answer_tell_the_rest() -> None:
    host = Supervised()
    host.host.replies_lost = True
    net = host.net
    asked: list[dict[str, Any]] = []
    net.events.append(lambda: net.advance(2.5))
    asked.append(told(net))
    assert "datapath" not in asked[0]
    assert asked[0]["pending"] == 0


def test_stats_without_a_datapath_tell_the_rest() -> None:
    host = Supervised()
    host.host.datapath.refuse_with = errno.EPIPE
    assert "datapath" not in told(host.net)
